package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// snapshot is everybody, decoded.
func snapshot(org *sandbox.Org) map[string]map[string]any {
	all := map[string]map[string]any{}
	for id, user := range org.UsersJSON() {
		var u map[string]any
		if err := json.Unmarshal(user, &u); err != nil {
			panic(err)
		}
		all[id] = u
	}
	return all
}

// Every change does what it says to as many people as it says, and moves the
// times that it should.
func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		org := sandbox.NewOrg(sandbox.Config{Users: 200, Deprovisioned: 10})
		time.Sleep(time.Hour)
		now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		seen := map[string]bool{}
		for _, test := range []struct {
			change  func(int) []string
			changed []string // members, beyond lastUpdated
			status  string
			still   bool // lastUpdated stays
		}{
			{change: org.Move, changed: []string{"profile"}},
			{change: org.Touch, changed: []string{"lastLogin"}, still: true},
			{change: org.Suspend, changed: []string{"status", "statusChanged"}, status: "SUSPENDED"},
			{change: org.Unsuspend, changed: []string{"status", "statusChanged"}, status: "ACTIVE"},
			{change: org.Deactivate, changed: []string{"status", "statusChanged"}, status: "DEPROVISIONED"},
			{change: org.Reactivate, changed: []string{"status", "statusChanged"}, status: "ACTIVE"},
			{change: org.Delete},
			{change: org.Join, status: "ACTIVE"},
		} {
			before := snapshot(org)
			ids := test.change(3)
			after := snapshot(org)
			if len(ids) != 3 {
				t.Fatalf("changed %d people, want 3", len(ids))
			}
			for id := range after {
				if hit := slices.Contains(ids, id); !hit && !same(before[id], after[id]) {
					t.Errorf("%s was changed as well", id)
				}
			}
			for _, id := range ids {
				if seen[id] {
					t.Errorf("%s was changed twice", id)
				}
				seen[id] = true
				was, is := before[id], after[id]
				if was == nil || is == nil {
					continue // joined or deleted
				}
				want := slices.Clone(test.changed)
				if !test.still {
					want = append(want, "lastUpdated")
				}
				slices.Sort(want)
				if got := different(was, is); !slices.Equal(got, want) {
					t.Errorf("%s: changed members = %v, want %v", id, got, want)
				}
				for _, name := range test.changed {
					if at, ok := is[name].(string); ok && name != "status" && at != now {
						t.Errorf("%s: %s = %s, want %s", id, name, at, now)
					}
				}
				if test.status != "" && is["status"] != test.status {
					t.Errorf("%s: status = %v, want %s", id, is["status"], test.status)
				}
			}
		}
		if n := len(snapshot(org)); n != 200 {
			t.Errorf("people = %d, want 200: three joined, three deleted", n)
		}
		org.Wipe()
		if n := len(snapshot(org)); n != 0 {
			t.Errorf("people after a wipe = %d, want none", n)
		}
		org.Restore()
		if n := len(snapshot(org)); n != 200 {
			t.Errorf("people after restoring = %d, want 200", n)
		}
	})
}

func same(a, b map[string]any) bool { return len(different(a, b)) == 0 }

// different returns the names of the members that differ, sorted.
func different(a, b map[string]any) (names []string) {
	for name := range b {
		x, _ := json.Marshal(a[name])
		y, _ := json.Marshal(b[name])
		if !bytes.Equal(x, y) && name != "transitioningToStatus" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestChangeByID(t *testing.T) {
	org := sandbox.NewOrg(sandbox.Config{Users: 100, Deprovisioned: 4})
	var left, active string
	for id, user := range org.UsersJSON() {
		switch {
		case bytes.Contains(user, []byte(`"status":"DEPROVISIONED"`)):
			left = id
		case bytes.Contains(user, []byte(`"status":"ACTIVE"`)):
			active = id
		}
	}
	for _, err := range []error{org.Change(sandbox.Suspend, left), org.Change(sandbox.Move, "00uNobody"), org.Change("promote", active)} {
		if err == nil {
			t.Error("a change that can't be made was made")
		}
	}
	for _, op := range []sandbox.Op{sandbox.Suspend, sandbox.Unsuspend, sandbox.Deactivate, sandbox.Reactivate, sandbox.Delete} {
		if err := org.Change(op, active); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
	if _, ok := org.User(active); ok {
		t.Error("deleted, and still there")
	}
}

// Facts §9.31: what is put is served byte for byte, whatever it is.
func TestPut(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 3, Deprovisioned: -1})
	for id, user := range map[string]string{
		"00u0": `{"id":"00u0", "status" : "ACTIVATING", "x": {"a":[1.0e5, {}], "b": null}, "profile":{"login":"\u0061\/b","n":1E400}}`,
		"00vz": `{"status":"ACTIVE","id":"00vz"}`,
	} {
		if err := c.org.Put([]byte(user)); err != nil {
			t.Fatal(err)
		}
		ids, rows, err := c.all("/api/v1/users")
		if at := slices.Index(ids, id); err != nil || at < 0 || string(rows[at]) != user {
			t.Errorf("list = %q %v, want %s in it", ids, err, user)
		}
		if err := c.org.Set(id, "profile.nickName", json.RawMessage(`"x"`)); err != nil {
			t.Error(err)
		}
		if changed, _ := c.org.User(id); !strings.Contains(string(changed), `"nickName":"x"`) || !json.Valid(changed) {
			t.Errorf("after Set = %s", changed)
		}
	}
	if got := c.mustAll(list("search", `profile.login eq "A/b"`)); len(got) != 1 || got[0] != "00u0" {
		t.Errorf("search = %q, want 00u0", got)
	}
	for _, bad := range []string{"", "[]", `{"id":"x"}`, `{"status":"ACTIVE"}`, `{"id":"x","status":"ACTIVE"`} {
		if c.org.Put([]byte(bad)) == nil {
			t.Errorf("Put(%q) = nil, want an error", bad)
		}
	}
	if c.org.Set("00u0", "status", json.RawMessage("nope")) == nil {
		t.Error("Set took what is no JSON")
	}
}

// Facts §9.32: people change while somebody reads.
func TestScript(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 100, Deprovisioned: -1})
	first := c.mustAll("/api/v1/users")
	requests := 0
	c.org.OnRequest(func(n int, _ *http.Request) {
		requests++
		switch n {
		case 3: // the second page of the list below
			if err := c.org.Change(sandbox.Delete, first[99]); err != nil {
				t.Error(err)
			}
			if err := c.org.Set(first[98], "profile.lastName", json.RawMessage(`"New"`)); err != nil {
				t.Error(err)
			}
			c.org.Join(1)
		}
	})
	ids, rows, err := c.all(list("limit", "50"))
	if err != nil {
		t.Fatal(err)
	}
	if requests != 2 || len(ids) != 100 || slices.Contains(ids, first[99]) || !strings.Contains(string(rows[98]), `"lastName":"New"`) {
		t.Errorf("%d requests, %d users, the deleted one there: %t", requests, len(ids), slices.Contains(ids, first[99]))
	}
}

func TestControlOverHTTP(t *testing.T) {
	org := sandbox.NewOrg(sandbox.Config{Users: 100, Control: true})
	do := func(method, path, body string) (int, string) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), method, org.URL()+"/sandbox/"+path, strings.NewReader(body))
		resp, err := org.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	var last string
	for _, path := range []string{"join?n=3", "move?n=2", "touch", "suspend", "unsuspend", "deactivate?n=2", "reactivate", "delete"} {
		status, body := do("POST", path, "")
		var answer struct{ IDs []string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 || len(answer.IDs) == 0 {
			t.Errorf("%s: %d %s", path, status, body)
			continue
		}
		last = answer.IDs[0]
	}
	if _, ok := org.User(last); ok {
		t.Errorf("%s was deleted, and is there", last)
	}
	joined := org.Join(1)[0]
	for _, path := range []string{"move?id=" + joined, "wipe", "restore", "fault?fault=nth=2,status=500", "clear-faults", "revoke", "rotate-nonces"} {
		if status, body := do("POST", path, ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := do("POST", "set?id="+joined+"&path=profile.title", `"Chef"`); status != 200 {
		t.Errorf("set: %d %s", status, body)
	}
	if status, body := do("POST", "put", `{"id":"00uput","status":"ACTIVE"}`); status != 200 {
		t.Errorf("put: %d %s", status, body)
	}
	if user, _ := org.User(joined); !strings.Contains(string(user), `"title":"Chef"`) {
		t.Errorf("user = %s, want a chef", user)
	}
	for _, path := range []string{"join?n=0", "join?n=x", "promote", "move?id=00uNobody", "fault?fault=what", "put", "set?id=x&path=y"} {
		if status, _ := do("POST", path, ""); status != 400 {
			t.Errorf("%s: %d, want 400", path, status)
		}
	}
	if status, body := do("GET", "users", ""); status != 200 || strings.Count(body, "\n") != len(snapshot(org)) {
		t.Errorf("users: %d, %d lines, want %d", status, strings.Count(body, "\n"), len(snapshot(org)))
	}
	if status, body := do("GET", "stats", ""); status != 200 || !strings.Contains(body, `"requests":0`) || !strings.Contains(body, `"violations":[]`) {
		t.Errorf("stats: %d %s, want nothing counted", status, body)
	}
	if status, _ := do("GET", "nothing", ""); status != 404 {
		t.Errorf("nothing: %d, want 404", status)
	}
	if status, _ := do("DELETE", "users", ""); status != 405 {
		t.Errorf("DELETE: %d, want 405", status)
	}
	off := sandbox.NewOrg(sandbox.Config{})
	if resp, err := off.Client().Get(off.URL() + "/sandbox/stats"); err != nil || resp.StatusCode != 404 {
		t.Errorf("control where it is off: %v %v, want 404", resp, err)
	}
}

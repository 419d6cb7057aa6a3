package sandbox_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// snapshot decodes all users.
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

// Rule 32: each change affects the given number of users, and only the right members
// and times.
func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		org := sandbox.NewOrg(sandbox.Config{Users: 200, Deprovisioned: 10})
		time.Sleep(time.Hour)
		seen := map[string]bool{}
		status := []string{"status", "statusChanged", "lastUpdated"}
		for _, test := range []change{
			{org.Move, []string{"profile", "lastUpdated"}, ""},
			{org.Touch, []string{"lastLogin"}, ""},
			{org.Suspend, status, "SUSPENDED"},
			{org.Unsuspend, status, "ACTIVE"},
			{org.Deactivate, status, "DEPROVISIONED"},
			{org.Reactivate, status, "ACTIVE"},
			{org.Delete, nil, ""},
			{org.Join, nil, "ACTIVE"},
		} {
			for _, id := range test.check(t, org) {
				if seen[id] {
					t.Errorf("%s was changed twice", id)
				}
				seen[id] = true
			}
		}
		if n := len(snapshot(org)); n != 200 {
			t.Errorf("users = %d, want 200: three joined, three deleted", n)
		}
		org.Wipe()
		if n := len(snapshot(org)); n != 0 {
			t.Errorf("users after a wipe = %d, want none", n)
		}
		org.Restore()
		if n := len(snapshot(org)); n != 200 {
			t.Errorf("users after restoring = %d, want 200", n)
		}
	})
}

// change is a change of users, the members of a user that it changes, and the
// status after it.
type change struct {
	do      func(int) []string
	members []string
	status  string
}

// check makes the change and compares all users before and after.
func (c change) check(t *testing.T, org *sandbox.Org) []string {
	t.Helper()
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	before := snapshot(org)
	ids := c.do(3)
	after := snapshot(org)
	if len(ids) != 3 {
		t.Fatalf("changed %d users, want 3", len(ids))
	}
	for id := range after {
		if !slices.Contains(ids, id) && !same(before[id], after[id]) {
			t.Errorf("%s was changed, too", id)
		}
	}
	slices.Sort(c.members)
	for _, id := range ids {
		was, is := before[id], after[id]
		if was == nil || is == nil {
			continue // joined or deleted
		}
		if got := different(was, is); !slices.Equal(got, c.members) {
			t.Errorf("%s: changed members = %v, want %v", id, got, c.members)
		}
		for _, name := range c.members {
			if at, ok := is[name].(string); ok && name != "status" && at != now {
				t.Errorf("%s: %s = %s, want %s", id, name, at, now)
			}
		}
		if c.status != "" && is["status"] != c.status {
			t.Errorf("%s: status = %v, want %s", id, is["status"], c.status)
		}
	}
	return ids
}

func same(a, b map[string]any) bool { return len(different(a, b)) == 0 }

// different returns the names of the members that differ, sorted.
func different(a, b map[string]any) (names []string) {
	for name := range b {
		if !reflect.DeepEqual(a[name], b[name]) && name != "transitioningToStatus" {
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
			t.Error("Change accepted an impossible change")
		}
	}
	for _, op := range []sandbox.Op{sandbox.Suspend, sandbox.Unsuspend, sandbox.Deactivate, sandbox.Reactivate, sandbox.Delete} {
		if err := org.Change(op, active); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
	if _, ok := org.User(active); ok {
		t.Error("the deleted user still exists")
	}
}

// Rule 31: users from Put are served byte for byte.
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
		t.Error("Set accepted a value that is not JSON")
	}
}

// Rule 32: users change between pages.
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
		t.Errorf("%d requests, %d users, deleted user listed: %t", requests, len(ids), slices.Contains(ids, first[99]))
	}
}

// control sends one request to /sandbox/.
func control(t *testing.T, org *sandbox.Org, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, org.URL()+"/sandbox/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := org.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestControlOverHTTP(t *testing.T) {
	org := sandbox.NewOrg(sandbox.Config{Users: 100, Control: true})
	for path, want := range map[string]int{
		"join?n=3": 3, "move?n=2": 2, "touch": 1, "suspend": 1, "unsuspend": 1, "deactivate?n=2": 2, "reactivate": 1, "delete": 1,
	} {
		status, body := control(t, org, "POST", path, "")
		var changed struct{ IDs []string }
		if err := json.Unmarshal([]byte(body), &changed); err != nil || status != 200 || len(changed.IDs) != want {
			t.Errorf("%s: %d %s, want %d ids", path, status, body, want)
		}
	}
	joined := org.Join(1)[0]
	group := org.AddGroup("Visitors", "")
	for _, request := range [][2]string{
		{"move?id=" + joined}, {"wipe"}, {"restore"}, {"fault?fault=nth=2,status=500"}, {"revoke"},
		{"add-group?name=Guests&description=x"}, {"put-group", `{"id":"00gput","type":"APP_GROUP"}`}, {"set-group?id=" + group + "&path=profile.name", `"Callers"`},
		{"delete-group?id=00gput"},
	} {
		if status, body := control(t, org, "POST", request[0], request[1]); status != 200 {
			t.Errorf("%s: %d %s, want 200", request[0], status, body)
		}
	}
	var names []string
	for _, g := range org.GroupsJSON() {
		names = append(names, string(sandbox.JSONGet(g, "profile.name")))
	}
	if len(names) != 15 || !slices.Contains(names, `"Callers"`) || !slices.Contains(names, `"Guests"`) {
		t.Errorf("groups = %q, want Callers and Guests among 15", names)
	}
	for _, path := range []string{"delete-group?id=00g0", "set-group?id=00g0&path=x", "put-group", "join?n=0", "join?n=x", "promote", "add-key?client=0oa1", "remove-key?client=0oa1&kid=k", "move?id=00uNobody", "fault?fault=what"} {
		if status, _ := control(t, org, "POST", path, ""); status != 400 {
			t.Errorf("%s: %d, want 400", path, status)
		}
	}
}

// Keys can be added and removed.
func TestControlOfKeys(t *testing.T) {
	org := sandbox.NewOrg(sandbox.Config{Control: true, Clients: []sandbox.ClientApp{{ID: "0oa1"}}})
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(j m, name, value string) string {
		j[name] = value
		text, _ := json.Marshal(j)
		return string(text)
	}
	for _, test := range []struct {
		status     int
		path, body string
	}{
		{200, "add-key?client=0oa1", with(jwk(mustKey()), "kid", "a")},
		{400, "add-key?client=0oa1", with(jwk(mustKey()), "kid", "a")},
		{200, "add-key?client=0oa1", with(jwk(rsaKey), "kid", "b")},
		{400, "add-key?client=0oa2", with(jwk(mustKey()), "kid", "c")},
		{400, "add-key?client=0oa1", with(jwk(mustKey()), "use", "sig")},
		{400, "add-key?client=0oa1", with(jwk(mustKey()), "x", "AAAA")},
		{400, "add-key?client=0oa1", `{"kty":"EC","crv":"P-256","kid":"d","d":"AA"}`},
		{400, "add-key?client=0oa1", `{"kty":"OKP","crv":"Ed25519","kid":"e","x":"AA"}`},
		{200, "remove-key?client=0oa1&kid=a", ""},
		{400, "remove-key?client=0oa1&kid=a", ""},
	} {
		if status, body := control(t, org, "POST", test.path, test.body); status != test.status {
			t.Errorf("%s %s: %d %s, want %d", test.path, test.body, status, body, test.status)
		}
	}
}

func TestControlShows(t *testing.T) {
	org := sandbox.NewOrg(sandbox.Config{Users: 100, Control: true})
	for path, want := range map[string]string{"stats": `"violations":[]`, "users": "\n", "groups": `"BUILT_IN"`} {
		status, body := control(t, org, "GET", path, "")
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", path, status, body, want)
		}
		if lines := strings.Count(body, "\n"); path == "users" && lines != 100 {
			t.Errorf("users: %d lines, want 100", lines)
		}
	}
	if n := org.Stats().Requests; n != 0 {
		t.Errorf("requests = %d, want none: control requests don't count", n)
	}
	if status, _ := control(t, org, "GET", "nothing", ""); status != 404 {
		t.Errorf("unknown path: %d, want 404", status)
	}
	if status, _ := control(t, org, "DELETE", "users", ""); status != 405 {
		t.Errorf("DELETE: %d, want 405", status)
	}
	if status, _ := control(t, sandbox.NewOrg(sandbox.Config{}), "GET", "stats", ""); status != 404 {
		t.Errorf("control API of an org without Control: %d, want 404", status)
	}
}

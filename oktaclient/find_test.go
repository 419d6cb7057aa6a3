package oktaclient_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
)

func ids(users []oktaclient.Record) (ids []string) {
	for _, u := range users {
		ids = append(ids, u.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func TestFindReturnsExistingRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, sandbox.Config{Users: 200, Deprovisioned: -1})
		moved, deleted, deactivated := b.org.Move(30), b.org.Delete(10), b.org.Deactivate(5)
		all := slices.Concat(moved, deleted, deactivated)
		department := func(id string) string {
			text, _ := b.org.User(id)
			_, rest, _ := strings.Cut(string(text), `"department":"`)
			name, _, _ := strings.Cut(rest, `"`)
			return name
		}
		searched := department(moved[0])
		var selected, others []string
		for _, id := range slices.Concat(moved, deactivated) {
			if department(id) == searched {
				selected = append(selected, id)
			} else {
				others = append(others, id)
			}
		}
		tests := []struct {
			name        string
			query       oktaclient.Query
			in, outside []string
		}{
			{"everyone", everyone, slices.Concat(moved, deactivated), nil},
			{"without deprovisioned", oktaclient.Query{Resource: oktaclient.Users}, moved, deactivated},
			{"search", oktaclient.Query{Resource: oktaclient.Users, IncludeDeprovisioned: true, Search: fmt.Sprintf("profile.department eq %q", searched)}, selected, others},
		}
		for _, test := range tests {
			s := &sink{}
			result, err := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency = 3 }).Find(t.Context(), test.query, all, s)
			if err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			slices.Sort(test.in)
			outside := slices.DeleteFunc(ids(s.outside), func(id string) bool { return slices.Contains(test.in, id) })
			slices.Sort(test.outside)
			if !slices.Equal(ids(s.users), test.in) || !slices.Equal(outside, test.outside) {
				t.Errorf("%s: found %v, outside %v; want %v, %v", test.name, ids(s.users), outside, test.in, test.outside)
			}
			rows, missing := 0, 0
			for _, r := range s.requests {
				rows += r.Rows
				if r.Status == 404 && r.Rows == 0 && r.Error == "E0000007" && strings.HasPrefix(r.Path, "/api/v1/users/00u") {
					missing++
				}
			}
			if missing != len(deleted) || rows != result.Rows || rows != len(s.users)+len(s.outside) || len(s.requests) != result.Requests {
				t.Errorf("%s: %d not found, %d rows, result %+v", test.name, missing, rows, result)
			}
		}
		if v := b.org.Stats().Violations; len(v) > 0 {
			t.Error(v)
		}
	})
}

// Only a 404 with Okta's own code proves that a record doesn't exist.
func TestFindRejectsA404OfAProxy(t *testing.T) {
	o := newOrg(10)
	o.hook = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(404)
		return true
	}
	if _, err := o.client(t, nil).Find(t.Context(), everyone, []string{"00u99999"}, &sink{}); err == nil {
		t.Error("Find() accepted a 404 of a proxy")
	}
}

// Errors and logs contain ids only in escaped form.
func TestIDsAreEscaped(t *testing.T) {
	o, governor, log := newOrg(10), oktaclient.NewGovernor(1, 1), &strings.Builder{}
	o.hook = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.Write([]byte("no JSON"))
		return true
	}
	c := o.client(t, func(cfg *oktaclient.Config) {
		cfg.Governor, cfg.Logger = governor, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Find(ctx, everyone, []string{"a/b\x1b[2J\u009b"}, &sink{}); err == nil || strings.ContainsAny(err.Error(), "\x1b\u009b") {
		t.Errorf("Find() = %q", err)
	}
	cancel()
	if _, err := c.Find(ctx, everyone, []string{"a/b\x1b[2J\u009b"}, &sink{}); err == nil || strings.ContainsAny(err.Error(), "\x1b\u009b") {
		t.Errorf("cancelled Find() = %q", err)
	}
	if limits := governor.Limits(); len(limits) != 1 || limits[0].Bucket != "users/*" {
		t.Errorf("limits = %+v", limits)
	}
	if !strings.Contains(log.String(), "/a%2Fb%1B") {
		t.Errorf("log = %s", log)
	}
}

func TestFindChecksIDs(t *testing.T) {
	o := newOrg(20)
	find := func(id string) (*sink, error) {
		s := &sink{}
		_, err := o.client(t, nil).Find(t.Context(), everyone, []string{id}, s)
		return s, err
	}
	for _, id := range []string{"", ".", ".."} {
		if _, err := find(id); err == nil || o.count() != 0 {
			t.Errorf("Find(%q) = %v after %d requests, want an error before the first", id, err, o.count())
		}
	}
	if s, err := find("a/../../groups?x#y"); err != nil || len(s.users) != 0 {
		t.Errorf("Find() of an id with slashes = %v", err)
	}
	if got := o.requests[0].RequestURI; got != "/api/v1/users/a%2F..%2F..%2Fgroups%3Fx%23y" {
		t.Errorf("request = %s", got)
	}
	o.hook = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.Write([]byte(user("00u00001")))
		return true
	}
	if _, err := find("00u00002"); err == nil || !strings.Contains(err.Error(), "another id") {
		t.Errorf("Find() = %v, want an error about another id", err)
	}
}

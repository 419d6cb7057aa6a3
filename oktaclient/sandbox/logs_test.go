package sandbox_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// eventTypes returns the types of the events of a page.
func eventTypes(t *testing.T, r result) (kinds []string) {
	t.Helper()
	var events []struct {
		EventType string
		Target    []struct{ ID, Type string }
	}
	if err := json.Unmarshal([]byte(r.body), &events); err != nil || r.status != 200 {
		t.Fatalf("log = %d %s", r.status, r.body)
	}
	for _, e := range events {
		kinds = append(kinds, e.EventType)
		if len(e.Target) != 1 || e.Target[0].Type != "User" {
			t.Errorf("event = %+v, want a user as target", e)
		}
	}
	return kinds
}

// Rule 40: polling always has a next link, and a bounded query ends.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 50})
		poll := c.get("/api/v1/logs")
		if got := eventTypes(t, poll); len(got) != 0 || poll.next() == "" {
			t.Errorf("quiet org: %v, next %q; want nothing, and a next", got, poll.next())
		}
		c.org.Join(1)
		c.org.Deactivate(1)
		c.org.Delete(1)
		poll = c.get(poll.next())
		if got := eventTypes(t, poll); len(got) != 3 || got[0] != "user.lifecycle.create" || got[2] != "user.lifecycle.delete.completed" {
			t.Errorf("events = %v, want create, deactivate, delete", got)
		}
		poll = c.get(poll.next())
		if got := eventTypes(t, poll); len(got) != 0 || poll.next() == "" {
			t.Errorf("then: %v, next %q; want nothing, and a next", got, poll.next())
		}
		time.Sleep(time.Hour)
		c.token = ""
		c.org.Move(1)
		bounds := url.Values{"limit": {"2"}, "since": {time.Now().Add(-2 * time.Hour).Format(time.RFC3339)}, "until": {time.Now().Format(time.RFC3339)}}
		first := c.get("/api/v1/logs?" + bounds.Encode())
		second := c.get(first.next())
		if len(eventTypes(t, first)) != 2 || len(eventTypes(t, second)) != 1 || second.next() != "" {
			t.Errorf("bounded: %v, %v, next %q; want two, one, none", eventTypes(t, first), eventTypes(t, second), second.next())
		}
		if n := len(eventTypes(t, c.get("/api/v1/logs?limit=0"))); n != 0 {
			t.Errorf("limit 0 = %d events, want none", n)
		}
		time.Sleep(100 * 24 * time.Hour)
		c.token = ""
		if got := eventTypes(t, c.get("/api/v1/logs?"+url.Values{"since": {time.Now().Add(-150 * 24 * time.Hour).Format(time.RFC3339)}}.Encode())); len(got) != 0 {
			t.Errorf("after 100 days = %v, want nothing kept", got)
		}
		c.get("/api/v1/logs?since="+time.Now().UTC().Add(-190*24*time.Hour).Format(time.RFC3339)).want(t, 400, "E0000053", "")
		c.noViolations()
	})
}

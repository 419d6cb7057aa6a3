package snapshot_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

const staff = "staff" // the export of most tests

var acme = snapshot.Org{URL: "https://acme.okta.com", ID: "00o1"}

// long reports whether the long forms of the tests are asked for.
func long() bool { return os.Getenv("OKTASYNC_LONG_TESTS") == "1" }

// day is when the nth reading of most tests begins.
func day(n int) time.Time { return time.Date(2026, 11, 22+n, 6, 0, 0, 0, time.UTC) }

// newStore returns an empty store of acme.
func newStore(t testing.TB) *snapshot.Store {
	t.Helper()
	s, err := snapshot.Init(filepath.Join(t.TempDir(), "snapshots"), acme, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// person returns a user as Okta sends it.
func person(n int, status, department string) string {
	return fmt.Sprintf(`{"id":"00u%04d","status":%q,"profile":{"login":"p%d@acme.example","department":%q}}`, n, status, n, department)
}

// people returns n active users, as Okta sends them.
func people(n int) []string {
	users := make([]string, n)
	for i := range users {
		users[i] = person(i+1, "ACTIVE", "Sales")
	}
	return users
}

// draft compares users with the newest snapshot of an export, as a reconcile
// does, and returns the draft of a snapshot.
func draft(t testing.TB, s *snapshot.Store, started time.Time, users ...string) snapshot.Draft {
	t.Helper()
	declared := recordtest.Declaration()
	d := snapshot.Draft{
		Started: started, Finished: started.Add(time.Minute), Org: s.Org(),
		Client:   snapshot.Client{ClientID: "0oa1", Scopes: []string{"okta.users.read"}, DPoP: true},
		Run:      snapshot.Run{Trigger: "apply", Host: "node1", User: "ops"},
		Tool:     snapshot.Tool{Name: "oktasync", Version: "v0.1.0"},
		Declared: declared, Settled: true, Requests: requests(t, started, len(users)),
	}
	r := snapshot.ResourceDraft{
		Resource: snapshot.Users, ByStatus: map[string]int{}, Rows: len(users), Records: recordtest.Of(t, users...),
	}
	for _, u := range users {
		r.ByStatus[recordtest.Decode(t, []byte(u)).(map[string]any)["status"].(string)]++
	}
	var before *snapshot.Declaration
	var current diff.Reader = recordtest.Of(t)
	latest, err := s.Latest(staff)
	if err == nil {
		before = &latest.Manifest.Declared
		if current, err = latest.Records(snapshot.Users); err != nil {
			t.Fatal(err)
		}
		defer current.Close()
	} else if !errors.Is(err, snapshot.ErrNoSnapshot) {
		t.Fatal(err)
	}
	var rules diff.Rules
	rules, r.Base = snapshot.RulesFor(snapshot.Users, before, declared)
	r.Counts.Total = len(users)
	if r.Base == snapshot.BasePrevious {
		changes := new(bytes.Buffer)
		r.Counts, err = diff.Diff(current, recordtest.Of(t, users...), rules, func(c *diff.Change) error {
			line, err := c.Line(nil)
			changes.Write(line)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		r.Changes = changes
	}
	d.Resources = []snapshot.ResourceDraft{r}
	return d
}

// requests returns the transcript of a reading of one page.
func requests(t testing.TB, at time.Time, rows int) *bytes.Buffer {
	t.Helper()
	var b []byte
	for _, r := range []snapshot.Request{
		{Time: snapshot.At(at), Resource: "token", Method: "POST", Path: "/oauth2/v1/token", Status: 200, RequestID: "a1"},
		{Time: snapshot.At(at), Resource: "users", Method: "GET", Path: "/api/v1/users?limit=200", Status: 200, Rows: rows, RequestID: "a2"},
	} {
		var err error
		if b, err = r.Line(b); err != nil {
			t.Fatal(err)
		}
	}
	return bytes.NewBuffer(b)
}

// reconcile publishes users through a writer of its own, as one run does.
func reconcile(t testing.TB, s *snapshot.Store, started time.Time, users ...string) (*snapshot.Snapshot, error) {
	t.Helper()
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		return nil, err
	}
	snap, err := func() (*snapshot.Snapshot, error) {
		if err := w.Journal(snapshot.Event{Event: snapshot.EventStarted}); err != nil {
			return nil, err
		}
		return w.Publish(t.Context(), draft(t, s, started, users...))
	}()
	if err != nil {
		// On a disk that has failed this may fail too.
		w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: err.Error()})
	}
	return snap, errors.Join(err, w.Close())
}

// publish is a reconcile that works.
func publish(t testing.TB, s *snapshot.Store, started time.Time, users ...string) *snapshot.Snapshot {
	t.Helper()
	snap, err := reconcile(t, s, started, users...)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// ids returns the ids of all users of a snapshot.
func ids(t testing.TB, snap *snapshot.Snapshot) (ids []string) {
	t.Helper()
	users, err := snap.Records(snapshot.Users)
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	for {
		u, err := users.Next()
		if err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return ids
		}
		ids = append(ids, string(u.Key))
	}
}

// write writes a file, and the folders above it.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// journalOf returns the events of the export's journal.
func journalOf(t testing.TB, s *snapshot.Store) (events []snapshot.Event) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.Dir(), staff, "journal.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var e snapshot.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

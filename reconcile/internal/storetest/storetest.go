// Package storetest creates stores for the tests of package reconcile and of the
// packages below it. Start reading at [Publish].
package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/verify"
)

// Export is the export of most stores.
const Export = "staff"

// Acme is the org of the stores.
var Acme = snapshot.Org{URL: "https://acme.okta.com", ID: "00o1"}

// Long reports whether the long forms of the tests are requested.
func Long() bool { return os.Getenv("OKTASYNC_LONG_TESTS") == "1" }

// NeedProgram skips a test if a program is missing. The long form fails.
func NeedProgram(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if Long() {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
}

// Day returns the time at which the nth read of most stores begins.
func Day(n int) time.Time { return time.Date(2026, 11, 22+n, 6, 0, 0, 0, time.UTC) }

// New returns an empty store.
func New(t testing.TB) *snapshot.Store {
	t.Helper()
	return Init(t, filepath.Join(t.TempDir(), "snapshots"), snapshot.Options{})
}

// Init opens the store in dir for writing.
func Init(t testing.TB, dir string, o snapshot.Options) *snapshot.Store {
	t.Helper()
	s, err := snapshot.Init(dir, Acme, o)
	Must(t, err)
	return s
}

// Copy returns a copy of the store in dir, in the empty folder temp.
func Copy(t testing.TB, dir, temp string) *snapshot.Store {
	t.Helper()
	to := filepath.Join(temp, "snapshots")
	CopyFolder(t, dir, to)
	s, err := snapshot.Open(to)
	Must(t, err)
	return s
}

// ThreeDays returns a store with three snapshots of users and groups.
func ThreeDays(t testing.TB) *snapshot.Store {
	t.Helper()
	s := New(t)
	Publish(t, s, Day(1), append(People(20), Group(1, "Everyone"), Group(2, "Sales"))...)
	Publish(t, s, Day(2), append(People(18), Person(21, "STAGED", "Law"), Group(1, "Everyone"), Group(2, "Field sales"), Group(3, "Law"))...)
	Publish(t, s, Day(3), append(People(17), Person(18, "DEPROVISIONED", "Sales"), Person(21, "ACTIVE", "=1+1"),
		Group(1, "Everyone"), Group(3, "Legal"), Group(4, "=cmd"))...)
	return s
}

// Declared returns a declaration of resources.
func Declared(resources ...*snapshot.Resource) snapshot.Declaration {
	limit := snapshot.Percent(5)
	all := map[string]snapshot.DeclaredResource{
		"users": {
			Narrowing:  &snapshot.Narrowing{IncludeDeprovisioned: true},
			Attributes: canonjson.Attributes{Include: []string{}, Exclude: []string{"credentials.emails", "_links"}},
			Changes:    snapshot.Changes{Ignore: []string{"lastLogin", "lastUpdated"}, Moved: []string{"profile.title", "profile.department"}},
			Guard:      snapshot.Guard{MaxRemoved: snapshot.Percent(1), MaxDeactivated: &limit, AtLeast: 25, Min: 1},
		},
		"groups": {
			Attributes: canonjson.Attributes{Include: []string{}, Exclude: []string{"_links"}},
			Changes:    snapshot.Changes{Ignore: []string{"lastUpdated"}},
			Guard:      snapshot.Guard{MaxRemoved: snapshot.Percent(5), AtLeast: 10, Min: 1},
		},
	}
	d := snapshot.Declaration{Formats: []string{"ndjson", "csv"}, Resources: make(map[string]snapshot.DeclaredResource)}
	for _, r := range resources {
		declared, ok := all[r.Name]
		if !ok {
			declared = all["groups"]
		}
		d.Resources[r.Name] = declared
	}
	return d
}

// Draft compares records with the newest snapshot, as a reconcile does, and
// returns the draft of the next one. Users are declared, and each other resource of
// which there are records.
func Draft(t testing.TB, s *snapshot.Store, started time.Time, records ...string) snapshot.Draft {
	t.Helper()
	lists := make(map[*snapshot.Resource][]string)
	for _, record := range records {
		lists[resourceOf(record)] = append(lists[resourceOf(record)], record)
	}
	resources := slices.DeleteFunc(snapshot.Resources(), func(r *snapshot.Resource) bool { return r != snapshot.Users && lists[r] == nil })
	latest, err := s.Latest(Export)
	if err != nil && !errors.Is(err, snapshot.ErrNoSnapshot) {
		t.Fatal(err)
	}
	d := snapshot.Draft{
		Started: started, Finished: started.Add(time.Minute), Org: s.Org(),
		Client:   snapshot.Client{ClientID: "0oa1", Scopes: []string{"okta.users.read"}, DPoP: true},
		Run:      snapshot.Run{Trigger: "apply", Host: "node1", User: "ops"},
		Tool:     snapshot.Tool{Name: "oktasync", Version: "v0.1.0"},
		Declared: Declared(resources...), Settled: true, Base: latest,
	}
	requests := []snapshot.Request{{Resource: "token", Method: "POST", Path: "/oauth2/v1/token", Status: 200, RequestID: "a1"}}
	proofs := make(diff.Proofs)
	for _, r := range resources {
		draft, removed := resourceDraft(t, s, latest, r, d.Declared, lists, proofs)
		d.Resources = append(d.Resources, draft)
		requests = append(requests, snapshot.Request{
			Resource: r.Name, Method: "GET", Path: "/api/v1/" + r.Name + "?limit=200", Status: 200, Rows: len(lists[r]), RequestID: "a2",
		})
		for _, id := range removed {
			requests = append(requests, snapshot.Request{
				Resource: r.Name, Method: "GET", Path: "/api/v1/" + r.Name + "/" + id, Status: 404, Error: "E0000007", RequestID: "a3",
			})
		}
	}
	var lines []byte
	for _, request := range requests {
		request.Time = snapshot.At(started)
		lines, err = request.Line(lines)
		Must(t, err)
	}
	d.Requests = bytes.NewReader(lines)
	return d
}

// resourceDraft also returns the ids of removed records, and adds their proofs: Okta
// answers 404 for them. The removal of an edge has no proof of its own.
func resourceDraft(t testing.TB, s *snapshot.Store, latest *snapshot.Snapshot, r *snapshot.Resource, declared snapshot.Declaration,
	lists map[*snapshot.Resource][]string, proofs diff.Proofs) (d snapshot.ResourceDraft, removed []string) {
	t.Helper()
	records := lists[r]
	d = snapshot.ResourceDraft{
		Resource: r, Records: listOf(t, r, records...), Counts: diff.Counts{Total: len(records)}, Rows: len(records),
	}
	if r.Status != "" {
		d.ByStatus = make(map[string]int)
		for _, record := range records {
			d.ByStatus[recordtest.Decode(t, []byte(record)).(map[string]any)[r.Status].(string)]++
		}
	}
	latest, err := s.BaseOf(latest, r)
	Must(t, err)
	var rules diff.Rules
	if rules, d.Base = snapshot.RulesAfter(r, latest, declared); d.Base != snapshot.BasePrevious {
		return d, nil
	}
	after := listOf(t, r, records...)
	rules.Proofs = proofs
	if r.Parent != nil {
		rules.Parents = diff.NewLookup(recordtest.ListOf(t, lists[r.Parent]...))
	} else {
		for _, id := range IDs(t, latest, r) {
			if !slices.ContainsFunc(after.Records, func(r diff.Record) bool { return string(r.Key) == id }) {
				removed = append(removed, id)
				proofs[id] = diff.Proof{RequestID: "a3", HTTPStatus: 404, OktaStatus: "E0000007"}
			}
		}
	}
	current, err := latest.Records(r)
	Must(t, err)
	defer current.Close()
	var lines []byte
	lines, d.Counts = recordtest.Diff(t, current, after, rules)
	d.Changes = bytes.NewReader(lines)
	return d, removed
}

// listOf returns records of r with their keys.
func listOf(t testing.TB, r *snapshot.Resource, records ...string) *recordtest.List {
	t.Helper()
	l := recordtest.ListOf(t, records...)
	for i := range l.Records {
		var err error
		l.Records[i].Key, err = r.AppendKey(nil, l.Records[i].JSON)
		Must(t, err)
	}
	return l
}

// Writer returns a writer of the export. The end of the test closes it.
func Writer(t testing.TB, s *snapshot.Store) *snapshot.Writer {
	t.Helper()
	w, err := s.Writer(context.Background(), Export, snapshot.ThisProcess("test"))
	Must(t, err)
	t.Cleanup(func() { w.Close() }) // fails if the test has closed it
	return w
}

// Reconcile publishes records with its own writer.
func Reconcile(t testing.TB, s *snapshot.Store, started time.Time, records ...string) (*snapshot.Snapshot, error) {
	t.Helper()
	return withWriter(s, func(w *snapshot.Writer) (*snapshot.Snapshot, error) {
		err := w.Journal(snapshot.Event{Event: snapshot.EventStarted})
		var snap *snapshot.Snapshot
		if err == nil {
			snap, err = w.Publish(t.Context(), Draft(t, s, started, records...))
		}
		if err != nil { // a failed disk may also fail this
			w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: err.Error()})
		}
		return snap, err
	})
}

func withWriter[T any](s *snapshot.Store, do func(*snapshot.Writer) (T, error)) (result T, err error) {
	w, err := s.Writer(context.Background(), Export, snapshot.ThisProcess("test"))
	if err != nil {
		return result, err
	}
	result, err = do(w)
	return result, errors.Join(err, w.Close())
}

// Publish is a Reconcile that must not fail.
func Publish(t testing.TB, s *snapshot.Store, started time.Time, records ...string) *snapshot.Snapshot {
	t.Helper()
	snap, err := Reconcile(t, s, started, records...)
	Must(t, err)
	return snap
}

// Quarantine stores a quarantined read of n users.
func Quarantine(t testing.TB, s *snapshot.Store, n int) error {
	t.Helper()
	_, err := withWriter(s, func(w *snapshot.Writer) (string, error) {
		return w.Quarantine(t.Context(), Draft(t, s, Day(n), People(n)...), "too few users")
	})
	return err
}

// Release releases a quarantined read.
func Release(t testing.TB, s *snapshot.Store, name string) (*snapshot.Snapshot, error) {
	t.Helper()
	return withWriter(s, func(w *snapshot.Writer) (*snapshot.Snapshot, error) {
		by := snapshot.Override{User: "ops", Reason: "CHG-7: a site was closed"}
		return w.Release(t.Context(), name, by, snapshot.Tool{Name: "oktasync", Version: "v0.2.0"})
	})
}

// Prune applies a retention.
func Prune(t testing.TB, s *snapshot.Store, r snapshot.Retention) ([]string, error) {
	t.Helper()
	return withWriter(s, func(w *snapshot.Writer) ([]string, error) { return w.Prune(t.Context(), r) })
}

// MustPrune keeps the last snapshots and those in hold.
func MustPrune(t testing.TB, s *snapshot.Store, last int, hold ...string) {
	t.Helper()
	if names, err := Prune(t, s, snapshot.Retention{Last: last, Hold: hold}); err != nil || len(names) == 0 {
		t.Fatalf("Prune() = %v, %v", names, err)
	}
}

// Adopt adopts what Verify finds, and the loss of a head.
func Adopt(t testing.TB, s *snapshot.Store, lost ...snapshot.Head) {
	t.Helper()
	a := snapshot.Adoption{User: "ops", Reason: "a disk was lost"}
	if len(lost) > 0 {
		a.Lost = &lost[0]
	}
	Must(t, verify.Adopt(t.Context(), s, Export, snapshot.ThisProcess("test"), a, verify.Options{}, func(verify.Finding) {}))
}

// Checkpoint changes the checkpoint of the export, which must not be signed.
func Checkpoint(t testing.TB, s *snapshot.Store, change func(*snapshot.Checkpoint)) {
	t.Helper()
	c, err := s.Checkpoint(Export)
	Must(t, err)
	change(c)
	data, err := canonjson.Marshal(c)
	Must(t, err)
	Write(t, s.Path(Export, snapshot.CheckpointFile), string(data)+"\n")
}

// Find returns the snapshot that name stands for.
func Find(t testing.TB, s *snapshot.Store, name string) *snapshot.Snapshot {
	t.Helper()
	snap, err := s.Find(Export, name, nil)
	Must(t, err)
	return snap
}

// IDs returns the sorted keys of the records of a snapshot.
func IDs(t testing.TB, snap *snapshot.Snapshot, r *snapshot.Resource) []string {
	t.Helper()
	records, err := snap.Records(r)
	return slices.Sorted(maps.Keys(recordtest.ReadAll(t, records, err)))
}

// Journal returns the events of the journal.
func Journal(t testing.TB, s *snapshot.Store) (events []snapshot.Event) {
	t.Helper()
	for line := range strings.Lines(Read(t, s.Path(Export, snapshot.JournalFile))) {
		var e snapshot.Event
		Must(t, json.Unmarshal([]byte(line), &e))
		events = append(events, e)
	}
	return events
}

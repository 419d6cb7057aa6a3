package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/verify"
)

// org is a Source: what it holds is what a reading gives.
type org struct {
	users  []oktaclient.Record
	skip   func(oktaclient.Record) bool // whom no page holds, though they are there
	asked  []string                     // ids that were asked for
	script func(oktaclient.Sink)        // what a reading gives in place of users: 8 rows
	fail   error
	hook   func(ctx context.Context)
	query  oktaclient.Query // the last one asked
	later  time.Duration    // that asking for ids takes longer
	ahead  time.Duration    // of the org's clock
}

func (o *org) Read(ctx context.Context, q oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	o.query = q
	started := time.Now()
	if o.hook != nil {
		o.hook(ctx)
	}
	if err := ctx.Err(); err != nil {
		return oktaclient.ReadResult{}, err
	}
	rows := 0
	for _, u := range o.users {
		if o.skip != nil && o.skip(u) {
			continue
		}
		if err := o.give(q, u, sink); err != nil {
			return oktaclient.ReadResult{}, err
		}
		rows++
	}
	if o.script != nil {
		o.script(sink)
		rows = 8
	}
	request := oktaclient.Request{Resource: "users", Time: started, Method: "GET", Path: "/api/v1/users?limit=200", Status: 200, Rows: rows, RequestID: "r1"}
	if err := sink.Request(request); err != nil {
		return oktaclient.ReadResult{}, err
	}
	return oktaclient.ReadResult{Started: started, Finished: time.Now(), Requests: 1, Rows: rows, ClockOffset: o.ahead}, o.fail
}

func (o *org) give(q oktaclient.Query, u oktaclient.Record, sink oktaclient.Sink) error {
	if u.Status == "DEPROVISIONED" && !q.IncludeDeprovisioned {
		return sink.Outside(u)
	}
	return sink.Record(u)
}

func (o *org) Find(_ context.Context, q oktaclient.Query, ids []string, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	reading := oktaclient.ReadResult{Started: time.Now()}
	for _, id := range ids {
		o.asked = append(o.asked, id)
		request := oktaclient.Request{Resource: "users", Time: time.Now(), Method: "GET", Path: "/api/v1/users/" + id, Status: 404, RequestID: "r2"}
		if i := slices.IndexFunc(o.users, func(u oktaclient.Record) bool { return u.ID == id }); i >= 0 {
			request.Status, request.Rows = 200, 1
			if err := o.give(q, o.users[i], sink); err != nil {
				return reading, err
			}
		}
		if err := sink.Request(request); err != nil {
			return reading, err
		}
		reading.Requests++
		reading.Rows += request.Rows
	}
	reading.Finished = time.Now().Add(o.later)
	return reading, nil
}

// person returns the nth user; edits are pairs of a text and its replacement.
func person(n int, edits ...string) oktaclient.Record {
	id, updated := fmt.Sprintf("00u%05d", n), "2026-11-23T06:00:00.000Z"
	text := fmt.Sprintf(`{"id":%q,"status":"ACTIVE","lastLogin":"2026-11-20T08:00:00.000Z","lastUpdated":%q,`+
		`"profile":{"login":"p%d@example.com","department":"Sales","badge":12345678901234567890},"_links":{"self":{"href":"x"}}}`, id, updated, n)
	text = strings.NewReplacer(edits...).Replace(text)
	status := "ACTIVE"
	if strings.Contains(text, "DEPROVISIONED") {
		status = "DEPROVISIONED"
	}
	return oktaclient.Record{ID: id, Status: status, LastUpdated: updated, JSON: []byte(text)}
}

func people(from, to int) []oktaclient.Record {
	var users []oktaclient.Record
	for n := from; n < to; n++ {
		users = append(users, person(n))
	}
	return users
}

type fixture struct {
	t      *testing.T
	dir    string
	org    *org
	store  *snapshot.Store
	export reconcile.Export
	r      *reconcile.Reconciler
}

func newFixture(t *testing.T, users ...oktaclient.Record) *fixture {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "snapshots")
	of := snapshot.Org{URL: "https://acme.okta.com"}
	store, err := snapshot.Init(dir, of, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	export := reconcile.DefaultExport()
	export.Name = "all-users"
	o := &org{users: users}
	r := reconcile.New(reconcile.Config{Store: store, Source: o, Org: of, Client: snapshot.Client{ClientID: "0oa1", Scopes: []string{"okta.users.read"}},
		Tool: snapshot.Tool{Name: "oktasync", Version: "test", Commit: "unknown"}})
	return &fixture{t, dir, o, store, export, r}
}

func (f *fixture) reconcile(override string) (reconcile.Result, error) {
	f.t.Helper()
	run := snapshot.Run{Trigger: "apply", User: "ada", Host: "test"}
	if override != "" {
		run.Override = &snapshot.Override{User: "ada", Reason: override}
	}
	result, err := f.r.Reconcile(f.t.Context(), f.export, run)
	f.check()
	return result, err
}

func (f *fixture) publish() *snapshot.Snapshot {
	f.t.Helper()
	result, err := f.reconcile("")
	if err != nil {
		f.t.Fatal(err)
	}
	if result.Outcome != reconcile.Published {
		f.t.Fatalf("outcome = %s, want published", result.Outcome)
	}
	return result.Snapshot
}

// check holds the whole store against itself, and wants no open file of a plan
// left in it.
func (f *fixture) check() {
	f.t.Helper()
	summary, err := verify.Verify(f.t.Context(), f.store, verify.Options{}, func(found verify.Finding) { f.t.Errorf("verify: %s", found) })
	if err != nil || summary.Problems+summary.Notes > 0 {
		f.t.Errorf("verify: %v, %d problems, %d notes", err, summary.Problems, summary.Notes)
	}
}

func (f *fixture) latest() string {
	f.t.Helper()
	s, err := f.store.Latest("all-users")
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return ""
	} else if err != nil {
		f.t.Fatal(err)
	}
	return s.Name()
}

func (f *fixture) lastEvent() snapshot.Event {
	f.t.Helper()
	history, err := f.store.Journal("all-users")
	if err != nil {
		f.t.Fatal(err)
	}
	return history.LastEnd
}

func TestReconcilePublishesWhatWasRead(t *testing.T) {
	f := newFixture(t, person(2), person(1), person(3))
	s := f.publish()
	users, err := s.Records(snapshot.Users)
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	var got []string
	for {
		u, err := users.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(u.JSON))
	}
	want := `{"id":"00u00001","lastLogin":"2026-11-20T08:00:00.000Z","lastUpdated":"2026-11-23T06:00:00.000Z",` +
		`"profile":{"badge":12345678901234567890,"department":"Sales","login":"p1@example.com"},"status":"ACTIVE"}`
	if len(got) != 3 || got[0] != want {
		t.Errorf("users = %q, want 3, the first %s", got, want)
	}
	m := s.Manifest
	if m.Sequence != 1 || m.Previous != nil || m.Resources["users"].Total != 3 || m.Resources["users"].ByStatus["ACTIVE"] != 3 || m.Read.Requests != 1 {
		t.Errorf("manifest = %+v", m)
	}
	if !f.org.query.IncludeDeprovisioned {
		t.Error("deprovisioned users were not asked for")
	}
}

func TestReconcileCountsAUserOfTwoPagesOnce(t *testing.T) {
	newer := person(1, "Sales", "Finance", "06:00:00.000Z", "06:00:09.000Z")
	newer.LastUpdated = "2026-11-23T06:00:09.000Z"
	s := newFixture(t, newer, person(2), person(1)).publish()
	if m := s.Manifest; m.Resources["users"].Total != 2 || m.Resources["users"].Duplicates != 1 || m.Resources["users"].Rows != 3 {
		t.Errorf("total %d, duplicates %d, rows %d", m.Resources["users"].Total, m.Resources["users"].Duplicates, m.Resources["users"].Rows)
	}
}

func TestPlanNamesEachKindAndIsQuietRightAfterApply(t *testing.T) {
	f := newFixture(t, people(0, 200)...)
	f.export.Users.Guard.AtLeast = 100
	plan := f.plan()
	if !plan.Changed() || plan.Resources[0].Base != snapshot.BaseNone {
		t.Errorf("before the first: changed %t, base %s", plan.Changed(), plan.Resources[0].Base)
	}
	f.publish()
	if plan := f.plan(); plan.Changed() {
		t.Errorf("right after apply: %+v", plan.Resources[0].Counts)
	}

	f.org.users = append(people(2, 200), person(300), person(301))
	for i := range 3 {
		f.org.users[i] = person(i+2, "Sales", "Finance")
	}
	for i := 3; i < 5; i++ {
		f.org.users[i] = person(i+2, "ACTIVE", "DEPROVISIONED")
	}
	for i := 5; i < 9; i++ {
		f.org.users[i] = person(i+2, "2026-11-20T08", "2026-11-22T09") // lastLogin only
	}
	kinds := map[diff.Kind]int{}
	plan = f.plan()
	if err := plan.Changes(func(_ *snapshot.Resource, c *diff.Change) error { kinds[c.Kind]++; return nil }); err != nil {
		t.Fatal(err)
	}
	want := map[diff.Kind]int{diff.Moved: 3, diff.Deactivated: 2, diff.Joined: 2, diff.Deleted: 2}
	if fmt.Sprint(kinds) != fmt.Sprint(want) || !plan.Changed() {
		t.Errorf("kinds = %v, want %v", kinds, want)
	}
	if got := f.publish().Manifest.Resources["users"]; fmt.Sprint(got.Kinds) != fmt.Sprint(want) {
		t.Errorf("published kinds = %v, want %v", got.Kinds, want)
	}
}

func (f *fixture) plan() *reconcile.Plan {
	f.t.Helper()
	plan, err := f.r.Plan(f.t.Context(), f.export)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { plan.Close() })
	return plan
}

func TestPlanLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := newFixture(t, people(0, 50)...)
	f.publish()
	before := tree(t, f.dir)
	f.org.users = people(0, 40)
	f.plan().Close()
	if after := tree(t, f.dir); !slices.Equal(before, after) {
		t.Errorf("store after plan = %v, want %v", after, before)
	}
	if left := tree(t, os.Getenv("TMPDIR")); len(left) > 1 {
		t.Errorf("temporary files left: %v", left)
	}
}

func tree(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestGuardQuarantinesAReadingThatLostTooMany(t *testing.T) {
	tests := []struct {
		name  string
		first []oktaclient.Record
		then  []oktaclient.Record
		want  string
	}{
		{"everybody gone", people(0, 120), nil, "quarantined: 0 users read, the guard requires at least 1; 120 of 120 users gone, the guard allows 1%"},
		{"a quarter gone", people(0, 120), people(30, 120), "quarantined: 30 of 120 users gone, the guard allows 1%"},
		{"many deactivated", people(0, 120), deactivated(120, 26), "quarantined: 26 of 120 users deactivated, the guard allows 5%"},
		{"empty at the very first", nil, nil, "quarantined: 0 users read, the guard requires at least 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, tt.first...)
			if tt.first != nil {
				f.publish()
			}
			before := f.latest()
			f.org.users = tt.then
			_, err := f.reconcile("")
			var held *reconcile.QuarantinedError
			if !errors.As(err, &held) || err.Error() != tt.want {
				t.Fatalf("err = %v, want %s", err, tt.want)
			}
			if f.latest() != before {
				t.Errorf("latest = %q, want %q", f.latest(), before)
			}
			if e := f.lastEvent(); e.Event != snapshot.EventQuarantined || e.Snapshot != held.Name {
				t.Errorf("last event = %+v", e)
			}
			result, err := f.reconcile("CHG-1042")
			if err != nil {
				t.Fatal(err)
			}
			o := result.Snapshot.Manifest.Run.Override
			if o == nil || o.User != "ada" || o.Reason != "CHG-1042" || "quarantined: "+o.Guard != tt.want {
				t.Errorf("override = %+v", o)
			}
			if e := f.lastEvent(); e.Event != snapshot.EventPublished || e.Reason != "CHG-1042" || e.User != "ada" {
				t.Errorf("journal of the override = %+v", e)
			}
		})
	}
}

// deactivated returns n people of whom the first few are deactivated.
func deactivated(n, few int) []oktaclient.Record {
	users := people(0, n)
	for i := range few {
		users[i] = person(i, "ACTIVE", "DEPROVISIONED")
	}
	return users
}

func TestGuardLetsFewPeoplePass(t *testing.T) {
	f := newFixture(t, people(0, 100)...)
	f.publish()
	f.org.users = people(24, 100) // fewer than at_least
	f.publish()
}

func TestOverrideWithNothingToOverrideIsNotRecorded(t *testing.T) {
	f := newFixture(t, people(0, 3)...)
	result, err := f.reconcile("to be safe")
	if err != nil {
		t.Fatal(err)
	}
	if o := result.Snapshot.Manifest.Run.Override; o != nil {
		t.Errorf("override = %+v, want none", o)
	}
}

func TestFailedReadingKeepsTheNewestSnapshot(t *testing.T) {
	f := newFixture(t, people(0, 30)...)
	f.publish()
	before := f.latest()
	f.org.fail = errors.New("okta: 500 E0000009 (request r9)")
	_, err := f.reconcile("")
	if err == nil || err.Error() != "read users: okta: 500 E0000009 (request r9), after 30 users in 1 requests" {
		t.Errorf("err = %v", err)
	}
	if e := f.lastEvent(); e.Event != snapshot.EventFailed || !strings.Contains(e.Error, "E0000009") {
		t.Errorf("last event = %+v", e)
	}
	if f.latest() != before {
		t.Errorf("latest = %q, want %q", f.latest(), before)
	}
}

func TestPanicFailsOneReconcile(t *testing.T) {
	f := newFixture(t, people(0, 3)...)
	f.org.hook = func(context.Context) { panic("secret@example.com") }
	_, err := f.reconcile("")
	if err == nil || !strings.Contains(err.Error(), "internal error") || strings.Contains(err.Error(), "secret") {
		t.Errorf("err = %v", err)
	}
	if e := f.lastEvent(); e.Event != snapshot.EventFailed {
		t.Errorf("last event = %+v", e)
	}
	f.org.hook = nil
	f.publish()
}

func TestReadingLongerThanItsTimeoutFails(t *testing.T) {
	f := newFixture(t, people(0, 3)...)
	f.export.Timeout = time.Nanosecond
	f.org.hook = func(ctx context.Context) { <-ctx.Done() }
	_, err := f.reconcile("")
	if err == nil || !strings.Contains(err.Error(), "timeout of 1ns") {
		t.Errorf("err = %v", err)
	}
	if e := f.lastEvent(); e.Event != snapshot.EventFailed {
		t.Errorf("last event = %+v", e)
	}
}

func TestCancelledReconcileIsJournaledAsSuch(t *testing.T) {
	f := newFixture(t, people(0, 3)...)
	ctx, cancel := context.WithCancel(t.Context())
	f.org.hook = func(context.Context) { cancel() }
	if _, err := f.r.Reconcile(ctx, f.export, snapshot.Run{Trigger: "schedule"}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want context.Canceled", err)
	}
	if e := f.lastEvent(); e.Event != snapshot.EventCancelled {
		t.Errorf("last event = %+v", e)
	}
}

func TestOnChangePublishesOnlyChanges(t *testing.T) {
	f := newFixture(t, people(0, 3)...)
	f.export.Snapshot = reconcile.OnChange
	first := f.publish()
	result, err := f.reconcile("")
	if err != nil || result.Outcome != reconcile.Unchanged {
		t.Fatalf("outcome = %s, %v; want unchanged", result.Outcome, err)
	}
	if e := f.lastEvent(); e.Event != snapshot.EventUnchanged || e.Snapshot != first.Name() {
		t.Errorf("last event = %+v", e)
	}
	f.export.Users.Attributes.Exclude = append(f.export.Users.Attributes.Exclude, "profile.badge")
	if s := f.publish(); s.Manifest.Resources["users"].Changed != 0 {
		t.Errorf("an attribute no longer declared made %d changes", s.Manifest.Resources["users"].Changed)
	}
}

func TestOtherUsersDeclaredAreNotCompared(t *testing.T) {
	f := newFixture(t, people(0, 100)...)
	f.publish()
	f.export.Users.Search = `profile.department eq "Sales"`
	f.org.users = people(0, 10)
	s := f.publish()
	if u := s.Manifest.Resources["users"]; u.Base != snapshot.BaseReset || u.Removed != 0 {
		t.Errorf("users = %+v", u)
	}
}

func TestSecondReconcileOfAnExportIsToldWhoHoldsIt(t *testing.T) {
	f := newFixture(t, people(0, 3)...)
	f.org.hook = func(context.Context) {
		f.org.hook = nil
		_, err := f.r.Reconcile(t.Context(), f.export, snapshot.Run{Trigger: "apply"})
		var locked *snapshot.LockedError
		if !errors.As(err, &locked) || locked.Holder.PID != os.Getpid() {
			t.Errorf("err = %v, want a LockedError that names this process", err)
		}
	}
	f.publish()
}

// A store that can't be continued fails a run before it reads the org, and the
// journal has it: whoever watches the export sees it there.
func TestDamagedNewestSnapshotFailsAtOnce(t *testing.T) {
	f := newFixture(t, people(0, 30)...)
	manifest := filepath.Join(f.publish().Dir(), "manifest.json")
	if err := os.WriteFile(manifest, []byte(`{"format":`), 0o600); err != nil {
		t.Fatal(err)
	}
	f.org.fail = errors.New("the org was read")
	_, err := f.r.Reconcile(t.Context(), f.export, snapshot.Run{Trigger: "apply", User: "ada"})
	want := "open newest snapshot: read " + manifest + ": it is cut short"
	if err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
	if e := f.lastEvent(); e.Event != snapshot.EventFailed || e.Error != want {
		t.Errorf("last event = %+v", e)
	}
}

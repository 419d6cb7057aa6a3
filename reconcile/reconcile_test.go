package reconcile_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

func TestQuarantine(t *testing.T) {
	tests := []struct {
		name  string
		first []oktaclient.Record
		then  []oktaclient.Record
		want  string
	}{
		{"all gone", people(0, 120), nil, "quarantined: 0 users read, the guard requires at least 1; 120 of 120 users gone, the guard allows 1%"},
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
			result, err := f.reconcile("")
			var quarantined *reconcile.QuarantinedError
			if !errors.As(err, &quarantined) || err.Error() != tt.want || result.Outcome != reconcile.Quarantined {
				t.Fatalf("outcome %s, %v, want %s", result.Outcome, err, tt.want)
			}
			if f.latest() != before {
				t.Errorf("latest = %q, want %q", f.latest(), before)
			}
			if e := f.lastEvent(); e.Event != snapshot.EventQuarantined || e.Snapshot != quarantined.Name {
				t.Errorf("last event = %+v", e)
			}
			if result, err = f.reconcile("CHG-1042"); err != nil {
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

// deactivated returns n people; the first few are deactivated.
func deactivated(n, few int) []oktaclient.Record {
	users := people(0, n)
	for i := range few {
		users[i] = person(i, "ACTIVE", "DEPROVISIONED")
	}
	return users
}

func TestNeedlessOverrideIsNotRecorded(t *testing.T) {
	f := newFixture(t, people(0, 3)...)
	result, err := f.reconcile("to be safe")
	if err != nil {
		t.Fatal(err)
	}
	if o := result.Snapshot.Manifest.Run.Override; o != nil {
		t.Errorf("override = %+v, want none", o)
	}
}

// Each failure keeps the newest snapshot, and has an event in the journal. The
// next reconcile works.
func TestFailures(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(f *fixture, cancel func())
		want    string // part of the error
		outcome reconcile.Outcome
		event   string
	}{
		{"read", func(f *fixture, _ func()) { f.org.fail = errors.New("okta: 500 E0000009 (request r9)") },
			"read users: okta: 500 E0000009 (request r9), after 30 users in 1 requests", reconcile.Failed, snapshot.EventFailed},
		{"panic", func(f *fixture, _ func()) { f.org.hook = func(context.Context) { panic("secret@example.com") } },
			"internal error: panic at ", reconcile.Failed, snapshot.EventFailed},
		{"timeout", func(f *fixture, _ func()) {
			f.export.Timeout = time.Nanosecond
			f.org.hook = func(ctx context.Context) { <-ctx.Done() }
		}, "timeout of 1ns", reconcile.Failed, snapshot.EventFailed},
		{"cancelled", func(f *fixture, cancel func()) { f.org.hook = func(context.Context) { cancel() } },
			"context canceled", reconcile.Cancelled, snapshot.EventCancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, people(0, 30)...)
			f.publish()
			before, timeout := f.latest(), f.export.Timeout
			ctx, cancel := context.WithCancel(t.Context())
			test.prepare(f, cancel)
			result, err := f.r.Reconcile(ctx, f.export, snapshot.Run{Trigger: "schedule"})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") || result.Outcome != test.outcome {
				t.Errorf("outcome %s, %v, want %s, %q", result.Outcome, err, test.outcome, test.want)
			}
			if e := f.lastEvent(); e.Event != test.event || e.Event == snapshot.EventFailed && e.Error != err.Error() {
				t.Errorf("last event = %+v", e)
			}
			if f.latest() != before {
				t.Errorf("latest = %q, want %q", f.latest(), before)
			}
			f.org.hook, f.org.fail, f.export.Timeout = nil, nil, timeout
			f.publish()
		})
	}
}

func TestOnChange(t *testing.T) {
	f := newFixture(t, people(0, 100)...)
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
	if u := f.publish().Manifest.Resources["users"]; u.Changed != 0 {
		t.Errorf("users = %+v, want no changes by an attribute that is no longer declared", u)
	}
	f.export.Users.Search = `profile.department eq "Sales"`
	f.org.users = people(0, 10)
	if u := f.publish().Manifest.Resources["users"]; u.Base != snapshot.BaseReset || u.Removed != 0 {
		t.Errorf("users = %+v, want no comparison with other declared users", u)
	}
}

// A panic before the store is open fails the reconcile.
func TestOutcomeOfAPanic(t *testing.T) {
	export := reconcile.DefaultExport()
	export.Name = "all-users"
	result, err := reconcile.New(reconcile.Config{}).Reconcile(t.Context(), export, snapshot.Run{})
	if err == nil || result.Outcome != reconcile.Failed {
		t.Errorf("outcome = %s, %v; want failed", result.Outcome, err)
	}
}

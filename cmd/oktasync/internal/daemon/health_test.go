package daemon

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

func TestHealthOf(t *testing.T) {
	hourly, err := scheduler.Parse("@hourly", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	midnight := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	at := func(event string, d time.Duration) snapshot.Event {
		return snapshot.Event{Event: event, Time: snapshot.At(midnight.Add(d))}
	}
	started := at(snapshot.EventStarted, 0)
	for _, test := range []struct {
		name    string
		history snapshot.History
		when    scheduler.Schedule
		now     time.Duration
		want    State
		since   time.Duration
	}{
		{"before its due time", snapshot.History{LastStarted: started, LastEnd: at(snapshot.EventPublished, time.Minute), LastDone: at(snapshot.EventPublished, time.Minute)}, hourly, 59 * time.Minute, StateUpToDate, 0},
		{"within its timeout", snapshot.History{LastStarted: started, LastEnd: at(snapshot.EventPublished, time.Minute), LastDone: at(snapshot.EventPublished, time.Minute)}, hourly, 90 * time.Minute, StateUpToDate, 0},
		{"past its timeout", snapshot.History{LastStarted: started, LastEnd: at(snapshot.EventPublished, time.Minute), LastDone: at(snapshot.EventPublished, time.Minute)}, hourly, 91 * time.Minute, StateOverdue, time.Hour},
		{"never ran", snapshot.History{}, hourly, 91 * time.Minute, StateOverdue, time.Hour},
		{"only by apply", snapshot.History{LastStarted: started, LastEnd: at(snapshot.EventPublished, time.Minute), LastDone: at(snapshot.EventPublished, time.Minute)}, nil, 900 * time.Hour, StateUpToDate, 0},
		{"running", snapshot.History{LastStarted: started}, hourly, 29 * time.Minute, StateUpToDate, 0},
		{"killed", snapshot.History{LastStarted: started}, hourly, 31 * time.Minute, StateFailing, 0},
		{"failed", snapshot.History{LastStarted: started, LastEnd: at(snapshot.EventFailed, time.Minute), LastDone: at(snapshot.EventFailed, time.Minute)}, hourly, 2 * time.Minute, StateFailing, time.Minute},
		{"quarantined", snapshot.History{LastStarted: started, LastEnd: at(snapshot.EventQuarantined, time.Minute), LastDone: at(snapshot.EventQuarantined, time.Minute)}, hourly, 2 * time.Minute, StateQuarantined, time.Minute},
		{"cancelled", snapshot.History{LastStarted: started, LastEnd: at(snapshot.EventCancelled, time.Minute)}, hourly, 2 * time.Minute, StateUpToDate, 0},
	} {
		got := HealthOf(reconcile.Export{Name: "staff", Timeout: 30 * time.Minute}, test.history, test.when, midnight, midnight.Add(test.now))
		since := time.Time{}
		if test.want != StateUpToDate {
			since = midnight.Add(test.since)
		}
		if got.State != test.want || !got.Since.Equal(since) {
			t.Errorf("%s: %s, want %s since %s", test.name, got, test.want, since)
		}
	}
}

// An export is damaged if the last verify or Survey found a problem, and failing if it has
// no snapshot left.
func TestHealthSurveyed(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	hour := snapshot.At(now.Add(-time.Hour))
	for _, test := range []struct {
		verified *Verified
		found    Surveyed
		want     string
	}{
		{nil, Surveyed{}, "up to date"},
		{nil, Surveyed{Pruned: 2}, "up to date"},
		{nil, Surveyed{Pruned: 2, allPruned: true}, "failing since 2026-11-23T00:00:00Z: no snapshot: all were pruned"},
		{&Verified{Time: hour}, Surveyed{}, "up to date"},
		{&Verified{Time: hour, Problems: "3 problems"}, Surveyed{}, "damaged since 2026-11-22T23:00:00Z: the last verify found 3 problems"},
		{&Verified{Time: hour, Problems: "1 problem"}, Surveyed{Damage: []string{"a is missing"}}, "damaged since 2026-11-22T23:00:00Z: the last verify found 1 problem"},
		{&Verified{Time: hour}, Surveyed{Damage: []string{"a is missing"}}, "damaged since 2026-11-23T00:00:00Z: a is missing"},
		{nil, Surveyed{Damage: []string{"a is missing", "b is missing", "c is missing"}}, "damaged since 2026-11-23T00:00:00Z: a is missing, and 2 more"},
	} {
		if got := (Health{State: StateUpToDate}).Surveyed(test.verified, test.found, now).String(); got != test.want {
			t.Errorf("Surveyed(%v, %+v) = %q, want %q", test.verified, test.found, got, test.want)
		}
	}
	if n := (&Verified{Problems: "12 problems"}).problems(); n != 12 {
		t.Errorf("problems() = %d, want 12", n)
	}
}

// A failure stays until the next success. A locked export isn't a failure.
func TestFailures(t *testing.T) {
	f := failures{last: make(map[string]failure)}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"success", nil, ""},
		{"failed", errors.New("disk full"), "disk full"},
		{"locked", fmt.Errorf("open: %w", &snapshot.LockedError{}), "disk full"},
		{"later success", nil, ""},
	} {
		f.record("staff", test.err)
		h, failed := f.of("staff")
		if failed != (test.want != "") || h.Reason != test.want || failed && h.State != StateFailing {
			t.Errorf("%s: %+v, %t", test.name, h, failed)
		}
	}
}

package daemon

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// The next daemon repeats a cancelled reconcile, but not a killed one, and not one that
// reads factors.
func TestLastStart(t *testing.T) {
	at := func(event string, hour int) snapshot.Event {
		return snapshot.Event{Event: event, Time: snapshot.At(time.Date(2026, 11, 23, hour, 0, 0, 0, time.UTC))}
	}
	started, published, cancelled, failed := snapshot.EventStarted, snapshot.EventPublished, snapshot.EventCancelled, snapshot.EventFailed
	factors := reconcile.Export{Factors: new(reconcile.Resource)}
	for _, history := range []snapshot.History{
		{LastStarted: at(started, 6), LastEnd: at(cancelled, 7), LastDone: at(published, 1), Undone: at(started, 6)},
		{LastStarted: at(started, 6), LastEnd: at(cancelled, 7), Undone: at(started, 6)},
	} {
		if got, want := lastStart(history, factors), at("", 6).Time.Time; !got.Equal(want) {
			t.Errorf("cancelled, with factors: last start = %s, want %s", got, want)
		}
	}
	for _, test := range []struct {
		name    string
		history snapshot.History
		want    time.Time
	}{
		{"never started", snapshot.History{}, time.Time{}},
		{"done", snapshot.History{LastStarted: at(started, 6), LastEnd: at(published, 7), LastDone: at(published, 7)}, at("", 6).Time.Time},
		{"failed", snapshot.History{LastStarted: at(started, 6), LastEnd: at(failed, 7), LastDone: at(failed, 7)}, at("", 6).Time.Time},
		{"killed after a failed one", snapshot.History{LastStarted: at(started, 8), LastEnd: at(failed, 7), LastDone: at(failed, 7)}, at("", 8).Time.Time},
		{"cancelled", snapshot.History{LastStarted: at(started, 6), LastEnd: at(cancelled, 7), LastDone: at(published, 1), Undone: at(started, 6)}, at("", 1).Time.Time},
		{"cancelled at the first try", snapshot.History{LastStarted: at(started, 6), LastEnd: at(cancelled, 7), Undone: at(started, 6)}, at("", 6).Time.Add(-time.Second)},
		{"killed", snapshot.History{LastStarted: at(started, 6), LastEnd: at(published, 2), LastDone: at(published, 2), Undone: at(started, 6)}, at("", 6).Time.Time},
		{"killed after a cancelled one", snapshot.History{LastStarted: at(started, 6), LastEnd: at(cancelled, 5), LastDone: at(published, 2), Undone: at(started, 4)}, at("", 6).Time.Time},
	} {
		if got := lastFailed(test.history); got.IsZero() == (test.name == "failed") {
			t.Errorf("%s: last failed = %s", test.name, got)
		}
		if got := lastStart(test.history, reconcile.Export{}); !got.Equal(test.want) {
			t.Errorf("%s: last start = %s, want %s", test.name, got, test.want)
		}
	}
}

// A verify that was due while no daemon ran is made up, because the journal contains the
// time of the last one. The first verify waits for its due time.
func TestVerifyIsMadeUp(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := config.Default()
		cfg.Okta.OrgURL, cfg.Store.Path, cfg.Daemon.Verify = "https://acme.okta.com", dir, "@weekly"
		export := reconcile.DefaultExport()
		export.Name = "staff"
		cfg.Exports = append(cfg.Exports, export)
		store, err := org.OpenStore(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		last := func() time.Time {
			t.Helper()
			d := newDaemon(Options{}, slog.New(slog.DiscardHandler))
			s := &service{daemon: d, cfg: cfg, store: store, schedules: make(map[string]scheduler.Schedule), since: make(map[string]time.Time)}
			if err := s.schedule(nil); err != nil || len(s.jobs) != 1 || s.jobs[0].Name != verifyJob {
				t.Fatalf("jobs %+v, %v", s.jobs, err)
			}
			return s.jobs[0].Last
		}
		if got := last(); !got.Equal(time.Now()) {
			t.Errorf("before the first verify, the last start is %s, want %s", got, time.Now())
		}
		s := &service{daemon: newDaemon(Options{}, slog.New(slog.DiscardHandler)), cfg: cfg, store: store}
		s.record(t.Context(), []string{export.Name}, nil)
		verified := time.Now()
		time.Sleep(9 * 24 * time.Hour)
		if got := last(); !got.Equal(verified) {
			t.Errorf("the last verify was %s, want %s", got, verified)
		}
	})
}

// If a reload replaces the service between the due time of a job and its start, the job
// uses the new configuration. It does nothing if the export is gone.
func TestReloadAsAJobStarts(t *testing.T) {
	cfg := config.Default()
	cfg.Store.Path = t.TempDir()
	export := reconcile.DefaultExport()
	export.Name, export.Schedule = "staff", "@daily"
	cfg.Exports = append(cfg.Exports, export)
	store, err := snapshot.Init(cfg.Store.Path, snapshot.Org{URL: "https://acme.okta.com"}, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(Options{}, slog.New(slog.DiscardHandler))
	before := &service{daemon: d, cfg: cfg, store: store, schedules: make(map[string]scheduler.Schedule), since: make(map[string]time.Time)}
	if err := before.schedule(nil); err != nil || len(before.jobs) != 2 {
		t.Fatalf("jobs %+v, %v", before.jobs, err)
	}
	after := &service{daemon: d, cfg: config.Default(), store: store}
	d.current.Store(after)
	before.running.Lock() // it is retiring
	for _, job := range before.jobs {
		if err := job.Run(t.Context()); err != nil {
			t.Errorf("%s: %v", job.Name, err)
		}
	}
	_, release := d.acquire()
	if after.running.TryLock() {
		t.Error("a reload wouldn't wait for the job")
	}
	release()
}

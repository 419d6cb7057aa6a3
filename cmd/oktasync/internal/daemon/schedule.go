package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// lastMet returns when an export last started in time, for the scheduler. A
// reconcile that was cancelled when the daemon stopped doesn't count, so that the
// next start makes it up. A reconcile that was killed counts: if it killed the
// process itself, to make it up would do so again.
func lastMet(h snapshot.History) time.Time {
	switch {
	case h.LastEnd.Event != snapshot.EventCancelled || h.LastStarted.Time.After(h.LastEnd.Time.Time):
		return h.LastStarted.Time.Time
	case !h.LastDone.Time.IsZero():
		return h.LastDone.Time.Time
	}
	return h.Undone.Time.Add(-time.Second) // no reconcile ended before it
}

// lastFailed returns when the last reconcile ended, if it failed. The scheduler
// then retries it, as if the daemon had not stopped.
func lastFailed(h snapshot.History) time.Time {
	if h.LastEnd.Event != snapshot.EventFailed || h.LastStarted.Time.After(h.LastEnd.Time.Time) {
		return time.Time{}
	}
	return h.LastEnd.Time.Time
}

// schedule makes a job of each export with a schedule, and one of daemon.verify.
// The journals have the last run of each job, so that missed runs are made up.
func (s *service) schedule(before *service) error {
	for _, export := range s.cfg.Exports {
		if export.Schedule == "" {
			continue
		}
		when, err := scheduler.Parse(export.Schedule, export.Location())
		if err != nil {
			return fmt.Errorf("%s: schedule: %w", export.Name, err)
		}
		history, err := s.store.Journal(export.Name)
		if err != nil {
			return err
		}
		s.schedules[export.Name] = when
		s.since[export.Name] = s.scheduledSince(export, before)
		s.jobs = append(s.jobs, scheduler.Job{
			Name:     export.Name,
			Schedule: when,
			Last:     lastMet(history),
			Failed:   lastFailed(history),
			Retry:    scheduler.Retry{Most: export.Retry.Most, FirstWait: export.Retry.FirstWait},
			Run:      func(ctx context.Context) error { return s.reconcileNow(ctx, export.Name) },
		})
	}
	if len(s.jobs) == 0 {
		s.log.Warn("no export has a schedule: the daemon has nothing to do")
	}
	if s.cfg.Daemon.Verify == "" {
		return nil
	}
	when, err := scheduler.Parse(s.cfg.Daemon.Verify, time.UTC)
	if err != nil {
		return fmt.Errorf("daemon.verify: %w", err)
	}
	last, _ := s.lastVerify()
	if last.IsZero() {
		last = time.Now() // the first verify waits for its due time
	}
	s.jobs = append(s.jobs, scheduler.Job{Name: verifyJob, Schedule: when, Last: last, Run: s.verifyNow})
	return nil
}

// scheduledSince returns when the schedule of an export began to apply: at the
// start, or at the reload that changed it.
func (s *service) scheduledSince(export reconcile.Export, before *service) time.Time {
	if before != nil {
		i := slices.IndexFunc(before.cfg.Exports, func(e reconcile.Export) bool { return e.Name == export.Name })
		if i >= 0 && before.cfg.Exports[i].Schedule == export.Schedule && before.cfg.Exports[i].TimeZone == export.TimeZone {
			return before.since[export.Name]
		}
	}
	return time.Now()
}

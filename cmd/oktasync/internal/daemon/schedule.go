package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// lastStart returns the last start of an export, for the scheduler. A reconcile that
// was cancelled because the daemon stopped doesn't count, so that the next daemon runs
// it again. A reconcile that was killed counts, because it may have killed the process.
// A reconcile that reads factors also counts, because it can take hours of the rate limit.
func lastStart(h snapshot.History, export reconcile.Export) time.Time {
	switch {
	case export.Factors != nil, h.LastEnd.Event != snapshot.EventCancelled || h.LastStarted.Time.After(h.LastEnd.Time.Time):
		return h.LastStarted.Time.Time
	case !h.LastDone.Time.IsZero():
		return h.LastDone.Time.Time
	}
	return h.Undone.Time.Add(-time.Second) // before the first reconcile, so that it is due again
}

// lastFailed returns the end of the last reconcile if it failed, otherwise zero. The
// scheduler then retries it, as if the daemon hadn't stopped.
func lastFailed(h snapshot.History) time.Time {
	if h.LastEnd.Event != snapshot.EventFailed || h.LastStarted.Time.After(h.LastEnd.Time.Time) {
		return time.Time{}
	}
	return h.LastEnd.Time.Time
}

// Schedule returns the schedule of an export, with its splay, or nil if it has none.
// The delay depends on the name of the export, the host and the store.
func Schedule(export reconcile.Export, store *snapshot.Store) (scheduler.Schedule, error) {
	if export.Schedule == "" {
		return nil, nil
	}
	when, err := scheduler.Parse(export.Schedule, export.Location())
	if err != nil {
		return nil, fmt.Errorf("%s: schedule: %w", export.Name, err)
	}
	host, _ := os.Hostname()
	sum := sha256.Sum256([]byte(export.Name + "\x00" + host + "\x00" + store.ID()))
	delay := binary.BigEndian.Uint64(sum[:]) % uint64(export.Splay/time.Second+1)
	return scheduler.Delayed(when, time.Duration(delay)*time.Second), nil
}

// schedule creates a job for each export with a schedule, and one for daemon.verify.
// The journals contain the last run of each job, so that missed runs are made up.
func (s *service) schedule(before *service) error {
	for _, export := range s.cfg.Exports {
		when, err := Schedule(export, s.store)
		if err != nil {
			return err
		}
		if when == nil {
			continue
		}
		history, err := s.store.Journal(export.Name)
		if _, mismatch := errors.AsType[*snapshot.MismatchError](err); err != nil && !mismatch { // watch logs a mismatch
			return err
		}
		s.schedules[export.Name] = when
		s.since[export.Name] = s.scheduledSince(export, before)
		s.jobs = append(s.jobs, scheduler.Job{
			Name:     export.Name,
			Schedule: when,
			Last:     lastStart(history, export),
			Failed:   lastFailed(history),
			Retry:    scheduler.Retry{Most: export.Retry.Most, FirstWait: export.Retry.FirstWait},
			Run: func(ctx context.Context) (err error) {
				protect(s.log, func() { err = s.reconcileNow(ctx, export.Name) })
				return err
			},
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
	s.jobs = append(s.jobs, scheduler.Job{Name: verifyJob, Schedule: when, Last: last, Run: func(ctx context.Context) (err error) {
		protect(s.log, func() { err = s.verifyNow(ctx) })
		return err
	}})
	return nil
}

// scheduledSince returns the time from which the schedule of an export applies: the
// start of the daemon, or the reload that changed the schedule.
func (s *service) scheduledSince(export reconcile.Export, before *service) time.Time {
	if before != nil {
		i := slices.IndexFunc(before.cfg.Exports, func(e reconcile.Export) bool { return e.Name == export.Name })
		if i >= 0 && before.cfg.Exports[i].Schedule == export.Schedule && before.cfg.Exports[i].TimeZone == export.TimeZone &&
			before.cfg.Exports[i].Splay == export.Splay {
			return before.since[export.Name]
		}
	}
	return time.Now()
}

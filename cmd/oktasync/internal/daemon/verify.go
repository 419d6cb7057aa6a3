package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

// verifyJob is the name of the job that verifies the store. It isn't a valid name of an
// export.
const verifyJob = "daemon.verify"

// verify verifies the whole store. It logs the result.
func (s *service) verify(ctx context.Context) error {
	err := s.verifyStore(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		s.log.Warn("verify cancelled")
	case err != nil:
		s.log.Error("verify failed", "err", err)
	}
	return err
}

func (s *service) verifyStore(ctx context.Context) error {
	signers, err := org.AllowedSigners(s.cfg.Store.AllowedSignersFile)
	if err != nil {
		return err
	}
	authorities, err := org.Authorities(s.cfg)
	if err != nil {
		return err
	}
	exports, err := s.store.Exports()
	if err != nil {
		return err
	}
	problems := make(map[string]int)
	summary, err := verify.Verify(ctx, s.store, verify.Options{Exports: exports, Signers: signers, Authorities: authorities}, func(f verify.Finding) {
		level := slog.LevelInfo
		if !f.Note {
			level = slog.LevelError
			problems[f.Export]++
		}
		s.log.Log(ctx, level, "verify finding", "finding", f.String())
	})
	if err != nil {
		return err
	}
	s.record(ctx, exports, problems)
	s.metrics.Verified(summary.Problems, time.Now())
	s.log.Info("store verified", "snapshots", summary.Snapshots, "problems", summary.Problems)
	return nil
}

// verifyNow verifies the store of the current service.
func (d *daemon) verifyNow(ctx context.Context) error {
	s, release := d.acquire()
	defer release()
	return s.verify(ctx)
}

// lastVerify returns the time of the last verify by a daemon, zero for never, and the
// number of problems.
func (s *service) lastVerify() (at time.Time, problems int) {
	for _, export := range s.cfg.Exports {
		history, err := s.histories.get(s.store, export.Name)
		if v := LastVerified(history); err == nil && v != nil {
			problems += v.problems()
			if v.Time.After(at) {
				at = v.Time.Time
			}
		}
	}
	return at, problems
}

// record writes the result of a verify to the journals. While another process writes to
// them, it waits, up to recordWait.
func (s *service) record(ctx context.Context, exports []string, problems map[string]int) {
	end := time.Now().Add(recordWait)
	for _, export := range exports {
		err := s.recordOne(ctx, export, problems[export])
		for isLocked(err) && time.Now().Before(end) && wait(ctx, time.Second) {
			err = s.recordOne(ctx, export, problems[export])
		}
		if err != nil {
			s.log.Warn("verify not journaled", "export", export, "err", err)
		}
	}
}

const recordWait = 5 * time.Minute

func (s *service) recordOne(ctx context.Context, export string, problems int) (err error) {
	w, err := s.store.Writer(ctx, export, snapshot.ThisProcess("verify"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	event := snapshot.Event{Event: snapshot.EventVerified}
	if problems > 0 {
		event.Error = term.Plural(problems, "problem")
	}
	return w.Journal(event)
}

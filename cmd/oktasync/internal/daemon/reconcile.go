package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/reconcile"
)

// The outcomes of a reconcile that ended with another error than a quarantine.
const (
	outcomeFailed    = "failed"
	outcomeCancelled = "cancelled"
)

var outcomes = []string{
	string(reconcile.Published), string(reconcile.Unchanged), string(reconcile.Quarantined), outcomeFailed, outcomeCancelled,
}

// outcomeOf returns how a reconcile ended, in the words of the journal.
func outcomeOf(ctx context.Context, r reconcile.Result, err error) string {
	var held *reconcile.HeldError
	switch {
	case errors.As(err, &held):
		return string(reconcile.Quarantined)
	case err != nil && ctx.Err() != nil:
		return outcomeCancelled
	case err != nil:
		return outcomeFailed
	}
	return string(r.Outcome)
}

// reconcile runs the job of one export. It returns nil for a quarantined read:
// another read would not satisfy the guard either.
func (s *service) reconcile(ctx context.Context, export reconcile.Export) error {
	result, err := s.reconciler.Reconcile(ctx, export, org.Run(s.cfg, "schedule"))
	outcome := outcomeOf(ctx, result, err)
	logResult(ctx, s.log, export.Name, outcome, result, err)
	s.metrics.Reconcile(export.Name, outcome, result.Elapsed)
	if result.Snapshot != nil && err == nil {
		for kind, n := range result.Snapshot.Manifest.Resources.Users.Kinds {
			s.metrics.Changes(export.Name, string(kind), n)
		}
	}
	s.notifyResult(export.Name, result, err)
	if outcome == string(reconcile.Quarantined) {
		err = nil
	}
	if ctx.Err() == nil {
		s.failures.note(export.Name, err)
	}
	s.notifyStates()
	return err
}

// logResult writes the one log line of a reconcile.
func logResult(ctx context.Context, log *slog.Logger, export, outcome string, r reconcile.Result, err error) {
	attrs := []slog.Attr{slog.String("export", export), slog.Duration("elapsed", r.Elapsed.Round(time.Millisecond))}
	if r.Plan != nil {
		c := r.Plan.Counts
		attrs = append(attrs, slog.Int("users", c.Total), slog.Int("added", c.Added), slog.Int("changed", c.Changed),
			slog.Int("removed", c.Removed), slog.Int("requests", r.Plan.Requests()))
	}
	level, message := slog.LevelInfo, "snapshot unchanged"
	switch outcome {
	case string(reconcile.Published):
		message = "snapshot published"
		attrs = append(attrs, slog.String("snapshot", r.Snapshot.Name()), slog.Int("sequence", r.Snapshot.Manifest.Sequence),
			slog.String("manifest_sha256", r.Snapshot.Digest), slog.String("path", r.Snapshot.Dir()), slog.Int("pruned", len(r.Pruned)))
	case string(reconcile.Quarantined):
		level, message = slog.LevelError, "reading quarantined"
		held := (*reconcile.HeldError)(nil)
		errors.As(err, &held)
		attrs = append(attrs, slog.String("snapshot", held.Quarantined), slog.Any("err", err))
	case outcomeCancelled:
		level, message = slog.LevelWarn, "reconcile cancelled"
	case outcomeFailed:
		level, message = slog.LevelError, "reconcile failed"
		attrs = append(attrs, slog.Any("err", err))
	}
	log.LogAttrs(context.WithoutCancel(ctx), level, message, attrs...)
}

// reconcileNow reconciles an export as the current configuration declares it. It
// does nothing if that no longer declares it.
func (d *daemon) reconcileNow(ctx context.Context, name string) error {
	s, release := d.acquire()
	defer release()
	exports, err := s.cfg.Select([]string{name})
	if err != nil {
		return nil
	}
	return s.reconcile(ctx, exports[0])
}

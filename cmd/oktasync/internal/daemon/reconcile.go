package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/reconcile"
)

// reconcile reconciles an export. It returns nil if the scheduler must not retry: for a
// quarantined read, for a read that took longer than the export's timeout, and for a
// published snapshot if old ones couldn't be pruned.
func (s *service) reconcile(ctx context.Context, export reconcile.Export) error {
	result, err := s.reconciler.Reconcile(ctx, export, org.Run(s.cfg, "schedule"))
	failure := err
	if result.Outcome == reconcile.Quarantined {
		failure = nil
	}
	if ctx.Err() == nil { // before the log line, so that its reader finds the state
		s.failures.record(export.Name, failure)
	}
	logResult(ctx, s.log, export.Name, result, err)
	s.metrics.Reconcile(export.Name, string(result.Outcome), result.Elapsed)
	if err == nil && s.heartbeat != nil {
		s.heartbeat.enqueue(nil)
	}
	s.notifyChanges()
	if _, late := errors.AsType[*reconcile.TimeoutError](err); late || result.Outcome == reconcile.Published {
		return nil
	}
	return failure
}

// logResult writes the one log line of a reconcile.
func logResult(ctx context.Context, log *slog.Logger, export string, r reconcile.Result, err error) {
	attrs := []slog.Attr{slog.String("export", export), slog.Duration("elapsed", r.Elapsed.Round(time.Millisecond))}
	if r.Plan != nil {
		var added, changed, removed int
		for _, p := range r.Plan.Resources {
			attrs = append(attrs, slog.Int(p.Declared.Resource.Name, p.Counts.Total))
			added, changed, removed = added+p.Counts.Added, changed+p.Counts.Changed, removed+p.Counts.Removed
		}
		attrs = append(attrs, slog.Int("added", added), slog.Int("changed", changed), slog.Int("removed", removed),
			slog.Int("requests", r.Plan.Requests()))
	}
	level, message := slog.LevelInfo, "snapshot unchanged"
	switch r.Outcome {
	case reconcile.Published:
		message = "snapshot published"
		attrs = append(attrs, slog.String("snapshot", r.Snapshot.Name()), slog.Int("sequence", r.Snapshot.Manifest.Sequence),
			slog.String("manifest_sha256", r.Snapshot.Digest), slog.String("head", r.Head.String()), slog.String("path", r.Snapshot.Dir()), slog.Int("pruned", len(r.Pruned)))
		if e := r.Snapshot.TimestampError; e != nil {
			level = slog.LevelWarn
			attrs = append(attrs, slog.Any("timestamp_err", e))
		}
		if err != nil {
			level, message = slog.LevelError, "snapshot published, old ones not pruned"
			attrs = append(attrs, slog.Any("err", err))
		}
	case reconcile.Quarantined:
		level, message = slog.LevelError, "read quarantined"
		if e, ok := errors.AsType[*reconcile.QuarantinedError](err); ok {
			attrs = append(attrs, slog.String("snapshot", e.Name))
		}
		attrs = append(attrs, slog.Any("err", err))
	case reconcile.Cancelled:
		level, message = slog.LevelWarn, "reconcile cancelled"
	case reconcile.Failed:
		level, message = slog.LevelError, "reconcile failed"
		attrs = append(attrs, slog.Any("err", err))
	}
	log.LogAttrs(context.WithoutCancel(ctx), level, message, attrs...)
}

// reconcileNow reconciles an export with the current configuration. It does nothing
// if the configuration no longer declares the export.
func (d *daemon) reconcileNow(ctx context.Context, name string) error {
	s, release := d.acquire()
	defer release()
	exports, err := s.cfg.Select([]string{name})
	if err != nil {
		return nil
	}
	return s.reconcile(ctx, exports[0])
}

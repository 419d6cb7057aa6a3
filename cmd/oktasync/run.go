package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// verifyJob is the name of the job that checks the whole store. No export can
// be called so.
const verifyJob = "daemon.verify"

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "The daemon: reconcile on schedule until told to stop",
		Long: `Reconciles each export on its schedule until SIGTERM or SIGINT, which stop it
cleanly within 10 s. A run that was missed while the daemon was down is made up
once at the start. While it runs, daemon.listen serves a status page at /, the same
as JSON at /api/v1/status, and /healthz, /readyz, /fresh and /metrics.

SIGHUP reads the configuration, the keys and the certificates again. What is new
counts from the next reconcile on; where something is wrong with it, all stays as
it was.`,
		Example: "  oktasync run --config /etc/oktasync/oktasync.yaml",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runDaemon(cmd.Context()) },
	}
}

// daemon is what lives as long as the process. A service is what one
// configuration makes of it.
type daemon struct {
	app       *app
	level     *slog.LevelVar
	log       *slog.Logger
	metrics   *metrics
	scheduler *scheduler.Scheduler
	started   time.Time
	histories histories
	damages   damages
	witness   snapshot.Witness // of what was published, logged and notified
	failures  failures
	size      storeSize
	views     views
	rejected  atomic.Pointer[time.Time] // when a configuration was not taken; nil: the last one was
	told      told
	current   atomic.Pointer[service]
	retiring  sync.WaitGroup // services whose last reconciles still go on
}

// runDaemon wires the daemon: scheduler -> reconcile -> oktaclient -> dpopauth,
// and the store that all of it is for.
func (a *app) runDaemon(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	cfg, level, err := a.config()
	if err != nil {
		return err
	}
	d := &daemon{app: a, level: new(slog.LevelVar), metrics: newMetrics(), scheduler: scheduler.New(), started: time.Now(),
		told: told{states: make(map[string]state)}}
	d.level.Set(level)
	d.log = newLogger(a.stderr, d.level, cfg.Log.Format, a.colour(a.stderr))
	d.metrics.registry.MustRegister(&collector{d})
	s, err := d.configure(cfg, nil)
	if err != nil {
		return err
	}
	d.use(s)
	d.metrics.reloaded(nil)
	d.log.Info("daemon started", "exports", len(cfg.Exports), "path", s.store.Dir(), "listen", s.front.address())
	d.tellSystemd(sd.SdNotifyReady)

	d.work(ctx, hangup)
	err = d.current.Load().close()
	d.retiring.Wait()
	d.log.Info("daemon stopped")
	return err
}

// work reconciles until ctx ends, and then until no reconcile is under way.
func (d *daemon) work(ctx context.Context, hangup <-chan os.Signal) {
	var tending sync.WaitGroup
	tending.Go(func() { d.tend(ctx, hangup) })
	d.scheduler.Run(ctx)
	tending.Wait()
}

// tend reloads when told to, and keeps systemd's watchdog quiet, until ctx ends;
// systemd hears of that too, while reconciles still come to their end.
func (d *daemon) tend(ctx context.Context, hangup <-chan os.Signal) {
	beat := time.NewTicker(heartbeat())
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			d.tellSystemd(sd.SdNotifyStopping)
			return
		case <-hangup:
			d.reload()
		case <-beat.C:
			d.tellSystemd(sd.SdNotifyWatchdog)
			d.current.Load().tellStates()
		}
	}
}

// reconcile is one run of one export's job. A reading that a guard held back
// is done with: reading once more would not convince the guard.
func (s *service) reconcile(ctx context.Context, export reconcile.Export) error {
	result, err := s.reconciler.Reconcile(ctx, export, org.Run(s.cfg, "schedule"))
	logResult(ctx, s.log, export.Name, result, err)
	s.metrics.observe(ctx, export, result, err)
	s.tellResult(export.Name, result, err)
	if held := (*reconcile.HeldError)(nil); errors.As(err, &held) {
		err = nil
	}
	if ctx.Err() == nil {
		s.failures.note(export.Name, err)
	}
	s.tellStates()
	return err
}

// logResult is the one line that a reconcile leaves in the log.
func logResult(ctx context.Context, log *slog.Logger, export string, r reconcile.Result, err error) {
	attrs := []slog.Attr{slog.String("export", export), slog.Duration("elapsed", r.Elapsed.Round(time.Millisecond))}
	if r.Plan != nil {
		c := r.Plan.Counts
		attrs = append(attrs, slog.Int("users", c.Total), slog.Int("added", c.Added), slog.Int("changed", c.Changed),
			slog.Int("removed", c.Removed), slog.Int("requests", r.Plan.Requests()))
	}
	level, message := slog.LevelInfo, "snapshot unchanged"
	switch held := (*reconcile.HeldError)(nil); {
	case errors.As(err, &held):
		level, message = slog.LevelError, "reading quarantined"
		attrs = append(attrs, slog.String("snapshot", held.Quarantined), slog.Any("err", err))
	case err != nil && ctx.Err() != nil:
		level, message = slog.LevelWarn, "reconcile cancelled"
	case err != nil:
		level, message = slog.LevelError, "reconcile failed"
		attrs = append(attrs, slog.Any("err", err))
	case r.Outcome == reconcile.Published:
		message = "snapshot published"
		attrs = append(attrs, slog.String("snapshot", r.Snapshot.Name()), slog.Int("sequence", r.Snapshot.Manifest.Sequence),
			slog.String("manifest_sha256", r.Snapshot.Digest), slog.String("path", r.Snapshot.Dir()), slog.Int("pruned", len(r.Pruned)))
	}
	log.LogAttrs(context.WithoutCancel(ctx), level, message, attrs...)
}

// verify checks the whole store.
func (s *service) verify(ctx context.Context) error {
	err := s.check(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		s.log.Warn("verify cancelled")
	case err != nil:
		s.log.Error("verify failed", "err", err)
	}
	return err
}

// check is verify, but for what is said of an error.
func (s *service) check(ctx context.Context) error {
	signers, err := org.AllowedSigners(s.cfg.Store.AllowedSignersFile)
	if err != nil {
		return err
	}
	exports, err := s.store.Exports()
	if err != nil {
		return err
	}
	problems := make(map[string]int)
	summary, err := s.store.VerifyWith(ctx, snapshot.VerifyOptions{Exports: exports, Signers: signers}, func(f snapshot.Finding) {
		level := slog.LevelInfo
		if !f.Note {
			level = slog.LevelError
			problems[f.Export]++
		}
		s.log.Log(ctx, level, "store checked", "finding", f.String())
	})
	if err != nil {
		return err
	}
	s.record(ctx, exports, problems)
	s.metrics.verified(summary.Problems)
	s.log.Info("store verified", "snapshots", summary.Snapshots, "problems", summary.Problems)
	return nil
}

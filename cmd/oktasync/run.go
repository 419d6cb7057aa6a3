package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

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
once at the start. While it runs, daemon.listen serves /healthz, /readyz, /fresh
and /metrics.`,
		Example: "  oktasync run --config /etc/oktasync/oktasync.yaml",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runDaemon(cmd.Context()) },
	}
}

// runDaemon wires the daemon: scheduler -> reconcile -> oktaclient -> dpopauth,
// and the store that all of it is for.
func (a *app) runDaemon(ctx context.Context) (err error) {
	cfg, log, err := a.loadAt(slog.LevelInfo)
	if err != nil {
		return err
	}
	o, err := connect(cfg, log)
	if err != nil {
		return err
	}
	store, err := openStore(cfg)
	if err != nil {
		return err
	}
	release, err := store.LockRun(snapshot.ThisProcess("run"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()

	s := &service{cfg: cfg, log: log, store: store, reconciler: o.reconciler(cfg, store, log), metrics: newMetrics(),
		whens: make(map[string]scheduler.Schedule), began: time.Now()}
	if s.scheduler, err = s.schedule(); err != nil {
		return err
	}
	listener, err := listen(cfg.Daemon.Listen)
	if err != nil {
		return fmt.Errorf("daemon.listen: %w", err)
	}
	defer warnOnReload(log)()

	log.Info("daemon started", "exports", len(cfg.Exports), "path", store.Dir(), "listen", address(listener))
	stopServing := s.serve(listener)
	notify(log, daemon.SdNotifyReady)
	s.scheduler.Run(ctx)
	notify(log, daemon.SdNotifyStopping)
	stopServing()
	log.Info("daemon stopped")
	return nil
}

// service is what the daemon's parts share.
type service struct {
	cfg        *Config
	log        *slog.Logger
	store      *snapshot.Store
	reconciler *reconcile.Reconciler
	scheduler  *scheduler.Scheduler
	metrics    *metrics
	whens      map[string]scheduler.Schedule // by export; none for one without a schedule
	began      time.Time
	histories  histories
}

// schedule makes a job of each export that has a schedule. When a job ran last
// is what the journal says, so that a missed run is made up.
func (s *service) schedule() (*scheduler.Scheduler, error) {
	var jobs []scheduler.Job
	for _, export := range s.cfg.Exports {
		if export.Schedule == "" {
			continue
		}
		when, err := scheduler.Parse(export.Schedule, export.Location())
		if err != nil {
			return nil, fmt.Errorf("%s: schedule: %w", export.Name, err)
		}
		s.whens[export.Name] = when
		history, err := s.store.Journal(export.Name)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, scheduler.Job{
			Name:     export.Name,
			Schedule: when,
			Last:     history.LastStarted.Time.Time,
			Retry:    scheduler.Retry{Most: export.Retry.Most, FirstWait: export.Retry.FirstWait},
			Run:      func(ctx context.Context) error { return s.reconcile(ctx, export) },
		})
	}
	if s.cfg.Daemon.Verify != "" {
		when, err := scheduler.Parse(s.cfg.Daemon.Verify, time.UTC)
		if err != nil {
			return nil, fmt.Errorf("daemon.verify: %w", err)
		}
		jobs = append(jobs, scheduler.Job{Name: verifyJob, Schedule: when, Last: time.Now(), Run: s.verify})
	}
	if len(s.whens) == 0 {
		s.log.Warn("no export has a schedule: the daemon has nothing to do")
	}
	return scheduler.New(jobs...), nil
}

// reconcile is one run of one export's job. A reading that a guard held back
// is done with: reading once more would not convince the guard.
func (s *service) reconcile(ctx context.Context, export reconcile.Export) error {
	result, err := s.reconciler.Reconcile(ctx, export, runFacts(s.cfg, "schedule"))
	logResult(ctx, s.log, export.Name, result, err)
	s.metrics.observe(ctx, export.Name, result, err)
	if held := (*reconcile.HeldError)(nil); errors.As(err, &held) {
		return nil
	}
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
			slog.String("manifest_sha256", r.Snapshot.Digest), slog.String("path", r.Snapshot.Dir()))
	}
	log.LogAttrs(context.WithoutCancel(ctx), level, message, attrs...)
}

// verify checks the whole store.
func (s *service) verify(ctx context.Context) error {
	signers, err := loadAllowedSigners(s.cfg.Store.AllowedSignersFile)
	if err != nil {
		s.log.Error("verify failed", "err", err)
		return err
	}
	summary, err := s.store.VerifyWith(ctx, snapshot.VerifyOptions{Signers: signers}, func(f snapshot.Finding) {
		level := slog.LevelError
		if f.Note {
			level = slog.LevelInfo
		}
		s.log.Log(ctx, level, "store checked", "finding", f.String())
	})
	if err != nil {
		s.log.Error("verify failed", "err", err)
		return err
	}
	s.metrics.verifyProblems.Set(float64(summary.Problems))
	s.log.Info("store verified", "snapshots", summary.Snapshots, "problems", summary.Problems)
	return nil
}

func listen(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	return net.Listen("tcp", address)
}

func address(l net.Listener) string {
	if l == nil {
		return "none"
	}
	return l.Addr().String()
}

// notify tells systemd how far the daemon is, where systemd asked.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd not notified", "err", err)
	}
}

// warnOnReload keeps a SIGHUP, which ends a Go program, from ending the daemon.
func warnOnReload(log *slog.Logger) (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range c {
			log.Warn("configuration not read again: this version takes a restart for that")
		}
	}()
	return func() {
		signal.Stop(c)
		close(c)
		<-done
	}
}

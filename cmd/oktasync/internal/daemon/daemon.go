// Package daemon reconciles exports on schedule: it wires scheduler, org, store,
// health checks, notifications, systemd and the web server.
//
// Only the command run uses it; status and list use its health checks. Start
// reading at Run: a daemon lives as long as the process, and a service as long
// as one configuration.
package daemon

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/web"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// Options are what the command line provides.
type Options struct {
	// Load loads the configuration, at the start and at each reload.
	Load func() (*config.Config, slog.Level, error)
	// NewLogger returns the logger for a log.format.
	NewLogger func(level slog.Leveler, format string) *slog.Logger
	Tool      snapshot.Tool
}

// daemon lives as long as the process.
type daemon struct {
	Options
	level     *slog.LevelVar
	log       *slog.Logger
	metrics   *web.Metrics
	scheduler *scheduler.Scheduler
	started   time.Time
	histories histories
	damages   damages
	witness   snapshot.Witness // of what was published, logged and notified
	failures  failures
	size      storeSize
	statuses  statuses
	rejected  atomic.Pointer[time.Time] // when the last reload failed; nil: it succeeded
	notified  notifiedStates
	current   atomic.Pointer[service]
	retiring  sync.WaitGroup // services that wait for their last reconciles
}

// Run runs the daemon until ctx ends and no reconcile is running any more.
// SIGHUP reloads the configuration.
func Run(ctx context.Context, o Options) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	cfg, level, err := o.Load()
	if err != nil {
		return err
	}
	d := newDaemon(o, nil)
	d.level.Set(level)
	d.log = o.NewLogger(d.level, cfg.Log.Format)
	s, err := d.configure(cfg, nil)
	if err != nil {
		return err
	}
	d.use(s)
	d.metrics.Reload(nil)
	d.log.Info("daemon started", "exports", len(cfg.Exports), "path", s.store.Dir(), "listen", s.server.Address())
	d.notifySystemd(sd.SdNotifyReady)

	d.work(ctx, hangup)
	err = d.current.Load().close()
	d.retiring.Wait()
	d.log.Info("daemon stopped")
	return err
}

func newDaemon(o Options, log *slog.Logger) *daemon {
	d := &daemon{Options: o, level: new(slog.LevelVar), log: log, scheduler: scheduler.New(), started: time.Now()}
	kinds := make(map[string][]string)
	for _, r := range snapshot.Resources() {
		for _, kind := range r.Kinds {
			kinds[r.Name] = append(kinds[r.Name], string(kind))
		}
	}
	d.metrics = web.NewMetrics(o.Tool.Version, o.Tool.Commit, outcomes, kinds, d)
	return d
}

// work reconciles until ctx ends, and then waits for the running reconciles.
func (d *daemon) work(ctx context.Context, hangup <-chan os.Signal) {
	var background sync.WaitGroup
	background.Go(func() { d.handleEvents(ctx, hangup) })
	d.scheduler.Run(ctx)
	background.Wait()
}

// handleEvents reloads on SIGHUP, and notifies systemd's watchdog, until ctx
// ends. It tells systemd at once that the daemon is stopping: the last
// reconciles may still take a while.
func (d *daemon) handleEvents(ctx context.Context, hangup <-chan os.Signal) {
	watchdog := time.NewTicker(watchdogInterval())
	defer watchdog.Stop()
	for {
		select {
		case <-ctx.Done():
			d.notifySystemd(sd.SdNotifyStopping)
			return
		case <-hangup:
			d.reload()
		case <-watchdog.C:
			d.notifySystemd(sd.SdNotifyWatchdog)
			d.current.Load().notifyStates()
		}
	}
}

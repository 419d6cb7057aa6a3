// Package daemon reconciles exports on schedule: it connects scheduler, org, store,
// health checks, notifications, systemd and the web server.
//
// The command run uses it; status uses its health checks. Start reading at [Run]. A
// process has one value of type daemon. Each reload replaces its value of type service,
// which runs one configuration.
package daemon

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"oktasync/cmd/oktasync/internal/web"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

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
	d := &daemon{
		Options: o, level: new(slog.LevelVar), log: log, scheduler: scheduler.New(), started: time.Now(),
		histories:  histories{cache: make(map[string]cachedHistory), last: make(map[string]Health)},
		surveys:    surveys{cache: make(map[string]survey)},
		failures:   failures{last: make(map[string]failure)},
		unaccepted: failures{last: make(map[string]failure)},
		statuses:   statuses{totals: make(map[string]map[string]int), roles: make(map[string]roleChange)},
		notified:   notified{states: make(map[string]State), published: make(map[string]string)},
	}
	kinds := make(map[string][]string)
	for _, r := range snapshot.Resources() {
		for _, kind := range r.Kinds {
			kinds[r.Name] = append(kinds[r.Name], string(kind))
		}
	}
	d.metrics = web.NewMetrics(o.Tool.Version, o.Tool.Commit, kinds, d)
	return d
}

// work reconciles until ctx ends, and then waits for the running reconciles.
func (d *daemon) work(ctx context.Context, hangup <-chan os.Signal) {
	var background sync.WaitGroup
	background.Go(func() { protect(d.log, func() { d.notifyWatchdog(ctx) }) })
	background.Go(func() { d.handleEvents(ctx, hangup) })
	d.scheduler.Run(ctx)
	background.Wait()
}

// notifyWatchdog notifies systemd's watchdog until ctx ends. It never waits for the
// store or a reload. It notifies systemd at once that the daemon is stopping, because
// the last reconciles may still take a while.
func (d *daemon) notifyWatchdog(ctx context.Context) {
	watchdog := time.NewTicker(watchdogInterval())
	defer watchdog.Stop()
	for {
		select {
		case <-ctx.Done():
			d.notifySystemd(sd.SdNotifyStopping)
			return
		case <-watchdog.C:
			d.notifySystemd(sd.SdNotifyWatchdog)
		}
	}
}

// checkInterval is how often the daemon checks the exports for changes that it didn't
// make itself.
const checkInterval = 5 * time.Second

// handleEvents reloads on SIGHUP and checks the exports, until ctx ends.
func (d *daemon) handleEvents(ctx context.Context, hangup <-chan os.Signal) {
	check := time.NewTicker(checkInterval)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			protect(d.log, d.reload)
		case <-check.C:
			protect(d.log, d.current.Load().notifyChanges)
		}
	}
}

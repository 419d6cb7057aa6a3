package daemon

import (
	"fmt"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"oktasync/cmd/oktasync/internal/term"
)

// notifySystemd sends a state and a line for `systemctl status` to systemd, if there is
// a notification socket (sd_notify(3)).
func (d *daemon) notifySystemd(state string) {
	if state == sd.SdNotifyReloading {
		state += "\n" + strings.TrimSpace(sd.SdNotifyMonotonicUsec())
	}
	if _, err := sd.SdNotify(false, state+"\nSTATUS="+d.statusLine()); err != nil {
		d.log.Warn("systemd not notified", "err", err)
	}
}

// statusLine returns the line for `systemctl status`. If the scheduler is deadlocked, so
// is statusLine, and systemd restarts the daemon.
func (d *daemon) statusLine() string {
	s := d.current.Load()
	var running []string
	var next string
	var soonest time.Time
	for _, job := range s.jobs {
		if d.scheduler.Running(job.Name) {
			running = append(running, job.Name)
		}
		if t := d.scheduler.Next(job.Name); !t.IsZero() && (soonest.IsZero() || t.Before(soonest)) {
			next, soonest = job.Name, t
		}
	}
	line := term.Plural(len(s.cfg.Exports), "export")
	if len(running) > 0 {
		line += "; reconciling " + strings.Join(running, ", ")
	}
	if next != "" {
		line += fmt.Sprintf("; next %s at %s", next, soonest.UTC().Format(time.RFC3339))
	}
	return line
}

// watchdogInterval returns the interval of the notifications: a third of systemd's
// watchdog time, so that two of them may be lost.
func watchdogInterval() time.Duration {
	if wanted, err := sd.SdWatchdogEnabled(false); err == nil && wanted > 0 {
		return wanted / 3
	}
	return 15 * time.Second
}

package main

import (
	"fmt"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"oktasync/cmd/oktasync/internal/term"
)

// tellSystemd tells systemd how far the daemon is, with a line for `systemctl
// status`, where systemd asked for it (sd_notify(3)).
func (d *daemon) tellSystemd(state string) {
	if state == sd.SdNotifyReloading {
		state += "\n" + strings.TrimSpace(sd.SdNotifyMonotonicUsec())
	}
	if _, err := sd.SdNotify(false, state+"\nSTATUS="+d.statusLine()); err != nil {
		d.log.Warn("systemd not notified", "err", err)
	}
}

// statusLine asks the scheduler, so that a scheduler that is stuck shows too:
// the watchdog waits for this line.
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
		line += "; at work on " + strings.Join(running, ", ")
	}
	if next != "" {
		line += fmt.Sprintf("; next %s at %s", next, soonest.UTC().Format(time.RFC3339))
	}
	return line
}

// heartbeat is how often systemd hears of a daemon that lives.
func heartbeat() time.Duration {
	if wanted, err := sd.SdWatchdogEnabled(false); err == nil && wanted > 0 {
		return wanted / 3
	}
	return 15 * time.Second
}

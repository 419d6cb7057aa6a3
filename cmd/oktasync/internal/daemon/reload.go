package daemon

import (
	"cmp"
	"slices"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"oktasync/cmd/oktasync/internal/config"
)

// reload loads the configuration and everything that it names, and uses it. After
// an error, the daemon keeps the configuration that it has.
func (d *daemon) reload() {
	d.notifySystemd(sd.SdNotifyReloading)
	defer d.notifySystemd(sd.SdNotifyReady)
	before := d.current.Load()
	cfg, level, err := d.Load()
	if err == nil {
		var s *service
		if s, err = d.configure(cfg, before); err == nil {
			d.level.Set(level)
			d.use(s)
			changed := config.ChangedKeys(before.values, s.values)
			d.log.Info("configuration reloaded", "changed", cmp.Or(strings.Join(changed, ", "), "nothing"))
			if slices.Contains(changed, "log.format") {
				d.log.Warn("log.format counts from the next start on")
			}
		}
	}
	d.metrics.Reload(err)
	d.rejected.Store(nil)
	if err != nil {
		now := time.Now()
		d.rejected.Store(&now)
		d.log.Error("configuration not reloaded; the old one goes on", "err", err)
	}
}

// rejectedAt returns when the last reload failed, and zero if it succeeded.
func (d *daemon) rejectedAt() time.Time {
	if at := d.rejected.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

package daemon

import (
	"cmp"
	"slices"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"oktasync/cmd/oktasync/internal/config"
)

// reload loads the configuration and the files that it names, and uses them. After an
// error, the daemon keeps the current configuration.
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
				d.log.Warn("log.format changes at the next start")
			}
		}
	}
	d.metrics.Reload(err)
	d.rejected.Store(nil)
	if err != nil {
		now := time.Now()
		d.rejected.Store(&now)
		d.log.Error("configuration not reloaded; the daemon continues with the old one", "err", err)
	}
}

package e2e

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// systemdAcceptsUnits checks the units with systemd-analyze. The services have the
// same hardening.
func systemdAcceptsUnits(t *testing.T, b *box, _ *site) {
	score := regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`)
	for _, unit := range []string{"oktasync.service", "oktasync@acme.service", "oktasync-apply.service"} {
		if got, want := hardening(t, unit), hardening(t, "oktasync.service"); got != want {
			t.Errorf("the hardening of %s differs from oktasync.service:\n%s\nwant\n%s", unit, got, want)
		}
		if out := b.run("systemd-analyze", "verify", "--man=no", unit); out != "" {
			t.Errorf("systemd-analyze verify %s: %s", unit, out)
		}
		file := "/etc/systemd/system/" + strings.Replace(unit, "@acme", "@", 1)
		m := score.FindStringSubmatch(b.run("systemd-analyze", "security", "--no-pager", "--offline=true", file))
		if m == nil {
			t.Fatalf("%s: no exposure level", unit)
		}
		if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > 1.5 {
			t.Errorf("%s: exposure level %s, want 1.5 at most", unit, m[1])
		}
	}
	if out := b.run("systemd-analyze", "verify", "--man=no", "oktasync-apply.timer"); out != "" {
		t.Errorf("systemd-analyze verify oktasync-apply.timer: %s", out)
	}
	if delay := b.run("systemctl", "show", "--property=RandomizedDelayUSec", "--value", "oktasync-apply.timer"); strings.TrimSpace(delay) != "10min" {
		t.Errorf("the timer has a random delay of %s, want 10 minutes", delay)
	}
}

// hardening returns the hardening options of a unit, with their comments.
func hardening(t *testing.T, unit string) string {
	t.Helper()
	_, lines, found := strings.Cut(read(t, filepath.Join(units, strings.Replace(unit, "@acme", "@", 1))), "# A core dump")
	if !found {
		t.Fatalf("%s has no hardening options", unit)
	}
	lines, _, _ = strings.Cut(lines, "[Install]")
	return strings.TrimSpace(lines)
}

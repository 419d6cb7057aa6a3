package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func unitsAreSound(t *testing.T, b *box, _ *site) {
	score := regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`)
	for _, unit := range []string{"oktasync.service", "oktasync@acme.service", "oktasync-apply.service"} {
		if got, want := hardening(t, unit), hardening(t, "oktasync.service"); got != want {
			t.Errorf("%s is hardened otherwise than oktasync.service:\n%s\nwant\n%s", unit, got, want)
		}
		if said := b.run("systemd-analyze", "verify", "--man=no", unit); said != "" {
			t.Errorf("systemd-analyze verify %s: %s", unit, said)
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
	if said := b.run("systemd-analyze", "verify", "--man=no", "oktasync-apply.timer"); said != "" {
		t.Errorf("systemd-analyze verify oktasync-apply.timer: %s", said)
	}
}

// hardening is what a unit says after its user and files, with the reasons.
func hardening(t *testing.T, unit string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(units, strings.Replace(unit, "@acme", "@", 1)))
	if err != nil {
		t.Fatal(err)
	}
	_, lines, found := strings.Cut(string(data), "# A core dump")
	if !found {
		t.Fatalf("%s has no hardening", unit)
	}
	lines, _, _ = strings.Cut(lines, "[Install]")
	return strings.TrimSpace(lines)
}

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// A host without a time zone database schedules in every zone all the same.
func TestTimeZonesComeWithTheBinary(t *testing.T) {
	needs(t, "unshare")
	const hide = `if [ -d /usr/share/zoneinfo ]; then mount -t tmpfs tmpfs /usr/share/zoneinfo; fi`
	if err := exec.Command("unshare", "-m", "sh", "-c", hide).Run(); err != nil {
		t.Skipf("no mounts for this user: %v", err)
	}
	s := newTestSite(t, sandbox.Config{Users: 1, Seed: 132})
	config := s.config("    schedule: \"30 2 * * *\"\n    time_zone: Europe/Berlin\n")
	for zone, want := range map[string]string{"Europe/Berlin": "is valid", "Europe/Atlantis": "time_zone"} {
		write(t, filepath.Join(s.dir, "oktasync.yaml"), []byte(strings.Replace(config, "Europe/Berlin", zone, 1)))
		cmd := exec.Command("unshare", "-m", "sh", "-c", hide+` && exec "$0" validate`, program())
		cmd.Dir = s.dir
		if out, err := cmd.CombinedOutput(); !strings.Contains(string(out), want) || (err == nil) != (zone == "Europe/Berlin") {
			t.Errorf("%s: %v\n%s", zone, err, out)
		}
	}
}

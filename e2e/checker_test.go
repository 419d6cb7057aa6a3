package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// newSignedSite is a site whose snapshots are signed.
func newSignedSite(t *testing.T, cfg sandbox.Config, export string, scopes ...string) *site {
	t.Helper()
	needs(t, "ssh-keygen")
	s := newSite(t, cfg, scopes...)
	s.sh(t, `ssh-keygen -q -t ed25519 -N '' -f signing-key
echo "archive@acme.example $(cat signing-key.pub)" >allowed_signers`)
	s.configure(t, export, "store:\n", "store:\n  signing_key_file: signing-key\n  allowed_signers_file: allowed_signers\n")
	return s
}

// check.py, which shares no code with oktasync, accepts a store of seven signed
// snapshots and two pruned ones, and rejects an edited one. Okta's clock is set
// back once.
func TestIndependentChecker(t *testing.T) {
	t.Parallel()
	needs(t, "python3", "zstd", "sha256sum")
	s := newSignedSite(t, sandbox.Config{Users: 120, Seed: 31, Deprovisioned: 5}, "    users: {}\n    groups: {}\n    retain: {last: 7}\n", usersAndGroups...)
	var groups []string
	s.org.SetClockOffset(30 * time.Second)
	for day := range 9 {
		if day == 4 {
			s.org.SetClockOffset(0)
		}
		s.org.Join(day % 3)
		s.org.Move(day)
		s.org.Touch(5)
		s.org.Deactivate(day % 2)
		s.org.Delete(day % 4)
		groups = append(groups, s.org.AddGroup(fmt.Sprintf("Team %d", day), ""))
		check(t, s.org.SetGroup(groups[day/2], "profile.description", []byte(`"changed"`)))
		if day > 5 {
			check(t, s.org.DeleteGroup(groups[day-1]))
		}
		s.must(t, 0, "apply")
	}
	s.must(t, 0, "verify")
	s.equalsOrg(t)
	checker, err := filepath.Abs("testdata/check.py")
	check(t, err)
	command := "python3 " + checker + " snapshots allowed_signers archive@acme.example"
	out := s.sh(t, command)
	t.Log(strings.TrimSpace(out))
	if !strings.Contains(out, "all-users: 9 manifests, 7 snapshots, ") || strings.Contains(out, " 0 changes") {
		t.Errorf("check.py: %s", out)
	}
	s.sh(t, "sed -i s/ACTIVE/ACTIVF/ snapshots/all-users/latest/users.csv")
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("check.py accepts an edited store: %s", out)
	}
}

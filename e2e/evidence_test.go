package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// signedSite is a site whose snapshots are signed, and of which seven stay.
func signedSite(t *testing.T, cfg sandbox.Config) *site {
	t.Helper()
	needs(t, "ssh-keygen")
	s := newTestSite(t, cfg)
	s.sh(t, `ssh-keygen -q -t ed25519 -N '' -f signing-key
echo "archive@acme.example $(cat signing-key.pub)" >allowed_signers`)
	config := strings.Replace(s.config("    retain: {last: 7}\n"), "store:\n", "store:\n  signing_key_file: signing-key\n  allowed_signers_file: allowed_signers\n", 1)
	if err := os.WriteFile(filepath.Join(s.dir, "oktasync.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// sh runs a shell command in the site's folder, and wants it to succeed.
func (s *site) sh(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.Command("sh", "-ec", command)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// A store of seven signed snapshots, and of two that were pruned, passes a
// check that uses none of our code; and an edit does not.
func TestStoreHoldsWithoutOurCode(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"python3", "zstd", "sha256sum"} {
		needs(t, program)
	}
	s := signedSite(t, sandbox.Config{Users: 120, Seed: 31, Deprovisioned: 5})
	for day := range 9 {
		s.org.Join(day % 3)
		s.org.Move(day)
		s.org.Touch(5)
		s.org.Deactivate(day % 2)
		s.org.Delete(day % 4)
		s.must(t, 0, "apply")
	}
	s.must(t, 0, "verify")
	check, err := filepath.Abs("testdata/check.py")
	if err != nil {
		t.Fatal(err)
	}
	command := "python3 " + check + " snapshots allowed_signers archive@acme.example"
	out := s.sh(t, command)
	t.Log(strings.TrimSpace(out))
	if !strings.Contains(out, "all-users: 9 manifests, 7 snapshots, ") || strings.Contains(out, " 0 changes") {
		t.Errorf("checked: %s", out)
	}
	s.sh(t, "sed -i s/ACTIVE/ACTIVF/ snapshots/all-users/latest/users.csv")
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("the check passes an edited store: %s", out)
	}
}

// Okta's clock set back between two applies puts nothing out of order.
func TestOktaClockSetBack(t *testing.T) {
	s := newTestSite(t, sandbox.Config{Users: 30, Seed: 32})
	s.org.SetClockOffset(90 * time.Second)
	s.must(t, 0, "apply")
	s.org.SetClockOffset(0)
	s.org.Move(1)
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
	if out := s.must(t, 0, "diff", "all-users").stdout; !strings.Contains(out, "1 moved") {
		t.Errorf("diff: %s", out)
	}
	s.equalsOrg(t)
}

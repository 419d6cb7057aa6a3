package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// A store put back from a backup under a running daemon agrees with itself, but
// not with the heads that the daemon has told of: its next publish refuses, and
// so does everybody after it, until somebody adopts the loss.
func TestStoreRestoredUnderTheDaemon(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 30, Seed: 92})
	store, backup := filepath.Join(s.dir, "snapshots"), filepath.Join(s.dir, "backup")
	s.must(t, 0, "apply")
	if err := os.CopyFS(backup, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	d := s.start(t, "    schedule: \"@every 3s\"\n    retry: {most: 0}\n")
	d.wait("snapshot published")
	if err := errors.Join(os.Rename(store, store+".lost"), os.Rename(backup, store)); err != nil {
		t.Fatal(err)
	}
	refused := d.wait("was published after it")
	if !strings.Contains(refused, "the store was put back from a backup") || !strings.Contains(refused, "reconcile failed") {
		t.Errorf("log = %s", refused)
	}
	if status, body := get(t, d.url+"/fresh"); status != 503 || !strings.Contains(body, "failing") {
		t.Errorf("/fresh = %d %q", status, body)
	}
	d.stop(syscall.SIGTERM)

	// The daemon has written down what it knew.
	r := s.must(t, 1, "apply")
	if lines := strings.Split(strings.TrimSpace(r.stderr), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "was published after it") ||
		!strings.Contains(lines[1], "oktasync adopt all-users --reason TEXT") {
		t.Errorf("apply said\n%s", r.stderr)
	}
	if out := s.must(t, 1, "verify").stdout; !strings.Contains(out, "was published, and is gone") {
		t.Errorf("verify said\n%s", out)
	}

	d = s.start(t, "    schedule: \"@every 1s\"\n    retry: {most: 0}\n")
	d.wait("reconcile failed")
	adopted := false
	for deadline := time.Now().Add(time.Minute); !adopted && time.Now().Before(deadline); {
		adopted = s.run(t, "adopt", "all-users", "--reason", "INC-78: backup of Sunday").status == 0 // or the daemon holds the lock
	}
	d.wait("snapshot published")
	d.wait("snapshot published")
	d.stop(syscall.SIGTERM)
	if out := s.must(t, 0, "verify").stdout; !strings.Contains(out, "INC-78: backup of Sunday") {
		t.Errorf("verify said\n%s", out)
	}
}

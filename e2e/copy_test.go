package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// lockedCopy copies a store while a daemon writes to it, as in
// docs/backup-and-restore.md.
const lockedCopy = `(for lock in snapshots/*/.lock; do exec {fd}<"$lock"; flock "$fd"; done; cp -a snapshots copy)`

// slowCopy is a cp that copies the snapshots first, and the checkpoint and the journal
// two seconds later.
const slowCopy = `#!/bin/sh -e
mkdir copy
cd snapshots && tar -cf - --exclude checkpoint --exclude journal.ndjson . | tar -C ../copy -xf -
sleep 2
tar -cf - */checkpoint | tar -C ../copy -xf -
tar -cf - */journal.ndjson | tar -C ../copy -xf -
`

// A slow copy that is made while a daemon publishes and prunes every second needs no
// adopt, and verify finds nothing.
func TestCopyWhileTheDaemonWrites(t *testing.T) {
	t.Parallel()
	needs(t, "bash", "flock", "tar")
	if !strings.Contains(read(t, "../docs/backup-and-restore.md"), "\n$ "+lockedCopy+"\n") {
		t.Error("docs/backup-and-restore.md doesn't have this command: " + lockedCopy)
	}
	s := newSignedSite(t, sandbox.Config{Users: 50, Seed: 171}, "    schedule: \"@every 1s\"\n    retain: {last: 2}\n  - {name: staff, schedule: \"@every 1s\", retain: {last: 2}}\n")
	config := read(t, s.path("oktasync.yaml"))
	d := s.startWith(t, strings.Replace(config, `listen: ""`, "listen: 127.0.0.1:0", 1))
	write(t, s.path("copy.yaml"), strings.Replace(config, "path: snapshots", "path: copy", 1))
	check(t, os.Mkdir(s.path("bin"), 0o700))
	check(t, os.WriteFile(s.path("bin/cp"), []byte(slowCopy), 0o700))
	for range 3 {
		d.wait(`"pruned":1`)
		s.org.Move(1)
		cmd := exec.Command("bash", "-ec", lockedCopy)
		cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "PATH="+s.path("bin")+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		s.must(t, 0, "verify", "--config", "copy.yaml", "--allowed-signers", "allowed_signers")
		s.must(t, 0, "apply", "--config", "copy.yaml")
		s.must(t, 0, "verify", "--config", "copy.yaml", "--allowed-signers", "allowed_signers")
		check(t, os.RemoveAll(s.path("copy")))
	}
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

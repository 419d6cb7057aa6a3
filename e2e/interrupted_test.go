package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// emptyExport makes a store with the empty folder of an export.
func (a *attack) emptyExport() {
	a.Helper()
	a.must(a, 0, "apply")
	check(a, os.RemoveAll(a.forgery.dir))
	check(a, os.Mkdir(a.forgery.dir, 0o700))
}

// kill kills apply with SIGKILL during its read. before runs while it reads.
func (a *attack) kill(before func()) {
	a.Helper()
	a.org.Inject(sandbox.Fault{Stall: -1})
	reading, once := make(chan struct{}), sync.Once{}
	a.org.OnRequest(func(int, *http.Request) { once.Do(func() { close(reading) }) })
	apply := a.command(a.Context(), "apply")
	check(a, apply.Start())
	<-reading
	before()
	check(a, apply.Process.Kill())
	apply.Wait()
	a.org.OnRequest(nil)
	a.org.ClearFaults()
}

// Accidents on a signed store need no adopt, lose nothing, and are not reported as
// tampering.
func TestAccidentsNeedNoAdopt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		snapshots int // published before
		accident  func(a *attack)
	}{
		{"first run crashes before its lock", 0, func(a *attack) { a.emptyExport() }},
		{"first run crashes before its first checkpoint", 0, func(a *attack) {
			a.emptyExport()
			write(a, filepath.Join(a.forgery.dir, ".lock"), "")
			write(a, filepath.Join(a.forgery.dir, ".checkpoint.partial"), `{"bytes"`)
		}},
		{"first run crashes during its read", 0, func(a *attack) { a.kill(func() {}) }},
		{"run crashes during its read", 2, func(a *attack) { a.kill(func() {}) }},
		{"run is refused", 2, func(a *attack) {
			config, before := read(a, a.path("oktasync.yaml")), a.tree(a)
			a.configure(a, signedExport)
			a.must(a, 1, "apply")
			if a.tree(a) != before {
				a.Error("the run that was refused has written to the store")
			}
			write(a, a.path("oktasync.yaml"), config)
		}},
		{"head is printed before a crash", 1, func(a *attack) {
			head := ""
			a.kill(func() { head = strings.TrimSpace(a.must(a, 0, "status", "--heads").stdout) })
			a.must(a, 0, "verify", "--head", head)
			a.must(a, 0, "apply")
			a.must(a, 0, "verify", "--head", head)
		}},
		{"clock jitter", 1, func(a *attack) {
			for _, seconds := range []time.Duration{20, -20, 10, 0} {
				a.org.SetClockOffset(seconds * time.Second)
				a.must(a, 0, "apply")
			}
		}},
		{"clock is set back by an hour, and corrected", 1, func(a *attack) {
			a.org.SetClockOffset(-time.Hour)
			a.run(a, "apply")
			a.must(a, 0, "verify")
			a.org.SetClockOffset(0)
		}},
		{"hold is added before a prune is completed", 2, func(a *attack) {
			names := a.names()
			obstacle := filepath.Join(a.forgery.dir, "pruned", names[0])
			check(a, os.MkdirAll(filepath.Join(obstacle, "x"), 0o700))
			a.configureSigned(a, currentKey, signedExport+"    retain: {last: 2}\n")
			a.must(a, 1, "apply") // publishes, and can't move the folder
			check(a, os.RemoveAll(obstacle))
			a.configureSigned(a, currentKey, signedExport+"    retain: {last: 2}\n    hold: ["+strings.Join(names, ", ")+"]\n")
			a.must(a, 0, "verify")
		}},
		{"time stamp of an interrupted publish is replaced", 1, func(a *attack) {
			a.abandon()()
			write(a, filepath.Join(a.forgery.dir, a.names()[1], "manifest.json.tsr"), "x")
		}},
		{"unfinished publish contains a folder", 1, func(a *attack) {
			a.sh(a, "cd snapshots/all-users; mkdir -p .20260101T000000Z.partial/a/b; ln -s / .20260101T000000Z.partial/a/l")
		}},
		{"copy of folders, checkpoint, journal during a run", 2, func(a *attack) {
			a.kill(func() {
				a.sh(a, `mkdir -p copy/all-users && cp -a snapshots/oktasync.json copy/ && cd snapshots/all-users
cp -a 2* latest ../../copy/all-users/ && cp -a checkpoint ../../copy/all-users/ && cp -a journal.ndjson ../../copy/all-users/`)
			})
			a.sh(a, "rm -r snapshots && mv copy snapshots")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAttack(t, newSignedSite(t, sandbox.Config{Users: 30, Seed: 154}, signedExport))
			for range test.snapshots {
				a.must(t, 0, "apply")
			}
			before := a.names()
			test.accident(a)
			a.must(t, 0, "apply")
			a.must(t, 0, "verify")
			if after := strings.Join(a.names(), " "); !strings.HasPrefix(after, strings.Join(before, " ")) {
				t.Errorf("snapshots = %s, want %s and more", after, before)
			}
		})
	}
}

// The signing key expires while the daemon runs: the daemon stops publishing, with
// an error that names the key.
func TestSigningKeyExpiresBesideTheDaemon(t *testing.T) {
	t.Parallel()
	s := newSignedSite(t, sandbox.Config{Users: 30, Seed: 155}, signedExport)
	s.must(t, 0, "apply")
	end := time.Now().UTC().Add(4 * time.Second)
	write(t, s.path("allowed_signers"), `archive valid-before="`+end.Format("20060102150405Z")+`" `+read(t, s.path("signing-key.pub")))
	s.configureSigned(t, currentKey, signedExport+everySecond+"    retry: {most: 0}\n")
	d := s.startWith(t, strings.Replace(read(t, s.path("oktasync.yaml")), `listen: ""`, "listen: 127.0.0.1:0", 1))
	if line := d.wait("nothing is signed with it"); !strings.Contains(line, "SHA256:") {
		t.Errorf("log = %s", line)
	}
	d.stop(syscall.SIGTERM)
	before := s.tree(t)
	s.must(t, 1, "apply")
	if s.tree(t) != before {
		t.Error("apply with an expired key has written to the store")
	}
	write(t, s.path("allowed_signers"), "archive "+read(t, s.path("signing-key.pub")))
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
}

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// A store is restored from a backup while the daemon runs. The store is consistent,
// but older than the head that the daemon has published: the daemon writes nothing
// until a person adopts the loss of this head.
func TestDaemonStoreRestored(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 30, Seed: 92})
	store, backup := s.path("snapshots"), s.path("backup")
	s.must(t, 0, "apply")
	check(t, os.CopyFS(backup, os.DirFS(store)))
	d := s.start(t, "    schedule: \"@every 3s\"\n    retry: {most: 0}\n")
	d.wait("snapshot published")
	check(t, os.Rename(store, store+".lost"))
	check(t, os.Rename(backup, store))
	for !strings.Contains(d.wait("an older copy has replaced it"), "reconcile failed") {
	}
	d.wantPage("/fresh", http.StatusServiceUnavailable, "failing")
	lost := strings.TrimPrefix(strings.TrimSpace(s.must(t, 0, "status", "--heads", "--store", "snapshots.lost").stdout), "all-users=")
	for adopted, end := false, time.Now().Add(patience); !adopted; { // the daemon may have locked the export
		if time.Now().After(end) {
			t.Fatal("adopt didn't succeed")
		}
		adopted = s.run(t, "adopt", "all-users", "--lost", lost, "--reason", "INC-78: backup of Sunday").status == 0
	}
	d.wait("snapshot published")
	d.wait("snapshot published")
	d.stop(syscall.SIGTERM)
	if out := s.must(t, 0, "verify", "all-users", "--head", lost).stdout; !strings.Contains(out, "INC-78: backup of Sunday") {
		t.Errorf("verify:\n%s", out)
	}
}

// An older copy replaces the store between two runs. The export is failing until a person
// adopts the loss, and then up to date without another run.
func TestDaemonAcceptsAdoptBetweenRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 30, Seed: 93})
	store, backup := s.path("snapshots"), s.path("backup")
	s.must(t, 0, "apply")
	check(t, os.CopyFS(backup, os.DirFS(store)))
	s.org.SetClockOffset(2 * time.Second) // for another name of the snapshot
	s.must(t, 0, "apply")
	d := s.start(t, "    schedule: 0 0 1 1 *\n")
	check(t, os.Rename(store, store+".lost"))
	check(t, os.Rename(backup, store))
	d.wait("export not accepted")
	d.wantPage("/fresh", http.StatusServiceUnavailable, "failing", "an older copy has replaced it")
	lost := strings.TrimPrefix(strings.TrimSpace(s.must(t, 0, "status", "--heads", "--store", "snapshots.lost").stdout), "all-users=")
	s.must(t, 0, "adopt", "all-users", "--lost", lost, "--reason", "INC-78: backup of Sunday")
	d.waitUpToDate()
}

// waitUpToDate waits until all exports are up to date. The daemon caches their states.
func (d *daemon) waitUpToDate() {
	d.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		status, body := get(d.t, d.url+"/fresh")
		if status == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			d.t.Fatalf("/fresh = %d %s", status, body)
		}
	}
}

// /fresh and the metrics report damage that the last verify found, and damage
// that needs no digests to detect, also after a restart, until a later verify
// finds none.
func TestDaemonReportsDamage(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 30, Seed: 91})
	s.must(t, 0, "apply")
	const yearly, verify = "    schedule: 0 0 1 1 *\n", `verify: "@every 1s"`
	csv := s.path("snapshots/all-users/latest/users.csv")
	good := read(t, csv)
	// serves starts a daemon, waits for a log line, and checks its pages.
	serves := func(config, wait string, status int, fresh string, metrics ...string) {
		t.Helper()
		d := s.startWith(t, config)
		if wait != "" {
			d.wait(wait)
		}
		d.wantPage("/fresh", status, fresh)
		d.wantPage("/metrics", http.StatusOK, metrics...)
		d.stop(syscall.SIGTERM)
	}
	const damaged, found, none = `oktasync_export_state{export="all-users",state="damaged"} 1`, "oktasync_verify_problems 1\n", "oktasync_verify_problems 0\n"

	write(t, csv, strings.ToUpper(good)) // the same size
	serves(s.daemonConfig(yearly), "", http.StatusOK, "ok")
	serves(s.daemonConfig(yearly, verify), `"problems":1`, http.StatusServiceUnavailable, "the last verify found 1 problem\n", damaged, found)
	serves(s.daemonConfig(yearly), "", http.StatusServiceUnavailable, "all-users: damaged since 20", damaged, found)
	if out := s.must(t, 0, "status").stdout; !strings.Contains(out, "all-users  damaged  ") {
		t.Errorf("status:\n%s", out)
	}

	write(t, csv, good)
	serves(s.daemonConfig(yearly, verify), `"problems":0`, http.StatusOK, "ok", none)
	serves(s.daemonConfig(yearly), "", http.StatusOK, "ok", none)

	check(t, os.Remove(filepath.Join(filepath.Dir(csv), "requests.ndjson")))
	serves(s.daemonConfig(yearly), "", http.StatusServiceUnavailable, "requests.ndjson is missing\n", damaged)
}

// An export is failing if all its snapshots were pruned, until the next one. If an older
// copy, without snapshots, replaces it then, the daemon reports the copy.
func TestDaemonReportsPrunedExport(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 30, Seed: 94})
	s.must(t, 0, "apply")
	newest, err := os.Readlink(s.path("snapshots/all-users/latest"))
	check(t, err)
	s.must(t, 0, "prune", "all-users@"+newest, "--reason", "GDPR-12")
	if out := s.must(t, 0, "status").stdout; !strings.Contains(out, "all-users  failing  0 ") || !strings.Contains(out, "\nall-users: no snapshot: all were pruned\n") {
		t.Errorf("status:\n%s", out)
	}
	export, backup := s.path("snapshots/all-users"), s.path("backup")
	check(t, os.CopyFS(backup, os.DirFS(export)))
	d := s.start(t, "    schedule: 0 0 1 1 *\n")
	d.wantPage("/fresh", http.StatusServiceUnavailable, "failing", "no snapshot: all were pruned", "oktasync apply all-users")
	s.must(t, 0, "apply")
	if out := s.must(t, 0, "status").stdout; !strings.Contains(out, "all-users  up to date  1 ") {
		t.Errorf("status:\n%s", out)
	}
	d.waitUpToDate()
	check(t, os.Rename(export, export+".lost"))
	check(t, os.Rename(backup, export))
	d.wait("export not accepted")
	d.wantPage("/fresh", http.StatusServiceUnavailable, "failing", "an older copy has replaced it")
}

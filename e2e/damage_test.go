package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// What the last verify found, and what is plain to see, turns /fresh to 503 and
// shows in the metrics, after a restart too, until a later verify finds nothing.
// Nothing is hashed for it.
func TestFreshKnowsOfDamage(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 30, Seed: 91})
	s.must(t, 0, "apply")
	const once = "    schedule: 0 0 1 1 *\n"
	verifying := strings.Replace(s.daemonConfig(once), "daemon:\n", "daemon:\n  verify: \"@every 1s\"\n", 1)
	csv := filepath.Join(s.dir, "snapshots", "all-users", "latest", "users.csv")
	good, err := os.ReadFile(csv)
	if err != nil {
		t.Fatal(err)
	}
	// shows holds what a daemon without or with verify shows against what it should.
	shows := func(config, wait string, status int, fresh string, metrics ...string) {
		t.Helper()
		d := s.startWith(t, config)
		if wait != "" {
			d.wait(wait)
		}
		got, body := get(t, d.url+"/fresh")
		if got != status || !strings.Contains(body, fresh) {
			t.Errorf("/fresh = %d %q, want %d and %q", got, body, status, fresh)
		}
		_, served := get(t, d.url+"/metrics")
		for _, want := range metrics {
			if !strings.Contains(served, want) {
				t.Errorf("/metrics lacks %s", want)
			}
		}
		d.stop(syscall.SIGTERM)
	}
	const damaged, found = `oktasync_export_state{export="all-users",state="damaged"} 1`, "oktasync_verify_problems 1\n"

	write(t, csv, bytes.ToUpper(good)) // of the same size
	shows(s.daemonConfig(once), "", http.StatusOK, "ok")
	shows(verifying, `"problems":1`, http.StatusServiceUnavailable, "the last verify found 1 problem\n", damaged, found)
	shows(s.daemonConfig(once), "", http.StatusServiceUnavailable, "all-users: damaged since 20", damaged, found)
	if out := s.must(t, 0, "status").stdout; !strings.Contains(out, "all-users  damaged  ") {
		t.Errorf("status:\n%s", out)
	}

	write(t, csv, good)
	shows(verifying, `"problems":0`, http.StatusOK, "ok", "oktasync_verify_problems 0\n")
	shows(s.daemonConfig(once), "", http.StatusOK, "ok", "oktasync_verify_problems 0\n")

	if err := os.Remove(filepath.Join(filepath.Dir(csv), "requests.ndjson")); err != nil {
		t.Fatal(err)
	}
	shows(s.daemonConfig(once), "", http.StatusServiceUnavailable, "requests.ndjson is missing\n", damaged)
}

package e2e

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

const everyHour = "    schedule: \"@every 1h\"\n"

// apply and quarantine release beside run: what they do shows in the daemon,
// which need not do anything itself.
func TestApplyAndReleaseWorkBesideRun(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 100, Seed: 121})
	d := s.start(t, everyHour)
	d.wait("snapshot published")
	fresh := func(want int, says string) {
		t.Helper()
		if status, body := get(t, d.url+"/fresh"); status != want || !strings.HasPrefix(body, says) {
			t.Errorf("/fresh = %d %q, want %d %q", status, body, want, says)
		}
	}
	s.org.Delete(40)
	s.must(t, 3, "apply")
	fresh(http.StatusServiceUnavailable, "all-users: quarantined since ")
	s.must(t, 0, "quarantine", "release", "all-users", "--reason", "site closed")
	fresh(http.StatusOK, "ok")
	if _, page := get(t, d.url+"/"); !strings.Contains(page, "all-users=2:") {
		t.Error("the page does not know of what was released")
	}
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

// What is known of Okta's limits belongs to the org, and outlives a reload.
func TestReloadKeepsWhatIsKnownOfTheLimits(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 10, Seed: 122})
	d := s.start(t, everyHour)
	d.wait("snapshot published")
	d.reload(s, s.daemonConfig(everyHour+"    timeout: 1h\n"))
	if _, metrics := get(t, d.url+"/metrics"); !strings.Contains(metrics, `oktasync_rate_limit_requests{bucket="users"} `) {
		t.Error("the reload forgot the limits")
	}
	d.stop(syscall.SIGTERM)
}

// The first signal lets what is under way come to an end, here a message that
// nobody takes; the second does not.
func TestSecondSignalEndsItAtOnce(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 10, Seed: 123})
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	write(t, filepath.Join(s.dir, "hook.url"), []byte("http://"+silent.Addr().String()))
	d := s.startWith(t, strings.Replace(s.daemonConfig(everyHour), "daemon:\n", "daemon:\n  notify: [{url_file: hook.url, on: []}]\n", 1))
	d.wait("snapshot published")
	ended := make(chan error)
	go func() { ended <- d.cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-tick.C:
			d.cmd.Process.Signal(syscall.SIGTERM)
		case <-ended:
			over = true
		}
	}
	if status, ok := d.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, want the signal", d.cmd.ProcessState)
	}
	s.must(t, 0, "verify")
}

// A failed reconcile whose retry was pending when the daemon stopped is tried
// again by the next one, though its regular time is far off.
func TestRetryPendingAtRestartIsNotLost(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 10, Seed: 124})
	s.org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	more := everyHour + "    retry: {most: 1, first_wait: 1s}\n"
	d := s.start(t, more)
	d.wait("reconcile failed")
	d.cmd.Process.Kill()
	d.cmd.Wait()
	s.org.ClearFaults()
	d = s.start(t, more)
	d.wait("snapshot published")
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

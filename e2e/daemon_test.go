package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

const (
	everySecond = "    schedule: \"@every 1s\"\n"
	everyHour   = "    schedule: \"@every 1h\"\n"
)

// daemon is a running `oktasync run`.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	logs chan string // one line each; closed when the daemon ends
}

// daemonConfig returns the site's configuration with an address to listen on. It
// adds lines to the section daemon.
func (s *site) daemonConfig(export string, daemon ...string) string {
	config := strings.Replace(s.config(export), `listen: ""`, `listen: 127.0.0.1:0`, 1)
	for _, line := range daemon {
		config = strings.Replace(config, "daemon:\n", "daemon:\n  "+line+"\n", 1)
	}
	return config
}

// start starts the daemon and waits until it listens. The arguments are those of
// daemonConfig.
func (s *site) start(t *testing.T, export string, daemon ...string) *daemon {
	t.Helper()
	return s.startWith(t, s.daemonConfig(export, daemon...))
}

// startWith is start with a complete configuration.
func (s *site) startWith(t *testing.T, config string) *daemon {
	t.Helper()
	return s.startCommand(t, config, s.command(t.Context(), "run"))
}

// startCommand is startWith for a command that runs the daemon.
func (s *site) startCommand(t *testing.T, config string, cmd *exec.Cmd) *daemon {
	t.Helper()
	write(t, s.path("oktasync.yaml"), config)
	d := &daemon{t: t, cmd: cmd, logs: make(chan string, 1000)}
	stderr, err := d.cmd.StderrPipe()
	check(t, err)
	check(t, d.cmd.Start())
	t.Cleanup(d.kill)
	go d.readLog(stderr)
	var started struct{ Listen string }
	check(t, json.Unmarshal([]byte(d.wait("daemon started")), &started))
	d.url = "http://" + started.Listen
	return d
}

func (d *daemon) readLog(stderr io.Reader) {
	defer close(d.logs)
	for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
		d.logs <- scanner.Text()
	}
}

// wait returns the next log line that contains text.
func (d *daemon) wait(text string) string {
	d.t.Helper()
	var seen bytes.Buffer
	for line := range d.logs {
		if strings.Contains(line, text) {
			return line
		}
		fmt.Fprintln(&seen, line)
	}
	d.t.Fatalf("the log ended without %q:\n%s", text, &seen)
	return ""
}

func (d *daemon) signal(signal os.Signal) {
	d.t.Helper()
	check(d.t, d.cmd.Process.Signal(signal))
}

// stop sends a signal and waits for a clean end.
func (d *daemon) stop(signal os.Signal) {
	d.t.Helper()
	d.signal(signal)
	d.wait("daemon stopped")
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("run ended with %v", err)
	}
}

func (d *daemon) kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// wantPage checks the status of a page, and that it contains text.
func (d *daemon) wantPage(path string, status int, text ...string) {
	d.t.Helper()
	got, body := get(d.t, d.url+path)
	if got != status {
		d.t.Errorf("%s = %d %q, want %d", path, got, body, status)
	}
	for _, want := range text {
		if !strings.Contains(body, want) {
			d.t.Errorf("%s doesn't contain %q:\n%s", path, want, body)
		}
	}
}

// Each signal stops the daemon within 10 s.
func TestDaemonPublishesOnSchedule(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			s := newSite(t, sandbox.Config{Users: 50, Seed: 12})
			d := s.start(t, everySecond)
			d.wait("snapshot published")
			s.org.Move(1)
			d.wait("snapshot published")
			d.wantPage("/fresh", http.StatusOK, "ok")
			d.wantPage("/metrics", http.StatusOK, `oktasync_reconciles_total{export="all-users",outcome="published"}`)
			s.checkStatus(t, d)
			start := time.Now()
			d.stop(signal)
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("the daemon took %s to stop", took)
			}
			s.must(t, 0, "verify")
			s.noViolations(t)
		})
	}
}

// checkStatus checks /api/v1/status after two snapshots of 50 users. Neither it
// nor the status page shows a secret or a user.
func (s *site) checkStatus(t *testing.T, d *daemon) {
	t.Helper()
	var got struct {
		UpToDate bool `json:"up_to_date"`
		Org      string
		Exports  []struct {
			Newest struct {
				Sequence       int
				Records        []struct{ Total int }
				ManifestSHA256 string `json:"manifest_sha256"`
			}
			Runs []struct {
				Outcome string
				Records int
			}
		}
		Okta struct {
			TokenExpiry string `json:"token_expiry"`
			RateLimits  []any  `json:"rate_limits"`
		}
	}
	status, body := get(t, d.url+"/api/v1/status")
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK || len(got.Exports) != 1 {
		t.Fatalf("/api/v1/status = %d %s, %v", status, body, err)
	}
	e := got.Exports[0]
	if !got.UpToDate || got.Org != s.server.URL || got.Okta.TokenExpiry == "" || len(got.Okta.RateLimits) == 0 ||
		len(e.Newest.Records) != 1 || e.Newest.Records[0].Total != 50 || e.Newest.Sequence < 2 || len(e.Newest.ManifestSHA256) != 64 ||
		len(e.Runs) < 2 || e.Runs[0].Records != 50 || e.Runs[0].Outcome != "published" {
		t.Errorf("/api/v1/status = %s", body)
	}
	_, page := get(t, d.url+"/")
	_, details := get(t, d.url+"/exports/all-users")
	secret := regexp.MustCompile(`\w@\w+\.\w|eyJ|PRIVATE`) // an email address, a token, a key
	for _, text := range []string{body, page, details} {
		if found := secret.FindString(text); found != "" {
			t.Errorf("%q is shown:\n%s", found, text)
		}
	}
}

// The daemon reports, notifies and counts the results of apply and of quarantine
// release, like its own. A reload keeps the state of the rate limits.
func TestDaemonBesideApplyAndRelease(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 100, Seed: 121})
	messages := s.newHook(t)
	const notify = "notify: [{url_file: hook.url, on: [published]}]"
	d := s.start(t, everyHour, notify)
	wantMessage(t, messages, "published", "")
	s.org.Delete(40)
	s.must(t, 3, "apply")
	d.wantPage("/fresh", http.StatusServiceUnavailable, "all-users: quarantined since ", "\n  run: oktasync quarantine diff all-users\n")
	s.must(t, 0, "quarantine", "release", "all-users", "--reason", "site closed")
	d.wantPage("/fresh", http.StatusOK, "ok")
	d.wantPage("/exports/all-users", http.StatusOK, "all-users=2:")
	if m := wantMessage(t, messages, "published", ""); m.Sequence != 2 {
		t.Errorf("message = %+v", m)
	}
	d.wantPage("/metrics", http.StatusOK, `oktasync_changes_total{export="all-users",kind="not_listed",resource="users"} 40`)
	d.reload(s, s.daemonConfig(everyHour+"    timeout: 1h\n", notify))
	d.wantPage("/metrics", http.StatusOK, `oktasync_rate_limit_requests{bucket="users"} `)
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

// The start of an export is delayed by up to its splay. The delay is the same after a
// restart, and status shows it.
func TestDaemonSplay(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10, Seed: 126})
	var starts []time.Time
	next := func(body string) {
		t.Helper()
		var status struct{ Exports []struct{ Next time.Time } }
		check(t, json.Unmarshal([]byte(body), &status))
		starts = append(starts, status.Exports[0].Next)
	}
	for range 2 {
		d := s.start(t, "    schedule: 0 0 1 1 *\n    splay: 24h\n")
		for len(starts) == 0 || starts[len(starts)-1].IsZero() { // until the scheduler runs
			_, body := get(t, d.url+"/api/v1/status")
			next(body)
		}
		d.stop(syscall.SIGTERM)
	}
	s.must(t, 0, "apply")
	next(s.must(t, 0, "status", "--json").stdout)
	starts = slices.DeleteFunc(starts, time.Time.IsZero)
	first := starts[0].UTC()
	if first.Month() != time.January || first.Day() != 1 || first.Equal(first.Truncate(24*time.Hour)) {
		t.Errorf("the next start is %s, want a delayed one", first)
	}
	for _, start := range starts {
		if !start.Equal(first) {
			t.Errorf("the next starts are %s, want the same", starts)
		}
	}
}

// The org changes with each request, so no read settles: the status page, the metrics
// and a notification report it. Statuses from Okta are bounded in metrics.
func TestDaemonReportsUnsettled(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 300, Seed: 127})
	check(t, s.org.Set(s.org.Join(1)[0], "status", json.RawMessage(`"ACTIVE\u001b[2J\nX"`)))
	s.org.OnRequest(func(int, *http.Request) { s.org.Move(1) })
	messages := s.newHook(t)
	d := s.start(t, everyHour, "notify: [{url_file: hook.url, on: []}]")
	wantMessage(t, messages, "unsettled", "has snapshot 20")
	d.wantPage("/metrics", http.StatusOK, `oktasync_snapshot_settled{export="all-users"} 0`, `oktasync_users{export="all-users",status="other"} 1`)
	d.wantPage("/api/v1/status", http.StatusOK, `"settled": false`)
	d.wantPage("/", http.StatusOK, "The newest snapshot isn’t settled")
	d.stop(syscall.SIGTERM)
}

// A reconcile failed and its retry was pending when the daemon was killed. The
// next daemon retries at once, although the next scheduled time is in an hour.
func TestDaemonRetriesAfterRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10, Seed: 124})
	s.org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	export := everyHour + "    retry: {most: 1, first_wait: 1s}\n"
	d := s.start(t, export)
	d.wait("reconcile failed")
	d.kill()
	s.org.ClearFaults()
	d = s.start(t, export)
	d.wait("snapshot published")
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

// A reconcile that takes longer than the timeout waits for the next scheduled time.
func TestDaemonDoesNotRetryAfterTimeout(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10, Seed: 125})
	s.org.Inject(sandbox.Fault{Forever: true, Stall: -1})
	d := s.start(t, everyHour+"    timeout: 1s\n    retry: {most: 3, first_wait: 5m}\n")
	d.wait("longer than the export's timeout of 1s")
	var status struct {
		Exports []struct {
			Running bool
			Next    time.Time
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		_, body := get(t, d.url+"/api/v1/status")
		check(t, json.Unmarshal([]byte(body), &status))
		if !status.Exports[0].Running || time.Now().After(end) {
			break
		}
	}
	if wait := time.Until(status.Exports[0].Next); wait < 30*time.Minute {
		t.Errorf("the next reconcile is in %s, want the next scheduled time", wait)
	}
	d.stop(syscall.SIGTERM)
}

// The journal records that a reconcile started. If the process is killed during
// the reconcile, the next daemon waits for the next scheduled time.
func TestDaemonDoesNotRepeatKilledReconcile(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 1000, Seed: 34})
	requests := make(chan struct{}, 1000)
	s.org.Inject(sandbox.Fault{Forever: true, Stall: -1})
	s.org.OnRequest(func(int, *http.Request) { requests <- struct{}{} })
	d := s.start(t, everyHour)
	<-requests
	for range 3 {
		d.kill()
		d = s.start(t, everyHour)
	}
	d.stop(syscall.SIGTERM)
	journal := s.journal(t)
	if n := strings.Count(journal, `"event":"started"`); n != 1 {
		t.Errorf("%d reconciles started, want 1:\n%s", n, journal)
	}
	s.must(t, 0, "verify")
}

// SIGTERM during a read: the daemon stops, the journal records cancelled, and
// nothing is published.
func TestDaemonCancelsRead(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 1000, Seed: 16})
	s.org.Inject(sandbox.Fault{Nth: 2, Stall: -1})
	requests := make(chan struct{}, 100)
	s.org.OnRequest(func(int, *http.Request) { requests <- struct{}{} })
	d := s.start(t, everySecond)
	<-requests
	<-requests
	d.stop(syscall.SIGTERM)
	if journal := s.journal(t); !strings.Contains(journal, `"event":"cancelled"`) || strings.Contains(journal, `"event":"published"`) {
		t.Errorf("journal:\n%s", journal)
	}
	s.must(t, 0, "verify")
}

// The first signal lets current work finish: here, a webhook that never responds.
// The second signal ends the process at once.
func TestDaemonSecondSignal(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10, Seed: 123})
	hook, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer hook.Close()
	write(t, s.path("hook.url"), "http://"+hook.Addr().String())
	d := s.start(t, everyHour, "notify: [{url_file: hook.url, on: [published]}]")
	d.wait("snapshot published")
	ended := make(chan error)
	go func() { ended <- d.cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			d.cmd.Process.Signal(syscall.SIGTERM)
		case <-ended:
			running = false
		}
	}
	if status, ok := d.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("the daemon ended with %v, want the signal", d.cmd.ProcessState)
	}
	s.must(t, 0, "verify")
}

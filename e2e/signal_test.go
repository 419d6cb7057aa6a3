package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// daemon is a running `oktasync run`.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	logs chan string // a line each; closed at the end
}

// start runs the daemon and waits until it says that it listens.
func (s *site) start(t *testing.T, more string) *daemon {
	t.Helper()
	return s.startWith(t, s.daemonConfig(more))
}

// startWith is start with a whole configuration.
func (s *site) startWith(t *testing.T, config string) *daemon {
	t.Helper()
	return s.startCommand(t, config, s.command(t.Context(), "run"))
}

// startCommand is startWith for a command that comes to run the daemon.
func (s *site) startCommand(t *testing.T, config string, cmd *exec.Cmd) *daemon {
	t.Helper()
	write(t, filepath.Join(s.dir, "oktasync.yaml"), []byte(config))
	d := &daemon{t: t, cmd: cmd, logs: make(chan string, 1000)}
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Kill(); d.cmd.Wait() })
	go d.read(stderr)
	var started struct{ Listen string }
	if err := json.Unmarshal([]byte(d.wait("daemon started")), &started); err != nil {
		t.Fatal(err)
	}
	d.url = "http://" + started.Listen
	return d
}

func (d *daemon) read(stderr io.Reader) {
	defer close(d.logs)
	for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
		d.logs <- scanner.Text()
	}
}

// wait returns the next log line that holds text.
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

// stop sends a signal and wants a clean end within 10 s.
func (d *daemon) stop(signal os.Signal) {
	d.t.Helper()
	start := time.Now()
	if err := d.cmd.Process.Signal(signal); err != nil {
		d.t.Fatal(err)
	}
	d.wait("daemon stopped")
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("run ended with %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		d.t.Errorf("run took %s to stop", took)
	}
}

func TestRunPublishesOnScheduleUntilTold(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			s := newTestSite(t, sandbox.Config{Users: 50, Seed: 12})
			d := s.start(t, "    schedule: \"@every 1s\"\n")
			d.wait("snapshot published")
			d.wait("snapshot published")
			for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/fresh": "ok",
				"/metrics": `oktasync_reconciles_total{export="all-users",outcome="published"}`} {
				if status, body := get(t, d.url+path); status != http.StatusOK || !strings.Contains(body, want) {
					t.Errorf("%s = %d %q, want %q", path, status, body, want)
				}
			}
			d.stop(signal)
			s.must(t, 0, "verify")
			s.noViolations(t)
		})
	}
}

// While an export fails, /fresh says so, and the newest snapshot stays.
func TestFreshTellsOfAFailingExport(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 13})
	s.must(t, 0, "apply")
	s.org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	d := s.start(t, "    schedule: \"@every 1s\"\n    retry: {most: 0}\n")
	d.wait("reconcile failed")
	if status, body := get(t, d.url+"/fresh"); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "all-users: failing since ") {
		t.Errorf("/fresh = %d %q", status, body)
	}
	s.org.ClearFaults()
	d.wait("snapshot published")
	if status, body := get(t, d.url+"/fresh"); status != http.StatusOK {
		t.Errorf("/fresh after recovery = %d %q", status, body)
	}
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

// A run missed while the daemon was down is made up at the start.
func TestMissedRunIsMadeUpAtStart(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 14})
	s.must(t, 0, "apply")
	time.Sleep(1100 * time.Millisecond) // the real program, the real clock
	d := s.start(t, "    schedule: \"@every 1s\"\n")
	d.wait("snapshot published")
	d.stop(syscall.SIGTERM)
}

func TestSecondRunIsToldWhoHoldsTheStore(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 15})
	d := s.start(t, "")
	r := s.must(t, 1, "run")
	if want := fmt.Sprintf("process %d", d.cmd.Process.Pid); !strings.Contains(r.stderr, want) {
		t.Errorf("stderr = %q, want %q in it", r.stderr, want)
	}
	s.must(t, 0, "apply") // beside run
	d.stop(syscall.SIGTERM)
}

// A SIGTERM in the middle of a reading: the daemon stops at once, the journal
// says cancelled, and nothing is published.
func TestSignalInAReadingIsJournaledAsCancelled(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 1000, Seed: 16})
	s.org.Inject(sandbox.Fault{Nth: 2, Stall: -1})
	reading := make(chan struct{}, 100)
	s.org.OnRequest(func(int, *http.Request) { reading <- struct{}{} })
	d := s.start(t, "    schedule: \"@every 1s\"\n")
	<-reading
	<-reading
	d.stop(syscall.SIGTERM)
	journal, err := os.ReadFile(filepath.Join(s.dir, "snapshots", "all-users", "journal.ndjson"))
	if err != nil || !bytes.Contains(journal, []byte(`"event":"cancelled"`)) {
		t.Errorf("journal = %s, %v", journal, err)
	}
	s.must(t, 0, "verify")
}

// kill -9 at a random moment of apply: verify ends 0 each time, and the next
// apply publishes.
func TestKillAtRandomMoments(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 3000, Seed: 17, CachePages: true})
	start := time.Now()
	s.must(t, 0, "apply")
	whole := time.Since(start)
	kills := 8
	if long() {
		kills = 50
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, apply takes %s", seed, whole)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range kills {
		s.org.Move(1)
		cmd := s.command(t.Context(), "apply")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Float64() * float64(whole)))
		cmd.Process.Kill()
		cmd.Wait()
		if r := s.run(t, "verify"); r.status != 0 {
			t.Fatalf("kill %d: verify ended %d\n%s%s", i, r.status, r.stdout, r.stderr)
		}
	}
	s.must(t, 0, "apply")
	s.equalsOrg(t)
	s.must(t, 0, "verify")
	entries, err := os.ReadDir(filepath.Join(s.dir, "snapshots", "all-users"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "partial") {
			t.Errorf("%s was left over", e.Name())
		}
	}
}

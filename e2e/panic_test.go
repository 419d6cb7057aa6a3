package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// panicPlaces are functions of the program in which panics are tested, by file:
// the goroutines that call them belong to a reconcile.
var panicPlaces = map[string]string{
	"oktaclient/page.go":            "func (p *page) parse(",
	"oktaclient/sink.go":            "func (r *read) deliver(",
	"dpopauth/tokenrequest.go":      "func (e *tokenEndpoint) requestToken(",
	"reconcile/spool.go":            "func (s *spool) merge(",
	"reconcile/snapshot/publish.go": "func (w *Writer) Publish(",
	"reconcile/snapshot/prune.go":   "func (w *Writer) Prune(",
}

// daemonPanicPlaces are functions of the daemon in which panics are tested, by file.
var daemonPanicPlaces = map[string]string{
	"cmd/oktasync/internal/daemon/reload.go":   "func (d *daemon) reload(",
	"cmd/oktasync/internal/daemon/notifier.go": "func (n *notifier) deliver(",
	"cmd/oktasync/internal/daemon/verify.go":   "func (s *service) verify(",
	"cmd/oktasync/internal/web/page.go":        "func (p *pages) html(",
}

// panickingProgram builds the program so that it panics in the file that the
// environment variable PANIC_IN names.
func panickingProgram(t *testing.T, places map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	replace := make(map[string]string)
	for file, function := range places {
		path, err := filepath.Abs("../" + file)
		check(t, err)
		source := read(t, path)
		start := strings.Index(source, "\n"+function)
		if start < 0 {
			t.Fatalf("%s has no %s", file, function)
		}
		brace := start + strings.Index(source[start:], "{\n")
		source = source[:brace] + "{ panicIn(\"" + file + "\")\n" + source[brace+2:]
		name := strings.ReplaceAll(file, "/", "_")
		write(t, filepath.Join(dir, name), source)
		replace[path] = filepath.Join(dir, name)

		pkg := filepath.Base(filepath.Dir(path))
		write(t, filepath.Join(dir, pkg+"_panic.go"), "package "+pkg+`

import "os"

func panicIn(file string) {
	if file == os.Getenv("PANIC_IN") {
		panic("the attribute of a user")
	}
}
`)
		replace[filepath.Join(filepath.Dir(path), "panic.go")] = filepath.Join(dir, pkg+"_panic.go")
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	check(t, err)
	write(t, filepath.Join(dir, "overlay.json"), string(overlay))
	path := filepath.Join(dir, "oktasync")
	cmd := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", path, "oktasync/cmd/oktasync")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// A panic in any goroutine of a reconcile fails that reconcile: the journal
// records it, the status is 1, and the error contains neither a stack trace nor
// the value.
func TestPanicFailsTheReconcile(t *testing.T) {
	program := panickingProgram(t, panicPlaces)
	for file := range panicPlaces {
		t.Run(file, func(t *testing.T) {
			s := newSite(t, sandbox.Config{Users: 500, Seed: 133})
			concurrency := ""
			if file == "oktaclient/page.go" { // lists have other goroutines than ranges
				concurrency = "\n  concurrency: 1"
			}
			s.configure(t, "    retain: {last: 1}\n", "rate_limit_share: 1", "rate_limit_share: 1"+concurrency)
			s.must(t, 0, "apply")
			r := s.panics(t, program, file)
			if r.status != 1 || !strings.Contains(r.stderr, "internal error: panic") ||
				strings.Contains(r.stderr, "goroutine ") || strings.Contains(r.stderr, "attribute") {
				t.Errorf("status = %d, want 1 and one error without a trace:\n%s", r.status, r.stderr)
			}
			if last := s.lastEvents(t, 1); !strings.Contains(last, `"event":"failed"`) {
				t.Errorf("last event = %s, want failed", last)
			}
			s.must(t, 0, "apply")
			s.must(t, 0, "verify")
		})
	}
	t.Run("prune fails after a publish", func(t *testing.T) { testFailedPrune(t, program) })
}

// A panic in a goroutine of the daemon is one error in the log, without a stack trace and
// the value. The daemon continues.
func TestPanicInTheDaemonIsLogged(t *testing.T) {
	program := panickingProgram(t, daemonPanicPlaces)
	for file := range daemonPanicPlaces {
		t.Run(path.Base(file), func(t *testing.T) {
			s := newSite(t, sandbox.Config{Users: 20, Seed: 135})
			s.newHook(t)
			cmd := exec.Command(program, "run")
			cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "PANIC_IN="+file)
			d := s.startCommand(t, s.daemonConfig("    schedule: \"@every 5s\"\n", "notify: [{url_file: hook.url, on: [published]}]", `verify: "@every 1s"`), cmd)
			switch {
			case strings.HasSuffix(file, "reload.go"):
				d.signal(syscall.SIGHUP)
			case strings.HasSuffix(file, "page.go"):
				d.wantPage("/", http.StatusInternalServerError)
			}
			if line := d.wait("internal error: panic at "); !strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "attribute") {
				t.Errorf("log line = %s, want an error without the value", line)
			}
			d.wantPage("/healthz", http.StatusOK)
			d.stop(syscall.SIGTERM)
		})
	}
}

// panics runs apply with a program that panics in file.
func (s *site) panics(t *testing.T, program, file string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, "apply")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, append(os.Environ(), "PANIC_IN="+file), &stdout, &stderr
	cmd.Run() // the status says it
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// lastEvents returns the last n lines of the journal.
func (s *site) lastEvents(t *testing.T, n int) string {
	t.Helper()
	lines := strings.SplitAfter(strings.TrimSpace(s.journal(t)), "\n")
	return strings.Join(lines[len(lines)-n:], "")
}

// testFailedPrune checks that a publish is reported, journaled, notified and
// counted although the prune after it fails.
func testFailedPrune(t *testing.T, program string) {
	const prune = "reconcile/snapshot/prune.go"
	s := newSite(t, sandbox.Config{Users: 20, Seed: 134})
	r := s.panics(t, program, prune)
	if r.status != 1 || !strings.HasPrefix(r.stdout, "all-users: published ") || !strings.Contains(r.stderr, "internal error") {
		t.Errorf("status = %d, want 1 and the facts of the snapshot:\n%s%s", r.status, r.stdout, r.stderr)
	}
	published := regexp.MustCompile(`(?s)"event":"published".*\n.*"event":"failed"`)
	if last := s.lastEvents(t, 2); !published.MatchString(last) {
		t.Errorf("last events = %s, want published and failed", last)
	}

	messages := s.newHook(t)
	cmd := exec.Command(program, "run")
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "PANIC_IN="+prune)
	d := s.startCommand(t, s.daemonConfig(everySecond, "notify: [{url_file: hook.url, on: [published]}]"), cmd)
	wantMessage(t, messages, "published", "")
	d.wait("snapshot published, old ones not pruned")
	d.wantPage("/metrics", http.StatusOK, `oktasync_reconciles_total{export="all-users",outcome="published"}`)
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

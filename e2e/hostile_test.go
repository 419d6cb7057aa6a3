package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// maxMemory is the most memory of a process, in KiB, whatever Okta answers.
const maxMemory = 128 << 10

// TestHostileServer is short in CI. Before a release, it runs for 10 minutes:
//
//	OKTASYNC_HOSTILE=10m go test ./e2e -run TestHostileServer -timeout 30m -v
//
// OKTASYNC_HOSTILE_SEED repeats a run. A server spoils 40 % of the responses. No
// command and no daemon crashes, needs over 128 MiB, or prints a secret or a
// control character. The old snapshot stays the newest, and the store complete.
func TestHostileServer(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("OKTASYNC_HOSTILE"), "6s"))
	check(t, err)
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("OKTASYNC_HOSTILE_SEED"), "1"), 10, 64)
	check(t, err)
	s := newSite(t, sandbox.Config{Users: 900, Seed: 151})
	h := newHostile(t, s, seed)
	s.configure(t, "")
	s.must(t, 0, "apply")
	before := read(t, s.path("snapshots/all-users/latest/SHA256SUMS"))
	// The guard stops each read of all-users. Reads of others are published.
	export := "    timeout: 3s\n    users: {guard: {min: 100000}}\n"
	others := "  - name: others\n    timeout: 3s\n"
	s.configure(t, export+others)
	dir := t.TempDir()
	daemon := &site{org: s.org, server: s.server, dir: dir}
	for _, name := range []string{"ca.pem", "client-key.pem"} {
		write(t, daemon.path(name), read(t, s.path(name)))
	}
	d := daemon.start(t, everySecond+"    timeout: 3s\n    retain: {last: 5}\nlog: {level: debug}\n", `verify: "@every 5s"`)
	peak := peakMemory(d.cmd.Process.Pid)
	d.wait("snapshot published")
	h.active.Store(true)
	checker := &outputChecker{T: t, secrets: keyPieces(t, s.path("client-key.pem")), limit: 10 * time.Second}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for line := range d.logs {
			checker.check("the daemon's log", line)
		}
	}()

	commands := [][]string{{"apply", "all-users"}, {"apply", "others"}, {"plan"}, {"doctor"}, {"api", "/api/v1/users", "--paginate"},
		{"apply", "others", "--log-level", "debug"}, {"quarantine", "list"}, {"status"}, {"show", "all-users"}}
	random := rand.New(rand.NewPCG(seed, 0))
	runs := 0
	for ends := time.Now().Add(length); time.Now().Before(ends); runs++ {
		checker.run(s, oneOf(random, commands)...)
		if now := read(t, s.path("snapshots/all-users/latest/SHA256SUMS")); now != before {
			t.Fatal("all-users has another newest snapshot")
		}
		if r := s.run(t, "verify"); r.status != 0 {
			t.Fatalf("verify = %d\n%.3000s%.3000s", r.status, r.stdout, r.stderr)
		}
		for _, page := range []string{"/", "/fresh", "/metrics", "/api/v1/status"} {
			_, text := get(t, d.url+page)
			checker.check(page, text)
		}
		if t.Failed() {
			break
		}
	}
	d.signal(syscall.SIGTERM)
	<-logged
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	daemonMemory := <-peak
	t.Logf("seed %d: %d commands, %d requests; most memory: %d MiB, the daemon %d MiB", seed, runs, h.requests.Load(), checker.most>>10, daemonMemory>>10)
	if daemonMemory > maxMemory && !raceDetector {
		t.Errorf("the daemon needed %d KiB", daemonMemory)
	}
	daemon.must(t, 0, "verify")
	checker.files(s.path("snapshots"))
}

// outputChecker runs commands and checks their output.
type outputChecker struct {
	*testing.T
	secrets [][]byte
	limit   time.Duration // of a command; 0: 5 minutes
	most    int           // memory, in KiB
}

// run runs a command that may fail. A signal ends it after the limit.
func (c *outputChecker) run(s *site, args ...string) {
	ctx, cancel := context.WithTimeout(c.Context(), cmp.Or(c.limit, 5*time.Minute))
	defer cancel()
	var out bytes.Buffer
	cmd := s.command(ctx, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	cmd.Stderr = &out
	if args[0] != "api" && args[0] != "show" { // these print data
		cmd.Stdout = &out
	}
	check(c, cmd.Start())
	peak := peakMemory(cmd.Process.Pid)
	err := cmd.Wait()
	memory := <-peak
	name := "oktasync " + strings.Join(args, " ")
	if cmd.ProcessState == nil || !cmd.ProcessState.Exited() || cmd.ProcessState.ExitCode() > 3 || strings.Contains(out.String(), "goroutine ") {
		c.Errorf("%s: %v\n%.5000s", name, err, out.String())
		return
	}
	if c.most = max(c.most, memory); memory > maxMemory && !raceDetector {
		c.Errorf("%s needed %d KiB\n%.2000s", name, memory, out.String())
	}
	c.check(name, out.String())
}

// check fails the test if text contains a secret, or a control character other than
// a line feed or tab.
func (c *outputChecker) check(where, text string) {
	c.checkSecrets(where, []byte(text))
	at := strings.IndexFunc(text, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r <= 0x9f || r == '\u202e' || r == '\ufffd'
	})
	if at >= 0 {
		c.Errorf("%s has a control character: %q", where, text[max(0, at-200):min(len(text), at+200)])
	}
}

func (c *outputChecker) checkSecrets(where string, data []byte) {
	for _, piece := range c.secrets {
		if bytes.Contains(data, piece) {
			c.Errorf("%s contains a part of the private key", where)
		}
	}
	if found := looksLikeJWT.Find(data); found != nil {
		c.Errorf("%s contains a token: %.12s…", where, found)
	}
	if at := bytes.Index(data, []byte(bodySecret)); at >= 0 {
		c.Errorf("%s contains a part of a body: %.500q", where, data[max(0, at-200):])
	}
}

// files checks that no transcript, manifest or journal contains a secret.
func (c *outputChecker) files(dir string) {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch filepath.Base(path) {
		case "manifest.json", "requests.ndjson", "journal.ndjson", "read.json":
			data, err := os.ReadFile(path)
			c.checkSecrets(path, data)
			return err
		}
		return err
	})
	check(c, err)
}

func writePEM(path string, certificate []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600)
}

// Long cursors need disk space for the transcript, and no memory.
func TestLongCursors(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 1, Seed: 152})
	page := 0
	answer := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/users" || r.URL.Query().Has("filter") {
			return false
		}
		if page++; page < 1500 {
			w.Header().Set("Link", fmt.Sprintf(`<%s/api/v1/users?limit=200&after=%d%s>; rel="next"`, s.server.URL, page, strings.Repeat("x", 15_000)))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `[{"id":"00u%d","status":"ACTIVE"}]`, page)
		return true
	}
	newHostile(t, s, 0).answer = answer
	s.configure(t, "", "  ca_file", "  concurrency: 1\n  ca_file")
	checker := &outputChecker{T: t}
	checker.run(s, "apply", "--quiet")
	if n := strings.Count(read(t, s.path("snapshots/all-users/latest/requests.ndjson")), "after="); n != 1499 {
		t.Errorf("the transcript has %d cursors", n)
	}
}

// No error contains text of a malformed header.
func TestMalformedHeader(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 1, Seed: 153})
	for _, path := range []string{"/api/v1/users", "/oauth2/v1/token", "/.well-known/okta-organization"} {
		h := newHostile(t, s, 0)
		h.http1 = true
		h.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				conn, buffer, err := w.(http.Hijacker).Hijack()
				check(t, err)
				defer conn.Close()
				fmt.Fprintf(buffer, "HTTP/1.1 200 OK\r\nX: %s\x1b\r\n\r\n", bodySecret)
				buffer.Flush()
			}
			return r.URL.Path == path
		}
		s.configure(t, "    timeout: 3s\n")
		checker := &outputChecker{T: t}
		checker.run(s, "doctor")
		checker.run(s, "plan")
	}
}

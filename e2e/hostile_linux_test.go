package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
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
		{"apply", "others", "--log-level", "debug"}, {"quarantine", "list"}, {"status"}, {"show", "others"}}
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

// run runs a command that may fail. A signal ends it after the limit. The standard
// output of api and show is a terminal, because they print data into a pipe as it is.
func (c *outputChecker) run(s *site, args ...string) {
	ctx, cancel := context.WithTimeout(c.Context(), cmp.Or(c.limit, 5*time.Minute))
	defer cancel()
	var out bytes.Buffer
	var screen strings.Builder
	cmd := s.command(ctx, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	cmd.Stdout, cmd.Stderr = &out, &out
	finish := func() {}
	if args[0] == "api" || args[0] == "show" {
		cmd.Stdout, finish = recordTerminal(c.T, 200, 50, &screen)
	}
	check(c, cmd.Start())
	peak := peakMemory(cmd.Process.Pid)
	err := cmd.Wait()
	finish()
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
	shown := strings.NewReplacer("\r\r\n", "\n", "\r\n", "\n", "\ufffd", "").Replace(screen.String()) // U+FFFD is in the place of bytes that aren't UTF-8
	c.checkControls(name+" on a terminal", shown)
	if args[0] != "api" { // it prints bodies, whatever they contain
		c.checkSecrets(name, []byte(screen.String()))
	}
}

// check fails the test if text contains a secret, or a control character.
func (c *outputChecker) check(where, text string) {
	c.checkSecrets(where, []byte(text))
	c.checkControls(where, text)
}

// checkControls fails the test if text contains a control character other than a
// line feed or tab.
func (c *outputChecker) checkControls(where, text string) {
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

// No error and no log contains text of a malformed response.
func TestErrorsOmitTextOfTheServer(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for name, response := range map[string]string{
		"header":             ok + "X: " + bodySecret + "\x1b\r\n\r\n",
		"trailer":            ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n" + bodySecret + "\x1b\r\n\r\n",
		"after the response": ok + "Content-Length: 2\r\n\r\n[]" + bodySecret + "\x1b",
	} {
		t.Run(name, func(t *testing.T) {
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
						io.WriteString(buffer, response)
						buffer.Flush()
					}
					return r.URL.Path == path
				}
				s.configure(t, "    timeout: 3s\n")
				checker := &outputChecker{T: t, limit: 3 * time.Second}
				for _, args := range [][]string{{"doctor"}, {"apply", "--log-level", "debug"}, {"api", "/api/v1/users"}} {
					checker.run(s, args...)
				}
			}
		})
	}
}

// No error contains the text with which an HTTP/2 server ends a connection (RFC 9113,
// section 6.8).
func TestErrorsOmitTextOfGoAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 1, Seed: 154})
	certificate := selfSigned(t, "Hostile")
	check(t, writePEM(s.path("ca.pem"), certificate.Certificate[0]))
	text := []byte(bodySecret + control)
	frames := slices.Concat([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}, // SETTINGS
		[]byte{0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88},                                           // HEADERS of stream 1: status 200
		[]byte{0, 0, byte(8 + len(text)), 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2}, text) // GOAWAY
	var connections atomic.Int64
	server := &http.Server{
		Handler:  s.org,
		ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { // the first connections use HTTP/1.1
			protocol := "http/1.1"
			if connections.Add(1) > 0 {
				protocol = "h2"
			}
			return &tls.Config{Certificates: []tls.Certificate{*certificate}, NextProtos: []string{protocol}}, nil
		}},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
			defer conn.Close()
			io.CopyN(io.Discard, conn, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
			for header := make([]byte, 9); header[3] != 1; { // until a frame with the header of the request
				if _, err := io.ReadFull(conn, header); err != nil {
					return
				}
				io.CopyN(io.Discard, conn, int64(header[1])<<8+int64(header[2]))
			}
			conn.Write(frames)
		}},
	}
	server.SetKeepAlivesEnabled(false) // one request for each connection
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	go server.ServeTLS(l, "", "")
	t.Cleanup(func() { server.Close() })
	s.server.URL = "https://" + l.Addr().String()
	s.org.SetURL(s.server.URL)
	s.configure(t, "    timeout: 3s\n")
	checker := &outputChecker{T: t, limit: 3 * time.Second}
	checker.run(s, "doctor") // the first request
	for _, args := range [][]string{{"apply", "--log-level", "debug"}, {"api", "/api/v1/users"}} {
		connections.Store(-2) // the request after those for a token
		checker.run(s, args...)
	}
}

// No error and no log contains text of a webhook or of a time-stamping authority.
func TestErrorsOmitTextOfOtherServers(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 1, Seed: 155})
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		check(t, err)
		io.WriteString(conn, bodySecret+control+"\r\n\r\n")
		conn.Close()
	}))
	t.Cleanup(other.Close)
	write(t, s.path("hook.url"), other.URL)
	config := s.daemonConfig(everySecond, "notify: [{url_file: hook.url, on: [published]}]")
	d := s.startWith(t, strings.Replace(config, "store:\n", "store:\n  timestamp_url: "+other.URL+"\n", 1))
	checker := &outputChecker{T: t}
	checker.check("the daemon's log", d.wait("snapshot published"))
	checker.run(s, "apply")
	d.signal(syscall.SIGTERM)
	checker.check("the daemon's log", d.wait("message not delivered"))
	check(t, d.cmd.Wait())
	checker.files(s.path("snapshots"))
}

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// exchange sends text as it is and returns the answer's status and headers.
func (d *daemon) exchange(text string) (*http.Response, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(conn, text)
	return http.ReadResponse(bufio.NewReader(conn), nil)
}

func TestHTTPAnswersOnlyWhoHasBusinessThere(t *testing.T) {
	s := newTestSite(t, sandbox.Config{Users: 10, Seed: 61})
	d := s.start(t, "")
	for _, test := range []struct {
		name, request string
		want          int
	}{
		{"a name of this host", "GET /healthz HTTP/1.1\r\nHost: localhost:9467\r\n\r\n", 200},
		{"an address of this host", "GET /healthz HTTP/1.1\r\nHost: [::1]:9467\r\n\r\n", 200},
		{"an old health checker", "GET /healthz HTTP/1.0\r\n\r\n", 200},
		{"a name rebound to loopback", "GET /metrics HTTP/1.1\r\nHost: attacker.example\r\n\r\n", 421},
		{"a name that only begins like one", "GET /metrics HTTP/1.1\r\nHost: localhost.attacker.example:9467\r\n\r\n", 421},
		{"a method that could change something", "POST /fresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405},
		{"a body", "GET /fresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nx", 413},
		{"a body without a length", "GET /fresh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 413},
		{"headers without an end", "GET /fresh HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 431},
		{"a profile", "GET /debug/pprof/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"no HTTP", "hello\r\n\r\n", 400},
	} {
		resp, err := d.exchange(test.request)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if resp.StatusCode != test.want {
			t.Errorf("%s: status %d, want %d", test.name, resp.StatusCode, test.want)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); test.want < 400 && !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("%s: Content-Security-Policy %q", test.name, csp)
		}
	}
	d.stop(syscall.SIGTERM)
}

// 200 connections of slow, broken and huge requests delay no reconcile, cost
// little memory, and leave nothing behind.
func TestHTTPLoadDelaysNoReconcile(t *testing.T) {
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 62})
	d := s.start(t, everySecond)
	d.wait("snapshot published")
	spared := s.spared(t)
	before, served := d.rss(), d.served()
	length := 5 * time.Second
	if long() {
		length = time.Minute
	}
	end := time.Now().Add(length)
	var load sync.WaitGroup
	for i := range 200 {
		load.Go(func() {
			for time.Now().Before(end) {
				d.burden(i, end)
			}
		})
	}
	reconciles, others := 0, spared.Load()
	for time.Now().Before(end) {
		d.wait("snapshot published")
		reconciles++
	}
	others = spared.Load() - others
	load.Wait()
	if least := int(others)/2 - 1; reconciles < least {
		t.Errorf("%d reconciles in %s, and %d of a daemon that nobody asks", reconciles, length, others)
	}
	grown, now := d.rss()-before, d.served()
	if grown > 64<<20 && !raceDetector { // which keeps a shadow of all memory
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	asked := int64(now["go_memstats_sys_bytes"] - served["go_memstats_sys_bytes"]) // without that shadow, and never given back
	if asked > 64<<20 {
		t.Errorf("%d MiB more were asked for", asked>>20)
	}
	t.Logf("%d reconciles in %s, %d of a daemon that nobody asks; memory grew by %d MiB, %d MiB were asked for", reconciles, length, others, grown>>20, asked>>20)
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		for end := time.Now().Add(time.Minute); now[name] > served[name]+10 && time.Now().Before(end); now = d.served() {
			time.Sleep(100 * time.Millisecond)
		}
		if now[name] > served[name]+10 { // those of a reconcile come and go
			t.Errorf("%s was %g, and is %g", name, served[name], now[name])
		}
	}
	d.wait("snapshot published")
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

// spared counts the reconciles of a second daemon on the same machine.
func (s *site) spared(t *testing.T) *atomic.Int64 {
	t.Helper()
	other := newTestSite(t, sandbox.Config{Users: 50, Seed: 62})
	d := other.start(t, everySecond)
	var n atomic.Int64
	go func() {
		for line := range d.logs {
			if strings.Contains(line, "snapshot published") {
				n.Add(1)
			}
		}
	}()
	return &n
}

// huge is more than fits, made once: it is the daemon that is to be kept busy.
var huge = sync.OnceValue(func() string { return "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 8<<20) })

// burden is one bad connection of the kind i%4.
func (d *daemon) burden(i int, end time.Time) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(end)
	switch i % 4 {
	case 0: // a byte now and then
		for range "GET /metrics HTTP/1.1" {
			if _, err := io.WriteString(conn, "G"); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	case 1: // nonsense
		fmt.Fprintf(conn, "\x16\x03\x01%s\r\n\r\n", strings.Repeat("\x00", 1000))
		io.Copy(io.Discard, conn)
	case 2: // more than fits
		io.WriteString(conn, huge())
		io.Copy(io.Discard, conn)
	default: // asks, and does not read
		for n := range 100 {
			path := []string{"/healthz", "/", "/metrics", "/api/v1/status"}[n%4]
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
				return
			}
		}
		time.Sleep(time.Second)
	}
}

// served are the metrics without labels.
func (d *daemon) served() map[string]float64 {
	d.t.Helper()
	metrics := make(map[string]float64)
	_, body := get(d.t, d.url+"/metrics")
	for line := range strings.Lines(body) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); !strings.ContainsAny(name, "#{") {
			metrics[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return metrics
}

// rss is the daemon's resident memory.
func (d *daemon) rss() int64 {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if os.IsNotExist(err) {
		d.t.Skip("there is no /proc here")
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		d.t.Fatalf("no VmRSS: %v", err)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		d.t.Fatal(err)
	}
	return kib << 10
}

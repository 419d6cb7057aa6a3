package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// exchange sends a request as it is and returns the response, without its body.
func (d *daemon) exchange(request string) (*http.Response, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	go io.WriteString(conn, request)
	return http.ReadResponse(bufio.NewReader(conn), nil)
}

func TestDaemonRejectsRequests(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 10, Seed: 61})
	d := s.start(t, "")
	for _, test := range []struct {
		name, request string
		want          int
	}{
		{"name of this host", "GET /healthz HTTP/1.1\r\nHost: localhost:9467\r\n\r\n", 200},
		{"address of this host", "GET /healthz HTTP/1.1\r\nHost: [::1]:9467\r\n\r\n", 200},
		{"HTTP/1.0", "GET /healthz HTTP/1.0\r\n\r\n", 200},
		{"DNS rebinding", "GET /metrics HTTP/1.1\r\nHost: attacker.example\r\n\r\n", 421},
		{"name that begins like a local one", "GET /metrics HTTP/1.1\r\nHost: localhost.attacker.example:9467\r\n\r\n", 421},
		{"POST", "POST /fresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405},
		{"body", "GET /fresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nx", 413},
		{"body without a length", "GET /fresh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 413},
		{"endless header", "GET /fresh HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 431},
		{"profile", "GET /debug/pprof/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"not HTTP", "hello\r\n\r\n", 400},
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

// While 200 connections send slow, invalid and huge requests, the daemon
// publishes on schedule and needs little memory. They leave no goroutine and no
// file open.
func TestDaemonUnderHTTPLoad(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 50, Seed: 62})
	d := s.start(t, everySecond)
	d.wait("snapshot published")
	resident, before := d.rss(), d.metrics()
	reconciles := 4
	if long() {
		reconciles = 40
	}
	loaded, unload := context.WithCancel(t.Context())
	defer unload()
	var load sync.WaitGroup
	for i := range 200 {
		load.Go(func() {
			for loaded.Err() == nil {
				d.sendBadRequest(loaded, i)
			}
		})
	}
	for range reconciles {
		d.wait("snapshot published")
	}
	unload()
	load.Wait()
	if grown := d.rss() - resident; grown > 64<<20 && !raceDetector { // its shadow memory grows
		t.Errorf("resident memory grew by %d MiB", grown>>20)
	}
	now := d.metrics()
	if grown := int64(now["go_memstats_sys_bytes"] - before["go_memstats_sys_bytes"]); grown > 64<<20 { // never shrinks
		t.Errorf("the memory of the Go runtime grew by %d MiB", grown>>20)
	}
	for _, name := range []string{"go_goroutines", "process_open_fds"} { // those of a reconcile come and go
		for end := time.Now().Add(patience); now[name] > before[name]+10; now = d.metrics() {
			if time.Now().After(end) {
				t.Fatalf("%s was %g, and is %g", name, before[name], now[name])
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	d.wait("snapshot published")
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

// hugeRequest is larger than the daemon accepts. It is built once, to spend the
// CPU time in the daemon.
var hugeRequest = sync.OnceValue(func() string { return "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 8<<20) })

// sendBadRequest opens a connection, sends one of four kinds of requests, and
// closes it when ctx ends.
func (d *daemon) sendBadRequest(ctx context.Context, kind int) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	switch kind % 4 {
	case 0: // slow
		for range "GET /metrics HTTP/1.1" {
			if _, err := io.WriteString(conn, "G"); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	case 1: // invalid
		fmt.Fprintf(conn, "\x16\x03\x01%s\r\n\r\n", strings.Repeat("\x00", 1000))
		io.Copy(io.Discard, conn)
	case 2: // huge
		io.WriteString(conn, hugeRequest())
		io.Copy(io.Discard, conn)
	default: // reads no responses
		for n := range 100 {
			path := []string{"/healthz", "/", "/metrics", "/api/v1/status"}[n%4]
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
				return
			}
		}
		time.Sleep(time.Second)
	}
}

// metrics returns the metrics without labels.
func (d *daemon) metrics() map[string]float64 {
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

// rss returns the daemon's resident memory, in bytes.
func (d *daemon) rss() int64 {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if os.IsNotExist(err) {
		d.t.Skip("this system has no /proc")
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		d.t.Fatalf("no VmRSS: %v", err)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	check(d.t, err)
	return kib << 10
}

// /readyz needs the store itself: another folder or a file in its place isn't
// enough.
func TestDaemonIsReadyWithItsStore(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10, Seed: 125})
	d := s.start(t, "")
	store := s.path("snapshots")
	eventually := func(want int) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // a result is used for a second
			got, body := get(t, d.url+"/readyz")
			if got == want && body == "" {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("/readyz = %d %q, want %d without a body", got, body, want)
			}
		}
	}
	eventually(http.StatusOK)
	check(t, os.Rename(store, store+".away"))
	eventually(http.StatusServiceUnavailable)
	check(t, os.Rename(store+".away", store))
	eventually(http.StatusOK)
	check(t, os.Rename(store, store+".away"))
	write(t, store, "")
	eventually(http.StatusServiceUnavailable)
	check(t, os.Remove(store))
	check(t, os.Rename(store+".away", store))
	eventually(http.StatusOK)
	check(t, os.Rename(store, store+".away"))
	check(t, os.Mkdir(store, 0o700)) // as if the store's file system weren't mounted
	eventually(http.StatusServiceUnavailable)
	d.wantPage("/healthz", http.StatusOK)
	d.stop(syscall.SIGTERM)
}

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// told is a message as it arrives.
type told struct {
	Event, Export, Error, Text string
	Snapshot                   string
	Sequence                   int
	ManifestSHA256             string `json:"manifest_sha256"`
}

// newHook serves an address that takes messages.
func newHook(t *testing.T) (url string, messages <-chan told) {
	got := make(chan told, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m told
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		got <- m
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

// Failing twice is told once, and so is recovering; a heartbeat follows each
// success. The addresses are secrets.
func TestNotifiesOnceForEachChangeOfState(t *testing.T) {
	t.Parallel()
	messages := make(chan told, 100)
	var beats, refused atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /s3cret-hook", func(w http.ResponseWriter, r *http.Request) {
		if refused.Add(1) == 1 { // the first is tried again
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "@") {
			t.Errorf("the message holds an address of somebody: %s", body)
		}
		var m told
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		messages <- m
	})
	mux.HandleFunc("GET /s3cret-beat", func(http.ResponseWriter, *http.Request) { beats.Add(1) })
	server := httptest.NewServer(mux)
	defer server.Close()

	s := newTestSite(t, sandbox.Config{Users: 100, Seed: 71})
	write(t, filepath.Join(s.dir, "hook.url"), []byte(server.URL+"/s3cret-hook\n"))
	write(t, filepath.Join(s.dir, "gone.url"), []byte(server.URL+"/s3cret-gone"))
	config := strings.Replace(s.daemonConfig(everySecond+"    retry: {most: 0}\n    snapshot: on_change\n"), "daemon:\n", "daemon:\n"+
		"  heartbeat_url: "+server.URL+"/s3cret-beat\n"+
		"  notify: [{url_file: hook.url, on: []}, {url_file: gone.url, on: [failed]}]\n", 1)
	d := s.startWith(t, config)
	next := func(event string) (m told) {
		t.Helper()
		if m = <-messages; m.Event != event || m.Export != "all-users" || !strings.HasPrefix(m.Text, "oktasync: all-users ") {
			t.Fatalf("told of %+v, want %s", m, event)
		}
		return m
	}
	if m := next("published"); m.Sequence != 1 || len(m.ManifestSHA256) != 64 || m.Snapshot == "" {
		t.Errorf("published: %+v", m)
	}
	s.org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	if m := next("failed"); !strings.Contains(m.Error, "E0000006") {
		t.Errorf("failed: %+v", m)
	}
	if said := d.wait("message not delivered"); strings.Contains(said, "s3cret") || !strings.Contains(said, "daemon.notify[1].url_file") {
		t.Errorf("log = %s", said)
	}
	d.wait("reconcile failed") // again, and not told
	s.org.ClearFaults()
	next("recovered")
	s.org.Wipe()
	next("quarantined")
	s.org.Restore()
	next("recovered")
	if _, metrics := get(t, d.url+"/metrics"); !strings.Contains(metrics, `oktasync_messages_total{outcome="failed",to="daemon.notify[1].url_file"} 1`) {
		t.Error("the message that was not delivered is not counted")
	}
	d.stop(syscall.SIGTERM)
	if beats.Load() == 0 {
		t.Error("no heartbeat")
	}
	s.must(t, 0, "verify")
}

// Where due times pass and no reconcile gets to the export, it is overdue: told
// once, in /fresh and the metrics too, and over with the next one that does.
func TestNotifiesOfAnOverdueExportOnce(t *testing.T) {
	t.Parallel()
	hook, messages := newHook(t)
	s := newTestSite(t, sandbox.Config{Users: 10, Seed: 72})
	write(t, filepath.Join(s.dir, "hook.url"), []byte(hook))
	d := s.startWith(t, strings.Replace(s.daemonConfig(everySecond+"    timeout: 5s\n    retry: {most: 0}\n"), "daemon:\n",
		"daemon:\n  notify: [{url_file: hook.url, on: [failed, overdue, recovered]}]\n", 1))
	d.wait("snapshot published")
	lock, err := os.OpenFile(filepath.Join(s.dir, "snapshots", "all-users", ".lock"), os.O_RDWR, 0)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX) // as somebody who hangs in the export
	}
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if m := <-messages; m.Event != "overdue" || !strings.HasPrefix(m.Text, "oktasync: all-users is overdue since 20") || m.Error != "" {
		t.Errorf("told of %+v, want overdue", m)
	}
	if status, body := get(t, d.url+"/fresh"); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "all-users: overdue since ") {
		t.Errorf("/fresh = %d %q", status, body)
	}
	if _, metrics := get(t, d.url+"/metrics"); !strings.Contains(metrics, `oktasync_export_state{export="all-users",state="overdue"} 1`) {
		t.Error("no metric shows it")
	}
	for n, now := 0, time.Now(); n < 2; { // it stays so, and is not told again
		var line struct {
			Time time.Time
			Err  string
		}
		if err := json.Unmarshal([]byte(d.wait("reconcile failed")), &line); err != nil || !strings.HasPrefix(line.Err, "all-users is locked by ") {
			t.Errorf("log = %+v, %v", line, err)
		}
		if line.Time.After(now) {
			n++
		}
	}
	lock.Close()
	if m := <-messages; m.Event != "recovered" || !strings.HasPrefix(m.Text, "oktasync: all-users is fresh again") {
		t.Errorf("told of %+v, want recovered", m)
	}
	if status, body := get(t, d.url+"/fresh"); status != http.StatusOK {
		t.Errorf("/fresh afterwards = %d %q", status, body)
	}
	d.wait("snapshot published")
	d.stop(syscall.SIGTERM)
	if len(messages) > 0 {
		t.Errorf("told of %+v too", <-messages)
	}
	s.must(t, 0, "verify")
}

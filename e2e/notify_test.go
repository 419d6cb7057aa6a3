package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// message is a notification as a webhook receives it.
type message struct {
	Event, Export, Error, Text string
	Snapshot                   string
	Sequence                   int
	ManifestSHA256             string `json:"manifest_sha256"`
}

// newHook serves a webhook, and writes its URL to the site's hook.url. It rejects
// the first message, which the daemon sends again.
func (s *site) newHook(t *testing.T) <-chan message {
	t.Helper()
	messages := make(chan message, 100)
	var received atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if received.Add(1) == 1 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "@") {
			t.Errorf("the message contains an email address: %s", body)
		}
		var m message
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		messages <- m
	}))
	t.Cleanup(server.Close)
	write(t, s.path("hook.url"), server.URL+"/s3cret-hook\n")
	return messages
}

// wantMessage returns the next message, which must be of an event and begin with
// text.
func wantMessage(t *testing.T, messages <-chan message, event, text string) message {
	t.Helper()
	var m message
	select {
	case m = <-messages:
	case <-time.After(patience):
		t.Fatalf("no message, want %s", event)
	}
	if m.Event != event || m.Export != "all-users" || !strings.HasPrefix(m.Text, "oktasync: all-users "+text) {
		t.Fatalf("message = %+v, want %s", m, event)
	}
	return m
}

// The daemon sends one message for each change of state, and a heartbeat after
// each success. It logs no webhook address.
func TestDaemonNotifies(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 100, Seed: 71})
	messages := s.newHook(t)
	var heartbeats atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/s3cret-heartbeat" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		heartbeats.Add(1)
	}))
	defer server.Close()
	write(t, s.path("gone.url"), server.URL+"/s3cret-gone")
	d := s.start(t, everySecond+"    retry: {most: 0}\n    snapshot: on_change\n",
		"notify: [{url_file: hook.url, on: [published, failed, quarantined, recovered]}, {url_file: gone.url, on: [failed]}]", "heartbeat_url: "+server.URL+"/s3cret-heartbeat")
	if m := wantMessage(t, messages, "published", ""); m.Sequence != 1 || len(m.ManifestSHA256) != 64 || m.Snapshot == "" {
		t.Errorf("published: %+v", m)
	}
	s.org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	if m := wantMessage(t, messages, "failed", "failed: read users: "); !strings.Contains(m.Error, "E0000006") {
		t.Errorf("failed: %+v", m)
	}
	d.wantPage("/fresh", http.StatusServiceUnavailable, "all-users: failing since ")
	if log := d.wait("message not delivered"); strings.Contains(log, "s3cret") || !strings.Contains(log, "daemon.notify[1].url_file") {
		t.Errorf("log = %s", log)
	}
	d.wait("reconcile failed") // a second time, without a message
	s.org.ClearFaults()
	wantMessage(t, messages, "recovered", "")
	d.wantPage("/fresh", http.StatusOK)
	s.org.Wipe()
	wantMessage(t, messages, "quarantined", "")
	s.org.Restore()
	wantMessage(t, messages, "recovered", "")
	d.wantPage("/metrics", http.StatusOK, `oktasync_messages_total{outcome="failed",to="daemon.notify[1].url_file"} 1`)
	d.stop(syscall.SIGTERM)
	if heartbeats.Load() == 0 {
		t.Error("no heartbeat")
	}
	s.must(t, 0, "verify")
}

// An export whose scheduled reconciles can't start is overdue. One message,
// /fresh and the metrics report it, until a reconcile succeeds.
func TestDaemonNotifiesOverdue(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10, Seed: 72})
	messages := s.newHook(t)
	d := s.start(t, everySecond+"    timeout: 5s\n    retry: {most: 0}\n", "notify: [{url_file: hook.url, on: [failed, overdue, recovered]}]")
	d.wait("snapshot published")
	lock, err := os.OpenFile(s.path("snapshots/all-users/.lock"), os.O_RDWR, 0)
	check(t, err)
	defer lock.Close()
	check(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)) // like another process that hangs
	if m := wantMessage(t, messages, "overdue", "has been overdue since 20"); m.Error != "" {
		t.Errorf("overdue: %+v", m)
	}
	d.wantPage("/fresh", http.StatusServiceUnavailable, "all-users: overdue since ")
	d.wantPage("/metrics", http.StatusOK, `oktasync_export_state{export="all-users",state="overdue"} 1`)
	for n, now := 0, time.Now(); n < 2; { // two more failures, without a message
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
	wantMessage(t, messages, "recovered", "is up to date again")
	d.wantPage("/fresh", http.StatusOK)
	d.wait("snapshot published")
	d.stop(syscall.SIGTERM)
	if len(messages) > 0 {
		t.Errorf("one more message: %+v", <-messages)
	}
	s.must(t, 0, "verify")
}

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// reload gives the daemon another configuration and returns its log line.
func (d *daemon) reload(s *site, config string) string {
	d.t.Helper()
	write(d.t, s.path("oktasync.yaml"), config)
	d.signal(syscall.SIGHUP)
	return d.wait("reloaded")
}

// The log names the changed keys. The access token and the listener are kept.
func TestDaemonReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 50, Seed: 31})
	d := s.start(t, everySecond)
	d.wait("snapshot published")
	config := strings.Replace(s.daemonConfig(everySecond+"    timeout: 1h\n"), "rate_limit_share: 1", "rate_limit_share: 0.9", 1)
	log := d.reload(s, config+"  - name: active\n    schedule: \"@every 1s\"\n    users: {include_deprovisioned: false}\n")
	if want := `"changed":"exports[active], exports[all-users].timeout, okta.rate_limit_share"`; !strings.Contains(log, want) {
		t.Errorf("log = %s, want %s", log, want)
	}
	d.wait(`"export":"active"`)
	if got := s.org.Stats().Grants; got != 1 {
		t.Errorf("%d tokens were granted, want 1", got)
	}
	if log := d.reload(s, config); !strings.Contains(log, `"changed":"exports[active]"`) {
		t.Errorf("log = %s, want the removed export", log)
	}
	d.wantPage("/fresh", http.StatusOK)
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
	s.noViolations(t)
}

// If the new configuration is invalid, the daemon keeps all of the old one.
func TestDaemonRejectsReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 50, Seed: 32})
	d := s.start(t, everySecond)
	good := s.daemonConfig(everySecond)
	write(t, s.path("broken.pem"), "no key")
	for name, change := range map[string][2]string{
		"unknown key":    {"store:", "stroe:"},
		"broken key":     {"client-key.pem", "broken.pem"},
		"missing CA":     {"ca.pem", "nowhere.pem"},
		"no signers":     {"path: snapshots", "path: snapshots\n  allowed_signers_file: nowhere"},
		"address in use": {"127.0.0.1:0", s.server.URL[len("https://"):]},
		"other org":      {s.server.URL, "https://acme.okta.com"},
	} {
		log := d.reload(s, strings.Replace(good, change[0], change[1], 1))
		if !strings.Contains(log, "configuration not reloaded") || !strings.Contains(log, `"level":"ERROR"`) {
			t.Errorf("%s: log = %s", name, log)
		}
		d.wait("snapshot published")
	}
	d.wantPage("/metrics", http.StatusOK, "oktasync_config_last_reload_successful 0")
	if log := d.reload(s, good); !strings.Contains(log, `"changed":"nothing"`) {
		t.Errorf("log = %s", log)
	}
	if r := s.must(t, 1, "run"); !strings.Contains(r.stderr, "is locked by") || !strings.Contains(r.stderr, fmt.Sprintf("process %d", d.cmd.Process.Pid)) {
		t.Errorf("a second daemon: %s", r.stderr)
	}
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

// A reload reads the key file again. A token of the old key isn't used with the
// new key.
func TestDaemonReloadsKey(t *testing.T) {
	t.Parallel()
	s, other := newSite(t, sandbox.Config{Users: 50, Seed: 35}), newSite(t, sandbox.Config{Users: 1})
	key := s.path("client-key.pem")
	registered, foreign := read(t, key), read(t, other.path("client-key.pem"))
	export := everySecond + "    retry: {most: 0}\n"
	d := s.start(t, export)
	d.wait("snapshot published")
	for _, step := range [][2]string{{foreign, "reconcile failed"}, {registered, "snapshot published"}} {
		write(t, key, step[0])
		if log := d.reload(s, s.daemonConfig(export)); !strings.Contains(log, `"changed":"okta.private_key_file's content"`) {
			t.Errorf("log = %s", log)
		}
		d.wait(step[1])
	}
	d.stop(syscall.SIGTERM)
}

// A reconcile that is under way finishes with its old configuration, in the old
// store. The next reconcile of the export starts after it.
func TestDaemonReloadsDuringReconcile(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 1000, Seed: 33})
	block := make(chan struct{})
	requests := make(chan struct{}, 100)
	s.org.OnRequest(func(n int, _ *http.Request) {
		requests <- struct{}{}
		if n == 3 {
			<-block
		}
	})
	d := s.start(t, everySecond)
	for range 3 {
		<-requests
	}
	if log := d.reload(s, strings.Replace(s.daemonConfig(everySecond+"    formats: [ndjson]\n"), "path: snapshots", "path: elsewhere", 1)); !strings.Contains(log, "store.path") {
		t.Errorf("log = %s, want store.path", log)
	}
	close(block)
	for _, store := range []string{"snapshots", "elsewhere"} {
		if log := d.wait("snapshot published"); !strings.Contains(log, filepath.Join(store, "all-users")) {
			t.Errorf("log = %s, want a snapshot in %s", log, store)
		}
	}
	if _, err := os.Stat(s.path("snapshots/all-users/latest/users.csv")); err != nil {
		t.Errorf("the old configuration's formats: %v", err)
	}
	d.stop(syscall.SIGTERM)
	for _, store := range []string{"snapshots", "elsewhere"} {
		s.must(t, 0, "verify", "--store", store)
	}
}

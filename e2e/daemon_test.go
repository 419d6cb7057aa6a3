package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// reload gives the daemon another configuration and returns what it says.
func (d *daemon) reload(s *site, config string) string {
	d.t.Helper()
	write(d.t, filepath.Join(s.dir, "oktasync.yaml"), []byte(config))
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
	return d.wait("reloaded")
}

// daemonConfig is the site's configuration with an address to listen on.
func (s *site) daemonConfig(more string) string {
	return strings.Replace(s.config(more), `listen: ""`, `listen: 127.0.0.1:0`, 1)
}

const everySecond = "    schedule: \"@every 1s\"\n"

// The token stays where org and key do; a new key gets a new one.
func TestReloadNamesWhatChangedAndKeepsTheToken(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 31})
	d := s.start(t, everySecond)
	d.wait("snapshot published")
	config := strings.Replace(s.daemonConfig(everySecond+"    timeout: 1h\n"), "rate_limit_share: 1", "rate_limit_share: 0.9", 1)
	said := d.reload(s, config+"  - name: active\n    schedule: \"@every 1s\"\n    users: {include_deprovisioned: false}\n")
	if want := `"changed":"exports[active], exports[all-users].timeout, okta.rate_limit_share"`; !strings.Contains(said, want) {
		t.Errorf("log = %s, want %s", said, want)
	}
	d.wait(`"export":"active"`)
	if got := s.org.Stats().Grants; got != 1 {
		t.Errorf("%d tokens were granted, want 1", got)
	}
	if said := d.reload(s, config); !strings.Contains(said, `"changed":"exports[active]"`) {
		t.Errorf("log = %s, want the export that is gone", said)
	}
	if status, body := get(t, d.url+"/fresh"); status != http.StatusOK { // still the same listener
		t.Errorf("/fresh = %d %q", status, body)
	}
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
	s.noViolations(t)
}

// Whatever is wrong with the new configuration, all of the old one goes on.
func TestReloadIsWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 32})
	d := s.start(t, everySecond)
	good := s.daemonConfig(everySecond)
	write(t, filepath.Join(s.dir, "broken.pem"), []byte("no key"))
	os.Chmod(filepath.Join(s.dir, "broken.pem"), 0o600)
	for name, change := range map[string][2]string{
		"unknown key":    {"store:", "stroe:"},
		"broken key":     {"client-key.pem", "broken.pem"},
		"missing CA":     {"ca.pem", "nowhere.pem"},
		"no signers":     {"path: snapshots", "path: snapshots\n  allowed_signers_file: nowhere"},
		"address in use": {"127.0.0.1:0", s.server.URL[len("https://"):]},
		"other org":      {s.server.URL, "https://acme.okta.com"},
	} {
		said := d.reload(s, strings.Replace(good, change[0], change[1], 1))
		if !strings.Contains(said, "configuration not reloaded") || !strings.Contains(said, `"level":"ERROR"`) {
			t.Errorf("%s: log = %s", name, said)
		}
		d.wait("snapshot published")
	}
	if status, body := get(t, d.url+"/metrics"); status != http.StatusOK || !strings.Contains(body, "oktasync_config_last_reload_successful 0") {
		t.Errorf("/metrics = %d without the failed reload", status)
	}
	if said := d.reload(s, good); !strings.Contains(said, `"changed":"nothing"`) {
		t.Errorf("log = %s", said)
	}
	if r := s.run(t, "run"); r.status != 1 || !strings.Contains(r.stderr, "is locked by") {
		t.Errorf("a second daemon ended %d\n%s", r.status, r.stderr)
	}
	d.stop(syscall.SIGTERM)
	s.must(t, 0, "verify")
}

// A key is read again from where it always was, and a token that an old key got
// is not used with a new one.
func TestReloadReadsTheKeyAgain(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 35})
	other := newTestSite(t, sandbox.Config{Users: 1})
	key := filepath.Join(s.dir, "client-key.pem")
	mine, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(other.dir, "client-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	config := s.daemonConfig(everySecond + "    retry: {most: 0}\n")
	d := s.start(t, everySecond+"    retry: {most: 0}\n")
	d.wait("snapshot published")
	for _, step := range []struct {
		key  []byte
		then string
	}{{foreign, "reconcile failed"}, {mine, "snapshot published"}} {
		write(t, key, step.key)
		if said := d.reload(s, config); !strings.Contains(said, `"changed":"okta.private_key_file's content"`) {
			t.Errorf("log = %s", said)
		}
		d.wait(step.then)
	}
	d.stop(syscall.SIGTERM)
}

// The next reconcile of an export waits for the one under way, which finishes
// under the configuration that it began with, in its store.
func TestReloadLetsAReconcileFinishUnderItsOldConfiguration(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 1000, Seed: 33})
	hold := make(chan struct{})
	reading := make(chan struct{}, 100)
	s.org.OnRequest(func(n int, _ *http.Request) {
		reading <- struct{}{}
		if n == 3 {
			<-hold
		}
	})
	d := s.start(t, "    schedule: \"@every 1s\"\n")
	for range 3 {
		<-reading
	}
	if said := d.reload(s, strings.Replace(s.daemonConfig(everySecond+"    formats: [ndjson]\n"), "path: snapshots", "path: elsewhere", 1)); !strings.Contains(said, "store.path") {
		t.Errorf("log = %s, want store.path", said)
	}
	close(hold)
	if said := d.wait("snapshot published"); !strings.Contains(said, filepath.Join("snapshots", "all-users")) {
		t.Errorf("the first to be published = %s, want one in the old store", said)
	}
	if said := d.wait("snapshot published"); !strings.Contains(said, filepath.Join("elsewhere", "all-users")) {
		t.Errorf("the second to be published = %s, want one in the new store", said)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "snapshots", "all-users", "latest", "users.csv")); err != nil {
		t.Errorf("the old configuration's formats: %v", err)
	}
	d.stop(syscall.SIGTERM)
	for _, store := range []string{"snapshots", "elsewhere"} {
		s.must(t, 0, "verify", "--store", store)
	}
}

// The journal knows of the start, so a reconcile that kills the process each
// time does not run again before its next due time.
func TestRunThatKillsTheProcessIsNotMadeUpAgain(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 1000, Seed: 34})
	reading := make(chan struct{}, 1000)
	s.org.Inject(sandbox.Fault{Forever: true, Stall: -1})
	s.org.OnRequest(func(int, *http.Request) { reading <- struct{}{} })
	d := s.start(t, "    schedule: \"@every 1h\"\n")
	<-reading
	for range 3 {
		d.cmd.Process.Kill()
		d.cmd.Wait()
		d = s.start(t, "    schedule: \"@every 1h\"\n")
	}
	d.stop(syscall.SIGTERM)
	journal, err := os.ReadFile(filepath.Join(s.dir, "snapshots", "all-users", "journal.ndjson"))
	if n := bytes.Count(journal, []byte(`"event":"started"`)); err != nil || n != 1 {
		t.Errorf("%d reconciles were started, want 1: %v\n%s", n, err, journal)
	}
	s.must(t, 0, "verify")
}

// Package e2e tests the built program against an Okta org in memory, over TLS.
//
// testdata/script contains the tests of commands, as scripts. Go tests cover the
// daemon, terminals, signals, file systems, large orgs, and other programs such as
// systemd, shells and browsers. messages_test.go checks the wording of errors;
// docs_test.go runs the commands of the documentation. Start reading at the type named site.
package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"oktasync/oktaclient/sandbox"
)

const clientID = "0oa1e2e0000000000001"

// bin is the folder of the program under test.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "oktasync-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		flag.Parse()
		if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
			parallel.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0))) // most tests wait for something
		}
		build := exec.Command("go", append(buildFlags, "-o", filepath.Join(bin, "oktasync"), "oktasync/cmd/oktasync")...)
		build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build the program under test:", err)
			return 1
		}
		return m.Run()
	}())
}

// withoutLag makes the program not wait for late stamps, which the sandbox doesn't have.
const withoutLag = "-X oktasync/cmd/oktasync/internal/org.membershipLag=1ms"

// program returns the path of the program under test. The first call looks at
// every source file, so that the go command doesn't reuse a cached test result
// after a source file has changed.
func program() string {
	statSources()
	return filepath.Join(bin, "oktasync")
}

var statSources = sync.OnceValue(func() error {
	return filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && (filepath.Ext(path) == ".go" || e.Name() == "go.mod") {
			_, err = os.Stat(path)
		}
		return err
	})
})

// long reports whether the tests run with large numbers of repetitions, users
// and seconds.
func long() bool { return os.Getenv("OKTASYNC_LONG_TESTS") == "1" }

// all reports whether each test has to run: a missing program fails its test, and
// tests that take more than a few seconds aren't skipped.
func all() bool { return os.Getenv("OKTASYNC_ALL_TESTS") == "1" || long() }

// skip skips a test, or fails it if each test has to run.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if all() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// needs skips a test if a program that it runs isn't installed.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, "%s is not installed", program)
		}
	}
}

// needsMounts skips a test if it can't make a mount namespace.
func needsMounts(t testing.TB) {
	t.Helper()
	needs(t, "unshare")
	if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
		t.Skipf("this user can't make a mount namespace: %v", err)
	}
}

// site is a sandbox org that is being served, and the folder of a client of it,
// with ca.pem, client-key.pem and oktasync.yaml.
type site struct {
	org    *sandbox.Org
	server *sandbox.Server
	dir    string
}

// serveSite serves an org and registers the client in it. It replaces the clients
// in cfg, and doesn't overwrite files in dir.
func serveSite(dir string, cfg sandbox.Config, app sandbox.ClientApp) (*site, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	app.ID, app.Keys = clientID, []sandbox.PublicKey{{Key: key.Public()}}
	if app.Scopes == nil {
		app.Scopes = []string{"okta.users.read"}
	}
	if slices.Contains(app.Scopes, "okta.roles.read") {
		app.Permissions = append(app.Permissions, "okta.iam.read")
	}
	cfg.Clients = []sandbox.ClientApp{app}
	s := &site{org: sandbox.NewOrg(cfg), dir: dir}
	if s.server, err = sandbox.NewServer(s.org, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{
		"client-key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"ca.pem":         s.server.CAPEM(),
		"oktasync.yaml":  []byte(s.config("")),
	} {
		path := s.path(name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// usersAndGroups are the scopes for reading users and groups.
var usersAndGroups = []string{"okta.users.read", "okta.groups.read"}

// newSite is serveSite for a Go test, without rate limits. The client has scopes,
// by default only that for reading users.
func newSite(t testing.TB, cfg sandbox.Config, scopes ...string) *site {
	t.Helper()
	if cfg.RateLimit == nil {
		cfg.RateLimit = sandbox.Limits(1_000_000)
	}
	s, err := serveSite(t.TempDir(), cfg, sandbox.ClientApp{RequireDPoP: true, Scopes: scopes})
	check(t, err)
	t.Cleanup(func() { s.server.Close() })
	return s
}

// config returns a configuration for the org, with more lines for its export.
func (s *site) config(more string) string {
	return fmt.Sprintf(`okta:
  org_url: %s
  client_id: %s
  private_key_file: client-key.pem
  ca_file: ca.pem
  rate_limit_share: 1
store:
  path: snapshots
daemon:
  listen: ""
exports:
  - name: all-users
%s`, s.server.URL, clientID, more)
}

// configure writes oktasync.yaml: config(more), with text replaced in pairs.
func (s *site) configure(t testing.TB, more string, oldnew ...string) {
	t.Helper()
	write(t, s.path("oktasync.yaml"), strings.NewReplacer(oldnew...).Replace(s.config(more)))
}

// path returns the path of a file in the site's folder.
func (s *site) path(name ...string) string {
	return filepath.Join(append([]string{s.dir}, name...)...)
}

// journal returns the journal of the export all-users.
func (s *site) journal(t testing.TB) string {
	t.Helper()
	return read(t, s.path("snapshots/all-users/journal.ndjson"))
}

// result is the outcome of a command.
type result struct {
	status         int
	stdout, stderr string
}

// command returns a command of the program that runs in the site's folder.
func (s *site) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program(), args...)
	cmd.Dir = s.dir
	return cmd
}

// run runs a command of the program.
func (s *site) run(t testing.TB, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := s.command(t.Context(), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must is run for a command that must return status.
func (s *site) must(t testing.TB, status int, args ...string) result {
	t.Helper()
	r := s.run(t, args...)
	if r.status != status {
		t.Fatalf("oktasync %s: status %d, want %d\n%s%s", strings.Join(args, " "), r.status, status, r.stdout, r.stderr)
	}
	return r
}

// sh runs a shell command in the site's folder. The command must succeed.
func (s *site) sh(t testing.TB, command string) string {
	t.Helper()
	cmd := exec.Command("sh", "-ec", command)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// noViolations fails a test if the org received a request that a correct client
// doesn't send.
func (s *site) noViolations(t testing.TB) {
	t.Helper()
	for _, v := range s.org.Stats().Violations {
		t.Errorf("violation: %s", v)
	}
}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	check(t, err)
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	check(t, err)
	return resp.StatusCode, body.String()
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	check(t, err)
	return string(data)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(text), 0o600))
}

// check ends a test that can't continue after err.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

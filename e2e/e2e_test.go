// Package e2e drives the built program against the sandbox org on TLS: scripts
// in testdata/script for what a user sees, Go tests for what takes many users,
// signals, or a violent end.
package e2e

import (
	"bytes"
	"cmp"
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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

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
			parallel.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0))) // most of what is tested here waits
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

// program is the program under test. It looks at every source file once, from
// within a test, so that the go command knows what a cached result rests on.
func program() string {
	noteSources()
	return filepath.Join(bin, "oktasync")
}

var noteSources = sync.OnceValue(func() error {
	return filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && (filepath.Ext(path) == ".go" || e.Name() == "go.mod") {
			_, err = os.Stat(path)
		}
		return err
	})
})

// long reports whether the long forms of the tests are asked for, in which
// nothing may be skipped either.
func long() bool { return os.Getenv("OKTASYNC_LONG_TESTS") == "1" }

// needs skips a test that needs a program from a Debian package, or fails it
// where the long forms are asked for.
func needs(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if long() {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
}

// site is a sandbox org being served, and a folder with what a client of it
// needs: ca.pem, client-key.pem and oktasync.yaml.
type site struct {
	org    *sandbox.Org
	server *sandbox.Server
	dir    string
}

// newSite serves an org and registers the client in it. Whatever else cfg says
// of clients is replaced.
func newSite(dir string, cfg sandbox.Config, app sandbox.ClientApp) (*site, error) {
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
	cfg.Clients = []sandbox.ClientApp{app}
	s := &site{org: sandbox.NewOrg(cfg), dir: dir}
	if s.server, err = sandbox.NewServer(s.org, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"client-key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"ca.pem":         s.server.CAPEM(),
		"oktasync.yaml":  []byte(s.config("")),
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			continue // the script has its own
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// config is a configuration for the org; more is appended to the export.
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

// newTestSite is newSite for a Go test, with rate limits out of the way.
func newTestSite(t testing.TB, cfg sandbox.Config) *site {
	t.Helper()
	if cfg.RateLimit == nil {
		cfg.RateLimit = sandbox.Limits(1_000_000)
	}
	s, err := newSite(t.TempDir(), cfg, sandbox.ClientApp{RequireDPoP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.server.Close() })
	return s
}

// result is how a command of the program ended.
type result struct {
	status         int
	stdout, stderr string
}

// command is the program with the site's folder as its own.
func (s *site) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program(), args...)
	cmd.Dir = s.dir
	return cmd
}

// run runs a command to its end.
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

// must is run for a command that has to end with status.
func (s *site) must(t testing.TB, status int, args ...string) result {
	t.Helper()
	r := s.run(t, args...)
	if r.status != status {
		t.Fatalf("oktasync %s: status %d, want %d\n%s%s", strings.Join(args, " "), r.status, status, r.stdout, r.stderr)
	}
	return r
}

// noViolations fails a test whose client did what a correct one never does.
func (s *site) noViolations(t testing.TB) {
	t.Helper()
	for _, v := range s.org.Stats().Violations {
		t.Errorf("violation: %s", v)
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(program())+string(filepath.ListSeparator)+os.Getenv("PATH"))
			env.Values[siteKey{}] = new(*site)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"org":        orgCommand,
			"people":     peopleCommand,
			"fault":      faultCommand,
			"violations": violationsCommand,
			"status":     statusCommand,
		},
	})
}

// siteKey finds the org of a script.
type siteKey struct{}

func siteOf(ts *testscript.TestScript) *site {
	s, ok := ts.Value(siteKey{}).(**site)
	if !ok || *s == nil {
		ts.Fatalf("no org yet")
	}
	return *s
}

// orgCommand starts an org: `org users=100 deprovisioned=5 role=none`.
func orgCommand(ts *testscript.TestScript, neg bool, args []string) {
	cfg := sandbox.Config{Seed: 1, Users: 100, RateLimit: sandbox.Limits(100_000), Control: true}
	app := sandbox.ClientApp{RequireDPoP: true}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		var err error
		switch name {
		case "users":
			cfg.Users, err = strconv.Atoi(value)
		case "deprovisioned":
			cfg.Deprovisioned, err = strconv.Atoi(value)
		case "role":
			app.Role = value
		case "scopes":
			app.Scopes = strings.Split(value, ",")
		case "token-life":
			cfg.TokenLife, err = time.ParseDuration(value)
		case "clock-offset":
			cfg.ClockOffset, err = time.ParseDuration(value)
		case "dpop":
			app.RequireDPoP = value != "off"
		default:
			ts.Fatalf("org: unknown setting %s", name)
		}
		ts.Check(err)
	}
	s, err := newSite(ts.Getenv("WORK"), cfg, app)
	ts.Check(err)
	ts.Defer(func() { s.server.Close() })
	ts.Setenv("ORG_URL", s.server.URL)
	ts.Setenv("CLIENT_ID", clientID)
	*ts.Value(siteKey{}).(**site) = s
}

// peopleCommand changes people: `people join 2`.
func peopleCommand(ts *testscript.TestScript, neg bool, args []string) {
	org := siteOf(ts).org
	n := ""
	if len(args) > 1 {
		n = args[1]
	}
	if err := changePeople(org, args[0], n); err != nil {
		ts.Fatalf("people: %v", err)
	}
}

// changePeople changes n people, "" for those changes that take no number.
func changePeople(org *sandbox.Org, change, number string) error {
	n, err := strconv.Atoi(cmp.Or(number, "0"))
	if err != nil {
		return err
	}
	switch change {
	case "join":
		org.Join(n)
	case "move":
		org.Move(n)
	case "touch":
		org.Touch(n)
	case "deactivate":
		org.Deactivate(n)
	case "delete":
		org.Delete(n)
	case "wipe":
		org.Wipe()
	case "restore":
		org.Restore()
	default:
		return fmt.Errorf("unknown change %s", change)
	}
	return nil
}

// faultCommand arms a fault: `fault forever broken-json`, `fault nth=2 status=500`.
func faultCommand(ts *testscript.TestScript, neg bool, args []string) {
	var f sandbox.Fault
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		var err error
		switch name {
		case "nth":
			f.Nth, err = strconv.Atoi(value)
		case "status":
			f.Status, err = strconv.Atoi(value)
		case "code":
			f.Code = value
		case "path":
			f.Path = value
		case "next":
			f.Next = value
		case "forever":
			f.Forever = true
		case "broken-json":
			f.BrokenJSON = true
		case "html":
			f.HTML = true
		case "bearer":
			f.Bearer = true
		case "redirect":
			f.Redirect = value
		case "clear":
			siteOf(ts).org.ClearFaults()
			return
		default:
			ts.Fatalf("fault: unknown setting %s", name)
		}
		ts.Check(err)
	}
	siteOf(ts).org.Inject(f)
}

// violationsCommand fails where the client did what a correct one never does.
func violationsCommand(ts *testscript.TestScript, neg bool, _ []string) {
	found := siteOf(ts).org.Stats().Violations
	if (len(found) > 0) != neg {
		ts.Fatalf("violations: %q", found)
	}
}

// statusCommand runs a command that has to end with an exit status:
// `status 3 oktasync apply`.
func statusCommand(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status = %d, want %d", got, want)
	}
}

// get fetches a page of the daemon.
func get(t testing.TB, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body.String()
}

package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// finding is an item of `doctor --json`.
type finding struct{ ID, Status, Seen, Where, Remedy string }

// diagnosis is what doctor has to say of a state: one thing, and nothing else.
type diagnosis struct {
	status, id string
	seen       string // in what was seen
	where      string
	remedy     string // in what is to be done
}

var diagnoses = map[string]diagnosis{
	"unknown-key-in-config": {"failed", "config", "unknown key stoer; did you mean store?", "config", "`oktasync validate`"},
	"console-url":           {"failed", "config", "okta.org_url: is the admin console; did you mean https://acme.okta.com?", "config", "correct it"},
	"hook-missing":          {"failed", "config", "hook.url", "config", "`oktasync validate`"},
	"key-missing":           {"failed", "client_key", "there is no ", "config", "okta.private_key_file"},
	"key-open":              {"failed", "client_key", "others have access to ", "host", "chmod 600 "},
	"key-group":             {"warning", "client_key", "the group has access to it", "host", "chmod 600 "},
	"key-ed25519":           {"failed", "client_key", "EdDSA", "config", "P-256 or RSA private key"},
	"same-key-twice":        {"failed", "dpop_key", "is the client key", "config", "okta.dpop.private_key_file"},
	"proxy-no-address":      {"failed", "proxy", "HTTPS_PROXY is no address of a proxy", "host", "set HTTPS_PROXY"},
	"proxy-down":            {"failed", "proxy", "can't be reached: connection refused", "host", "correct HTTPS_PROXY"},
	"proxy-password":        {"failed", "proxy", "status 407", "host", "user and password into HTTPS_PROXY"},
	"proxy-denies":          {"failed", "proxy", "does not connect to acme.okta.example: status 403", "host", "whoever keeps the proxy"},
	"unknown-host":          {"failed", "dns", "there is no host acme..okta.com", "config", "okta.org_url"},
	"nothing-listens":       {"failed", "tcp", "connection refused", "host", "firewall"},
	"intercepting-proxy":    {"failed", "tls", `by "Acme Web Gateway CA"`, "config", "okta.ca_file"},
	"wrong-certificate":     {"failed", "tls", "is for portal.acme.example, not for 127.0.0.1", "config", "okta.org_url"},
	"expired-certificate":   {"failed", "tls", "this machine's clock shows", "host", "set the clock"},
	"no-tls":                {"failed", "tls", "does not speak TLS", "config", "port in okta.org_url"},
	"ca-file-empty":         {"failed", "tls", "holds no PEM certificate", "config", "okta.ca_file"},
	"clock-wrong":           {"failed", "clock", "behind the org's", "host", "timedatectl"},
	"clock-slow":            {"warning", "clock", "behind the org's", "host", "timedatectl"},
	"other-address":         {"failed", "org", "the org's address is https://127.0.0.1:", "config", "set okta.org_url to https://127.0.0.1:"},
	"not-okta":              {"failed", "org", "is no Okta org", "config", "okta.org_url"},
	"okta-down":             {"failed", "token_endpoint", "503", "", "status.okta.com"},
	"blocked-zone":          {"failed", "network_zone", "all that the org answers to this address is 403", "okta", "Security > Networks"},
	"outside-zone":          {"failed", "network_zone", "there is no token for this address", "okta", "network zone that the app is limited to"},
	"outside-zone-api":      {"failed", "network_zone", "the API refuses this address", "okta", "network zone that the app is limited to"},
	"unknown-client":        {"failed", "client_id", "the org has no app 0oa1sandboxapp000002", "config", "okta.client_id"},
	"unknown-key":           {"failed", "key_known", "does not have the key with thumbprint", "okta", "oktasync validate --public-jwk"},
	"kid-missing":           {"failed", "key_known", "this key and others", "config", "set okta.private_key_id to "},
	"kid-wrong":             {"failed", "key_known", "not by kid key-2", "config", "correct okta.private_key_id"},
	"dpop-not-required":     {"failed", "dpop", "required here, but not in the app", "okta", "Proof of possession"},
	"dpop-off-here":         {"failed", "dpop", "required in the app, but off here", "config", "set okta.dpop.mode to required"},
	"dpop-off":              {"warning", "dpop", "off here and in the app", "okta", "Proof of possession"},
	"nonce-lost":            {"failed", "nonce", "demands a nonce", "host", "DPoP-Nonce"},
	"no-scope":              {"failed", "scopes", "none of those asked for is granted: okta.users.read", "okta", "grant okta.users.read"},
	"scope-not-granted":     {"failed", "scopes", "asked for, but not granted: okta.groups.read", "config", "take okta.groups.read out of okta.scopes"},
	"too-many-scopes":       {"warning", "extra_scopes", "not needed: okta.apps.read okta.users.manage", "okta", "revoke them"},
	"api-down":              {"failed", "api", "status 503 E0000100", "", "status.okta.com"},
	"limit-used-up":         {"failed", "rate_limit", "is left until ", "okta", "Reports > Rate limits"},
	"limit-shared":          {"warning", "rate_limit", "but only 39 are left until ", "okta", "Reports > Rate limits"},
	"no-role":               {"failed", "role", "status 200 and an empty list", "okta", "Read-only Administrator"},
	"role-forbidden":        {"failed", "role", "the app has no admin role: status 403 E0000006", "okta", "Read-only Administrator"},
	"role-limited":          {"failed", "role", "its role is limited to some", "okta", "Read-only Administrator, for all"},
	"limit-low":             {"warning", "reading", "all-users times out after 30s", "config", "timeout of all-users"},
	"store-on-a-file":       {"failed", "store", "not a directory", "config", "store.path"},
	"store-of-another-org":  {"failed", "store", "belongs to https://other.okta.com, not to https://127.0.0.1:", "config", "another store.path"},
	"store-among-files":     {"failed", "store", "no store but other files (notes.txt)", "config", "store.path"},
	"no-such-group":         {"failed", "store", "there is no group nosuchgroup", "config", "store.group"},
	"too-little-space":      {"warning", "space", "what retain keeps will come to", "config", "keep fewer by retain"},
	"signing-key-missing":   {"failed", "signing_key", "there is no ", "config", "store.signing_key_file"},
	"signing-key-open":      {"failed", "signing_key", "mode 0640", "host", "chmod 600 "},
	"signing-key-in-store":  {"failed", "signing_key", "lies in the store", "config", "move the key out of the store"},
	"signer-not-allowed":    {"failed", "allowed_signers", "by a key that is not among the allowed signers", "host", "have the auditor add a line"},
}

// misconfigured starts `oktasync sandbox --misconfigured` in a folder of its own,
// and returns the command that it proposes.
func misconfigured(t *testing.T, dir, state string) *exec.Cmd {
	t.Helper()
	s := &site{dir: dir}
	serve := s.command(t.Context(), "sandbox", "--misconfigured", state, "--users", "300", "--dir", "org", "--listen", "127.0.0.1:0")
	serve.Stderr = os.Stderr
	stdout, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { serve.Process.Signal(syscall.SIGTERM); serve.Wait() })
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if try, found := strings.CutPrefix(lines.Text(), "try it:  "); found {
			env, args, _ := strings.Cut(try, "oktasync ")
			cmd := s.command(t.Context(), append(strings.Fields(args), "--json")...)
			cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
				return strings.HasPrefix(strings.ToUpper(v), "HTTPS_PROXY=") || strings.HasPrefix(strings.ToUpper(v), "NO_PROXY=")
			}), strings.Fields(env)...)
			return cmd
		}
	}
	t.Fatal("the sandbox proposes no command")
	return nil
}

// In each of the states that the sandbox can be put into, doctor names the cause
// and the remedy, and only that.
func TestDoctorNamesTheCauseAndTheRemedy(t *testing.T) {
	s := &site{dir: t.TempDir()}
	states := sandboxStates(t, s.must(t, 0, "sandbox", "--help").stdout)
	if len(states) != len(diagnoses) {
		t.Errorf("the sandbox has %d states, and %d are tested", len(states), len(diagnoses))
	}
	if len(states) < 20 {
		t.Errorf("states = %q, want at least 20", states)
	}
	for _, state := range states {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			want, known := diagnoses[state]
			if !known {
				t.Fatal("no test says what doctor has to find")
			}
			dir := t.TempDir()
			cmd := misconfigured(t, dir, state)
			before := tree(t, dir)
			out, _ := cmd.Output()
			status := 0
			if want.status == "failed" {
				status = 1
			}
			if got := cmd.ProcessState.ExitCode(); got != status {
				t.Errorf("exit status = %d, want %d", got, status)
			}
			if after := tree(t, dir); after != before {
				t.Errorf("doctor changed files: %s, before %s", after, before)
			}
			checkDiagnosis(t, out, want)
		})
	}
}

func checkDiagnosis(t *testing.T, out []byte, want diagnosis) {
	t.Helper()
	var findings []finding
	if err := json.Unmarshal(out, &findings); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	named := false
	for _, f := range findings {
		switch {
		case f.ID == want.id:
			named = true
			if f.Status != want.status || !strings.Contains(f.Seen, want.seen) || f.Where != want.where || !strings.Contains(f.Remedy, want.remedy) {
				t.Errorf("finding = %+v, want %+v", f, want)
			}
		case f.Status == "ok", f.Status == "skipped" && named && want.status == "failed",
			f.Status == "skipped" && strings.Contains(f.Seen, want.id):
		default:
			t.Errorf("finding = %+v, and only %s is wrong", f, want.id)
		}
	}
	if !named {
		t.Errorf("nothing is said of %s", want.id)
	}
}

// sandboxStates are those that --help lists.
func sandboxStates(t *testing.T, help string) []string {
	t.Helper()
	_, list, found := strings.Cut(help, "for oktasync doctor to find:\n")
	list, _, ended := strings.Cut(list, "\n\n")
	if !found || !ended {
		t.Fatalf("--help lists no states:\n%s", help)
	}
	return strings.Fields(strings.ReplaceAll(list, ",", " "))
}

// docs/doctor.md lists every check in the order in which doctor prints them.
func TestDoctorIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dir: t.TempDir()}
	var ids []string
	for _, row := range regexp.MustCompile("(?m)^- `([a-z_]+)`: ").FindAllStringSubmatch(string(page), -1) {
		ids = append(ids, row[1])
	}
	var findings []finding
	if err := json.Unmarshal([]byte(s.must(t, 1, "doctor", "--json").stdout), &findings); err != nil {
		t.Fatal(err)
	}
	for i, f := range findings {
		if i >= len(ids) || ids[i] != f.ID {
			t.Fatalf("checks of the page = %q, and doctor has %s at %d", ids, f.ID, i)
		}
	}
	if len(ids) != len(findings) {
		t.Errorf("the page has %d checks, doctor %d", len(ids), len(findings))
	}
}

// tree is every file under dir with its size and when it was changed.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil && info.IsDir() {
			b.WriteString(path + "\n") // whose time a file that came and went has changed
		} else if err == nil {
			b.WriteString(path + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Where all is well, doctor says so, shows no secret, leaves nothing behind, and
// has sent nothing that a correct client does not.
func TestDoctorWhereAllIsWell(t *testing.T) {
	s := newTestSite(t, sandbox.Config{Users: 1500, Seed: 3, RateLimit: sandbox.WorkforceLimits()})
	before := tree(t, s.dir)
	r := s.must(t, 0, "doctor")
	if !strings.HasSuffix(r.stdout, "\nall is well\n") || r.stderr != "" {
		t.Errorf("doctor = %s%s", r.stdout, r.stderr)
	}
	for _, want := range []string{
		`(?m)^ok +client_key +client-key.pem: ES256, thumbprint [\w-]{43}, mode 0600, owner `,
		`(?m)^ok +role +the app sees at least 1000 users`,
		`(?m)^ok +rate_limit +300 requests a minute to /api/v1/users; okta.rate_limit_share 1 leaves 300$`,
		`(?m)^ok +reading +1000 users, of more, take up to 1m at 300 requests a minute; --people N`,
	} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("doctor has no line %s:\n%s", want, r.stdout)
		}
	}
	s.must(t, 0, "apply")
	if r := s.must(t, 0, "doctor", "--people", "150000"); !strings.Contains(r.stdout, "and 20 of 20 people of snapshot ") ||
		!strings.Contains(r.stdout, "150000 people (--people) take up to 3m ") {
		t.Errorf("doctor = %s", r.stdout)
	}
	s.must(t, 0, "verify")
	os.RemoveAll(filepath.Join(s.dir, "snapshots"))
	if after := tree(t, s.dir); after != before {
		t.Errorf("doctor left %s, before %s", after, before)
	}
	s.noViolations(t)
}

// A role that is limited to some is told by what --people says, too.
func TestDoctorIsToldHowManyPeopleThereAre(t *testing.T) {
	s := newTestSite(t, sandbox.Config{Users: 300, Deprovisioned: -1})
	s.must(t, 0, "doctor", "--people", "300")
	if r := s.must(t, 1, "doctor", "--people", "900"); !strings.Contains(r.stdout, "the app sees 300 users of 900: its role is limited to some") {
		t.Errorf("doctor = %s", r.stdout)
	}
}

// Through a proxy it is the proxy that looks the name up and connects.
func TestDoctorThroughAProxy(t *testing.T) {
	const url = "https://acme.okta.example"
	org := sandbox.Config{Users: 50, Certificate: sandbox.Certificate{Host: "acme.okta.example"}}
	s := newTestSite(t, org)
	s.org.SetURL(url)
	data := strings.Replace(s.config(""), s.server.URL, url, 1)
	if err := os.WriteFile(filepath.Join(s.dir, "oktasync.yaml"), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := tunnel(t, strings.TrimPrefix(s.server.URL, "https://"))
	cmd := s.command(t.Context(), "doctor")
	cmd.Env = append(os.Environ(), "HTTPS_PROXY=http://someone:secret@"+proxy, "NO_PROXY=")
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"proxy           http://" + proxy + ", by HTTPS_PROXY\n", "dns             left to the proxy\n", "tcp             by way of the proxy\n"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("doctor = %v, want %q in it:\n%s", err, want, out)
		}
	}
	if strings.Contains(string(out), "secret") {
		t.Errorf("doctor shows the proxy's password:\n%s", out)
	}
	s.noViolations(t)
}

// tunnel is a proxy that connects everybody to one address.
func tunnel(t *testing.T, to string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up, err := net.Dial("tcp", to)
		if err != nil || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		down, read, err := http.NewResponseController(w).Hijack() // read may have the first of what comes
		if err != nil {
			up.Close()
			return
		}
		go func() { io.Copy(up, read); up.Close() }()
		io.Copy(down, up)
		down.Close()
	})}
	go proxy.Serve(l)
	t.Cleanup(func() { proxy.Close() })
	return l.Addr().String()
}

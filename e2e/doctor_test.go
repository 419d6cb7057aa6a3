package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// finding is an item of `doctor --json`.
type finding struct{ ID, Status, Seen, Where, Remedy string }

// For each misconfiguration, doctor reports the cause and the remedy, and nothing
// else. It changes no file.
func TestDoctorFindsMisconfiguration(t *testing.T) {
	for name, m := range misconfigurations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newBadSite(t, m)
			before := tree(t, s.dir)
			cmd := s.command(t.Context(), "doctor", "--json")
			cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
				return strings.HasPrefix(strings.ToUpper(v), "HTTPS_PROXY=") || strings.HasPrefix(strings.ToUpper(v), "NO_PROXY=")
			}), "HTTPS_PROXY="+s.proxy)
			out, _ := cmd.Output()
			status := 0
			if m.want.status == "failed" {
				status = 1
			}
			if got := cmd.ProcessState.ExitCode(); got != status {
				t.Errorf("exit status = %d, want %d", got, status)
			}
			if after := tree(t, s.dir); after != before {
				t.Errorf("doctor changed files: %s, want %s", after, before)
			}
			checkDiagnosis(t, out, m.want)
		})
	}
}

func checkDiagnosis(t *testing.T, out []byte, want diagnosis) {
	t.Helper()
	var findings []finding
	if err := json.Unmarshal(out, &findings); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found := false
	for _, f := range findings {
		switch {
		case f.ID == want.id:
			found = true
			if f.Status != want.status || !strings.Contains(f.Seen, want.seen) || f.Where != want.where || !strings.Contains(f.Remedy, want.remedy) {
				t.Errorf("finding = %+v, want %+v", f, want)
			}
		case f.Status == "ok", f.Status == "skipped" && found && want.status == "failed",
			f.Status == "skipped" && strings.Contains(f.Seen, want.id):
		default:
			t.Errorf("finding = %+v, want only %s", f, want.id)
		}
	}
	if !found {
		t.Errorf("no finding %s", want.id)
	}
}

// docs/doctor.md lists every check in the order in which doctor prints them.
func TestDoctorIsDocumented(t *testing.T) {
	s := &site{dir: t.TempDir()}
	var documented, got []string
	for _, row := range regexp.MustCompile("(?m)^- `([a-z_]+)`: ").FindAllStringSubmatch(read(t, "../docs/doctor.md"), -1) {
		documented = append(documented, row[1])
	}
	var findings []finding
	check(t, json.Unmarshal([]byte(s.must(t, 1, "doctor", "--json").stdout), &findings))
	for _, f := range findings {
		got = append(got, f.ID)
	}
	if !slices.Equal(got, documented) {
		t.Errorf("doctor has the checks %q, docs/doctor.md %q", got, documented)
	}
}

// tree returns the paths of all files below dir, with their modification times.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil && info.IsDir() {
			b.WriteString(path + "\n") // its time changes with every temporary file
		} else if err == nil {
			b.WriteString(path + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	check(t, err)
	return b.String()
}

// doctor finds no problem, and changes no file.
func TestDoctorFindsNoProblem(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 1500, Seed: 3, RateLimit: sandbox.WorkforceLimits()})
	before := tree(t, s.dir)
	r := s.must(t, 0, "doctor")
	if !strings.HasSuffix(r.stdout, "\nall is well\n") || r.stderr != "" {
		t.Errorf("doctor = %s%s", r.stdout, r.stderr)
	}
	for _, want := range []string{
		`(?m)^ok +client_key +client-key.pem: ES256, thumbprint [\w-]{43}, mode 0600, owner `,
		`(?m)^ok +role +the app sees at least 1000 users`,
		`(?m)^ok +rate_limit +300 of 300 requests per minute to /api/v1/users \(okta.rate_limit_share 1\)$`,
		`(?m)^ok +reading +all-users: up to 1m for \d+ requests$`,
	} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("doctor has no line %s:\n%s", want, r.stdout)
		}
	}
	s.must(t, 0, "apply")
	if r := s.must(t, 0, "doctor", "--people", "1500"); !strings.Contains(r.stdout, "the app sees 1500 users, including 20 of 20 users of snapshot ") || !strings.Contains(r.stdout, "; the Admin Console shows 1500\n") ||
		!strings.Contains(r.stdout, "up to 1m for 8 requests") {
		t.Errorf("doctor = %s", r.stdout)
	}
	s.must(t, 0, "verify")
	check(t, os.RemoveAll(s.path("snapshots")))
	if after := tree(t, s.dir); after != before {
		t.Errorf("doctor left %s, want %s", after, before)
	}
	s.noViolations(t)
}

// --people reveals a role that is limited to some users, however many pages the app
// sees. Deprovisioned users count, as in the Admin Console.
func TestDoctorComparesPeople(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 2400, Seed: 3, Deprovisioned: 300})
	if r := s.must(t, 0, "doctor", "--people", "2400"); !strings.Contains(r.stdout, "the app sees 2400 users; the Admin Console shows 2400\n") {
		t.Errorf("doctor = %s", r.stdout)
	}
	if r := s.must(t, 1, "doctor", "--people", "2430"); !strings.Contains(r.stdout, "the app sees 2400 users, but not 30 of the 2430 people in the Admin Console") {
		t.Errorf("doctor = %s", r.stdout)
	}
}

// doctor requests every declared resource, also those with a list for each parent, and
// estimates the duration of each rate-limit bucket.
func TestDoctorChecksEveryDeclaredResource(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 300, Seed: 3, RateLimit: sandbox.WorkforceLimits()}, "okta.users.read", "okta.groups.read", "okta.apps.read")
	s.configure(t, allResources)
	r := s.must(t, 0, "doctor")
	for _, want := range []string{
		`extra_scopes +none beyond okta.users.read okta.groups.read okta.apps.read`,
		`api +answers for users, groups, group_members, group_rules, apps, app_users and app_groups\n`,
		`per minute to /api/v1/apps`, `role +the app sees \d+ users, \d+ groups, \d+ group rules and \d+ apps`,
		`reading +all-users: up to 1m for \d+ requests\n +apps: up to 1m for \d+ requests, 50 per minute\n +groups: .*\n +users: `,
	} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("doctor has no %s:\n%s", want, r.stdout)
		}
	}
	for path, want := range map[string]string{
		"/api/v1/groups,status=403,code=E0000006":            "role            the app has no admin role for groups and group_rules: okta: 403 E0000006",
		"/api/v1/groups/{id}/users,status=403,code=E0000006": "role            the app has no admin role for group_members: okta: 403 E0000006",
		"/api/v1/apps/{id}/groups,status=403,code=E0000006":  "role            the app has no admin role for app_groups: okta: 403 E0000006",
		"/api/v1/groups/rules,status=401,code=E0000015":      "api             GET /api/v1/groups/rules: okta: 401 E0000015",
	} {
		f, err := sandbox.ParseFault("path=" + path + ",forever")
		check(t, err)
		s.org.ClearFaults()
		s.org.Inject(f)
		if r := s.must(t, 1, "doctor"); !strings.Contains(r.stdout, want) {
			t.Errorf("%s: doctor = %s", path, r.stdout)
		}
	}
	s.noViolations(t)
}

// allResources declares every resource of an export.
const allResources = "    users: {}\n    groups: {}\n    group_members: {}\n    group_rules: {}\n    apps: {}\n    app_users: {}\n    app_groups: {}\n"

// A proxy resolves the name and connects. Its password isn't shown.
func TestDoctorThroughAProxy(t *testing.T) {
	const url = "https://acme.okta.example"
	org := sandbox.Config{Users: 50, Certificate: sandbox.Certificate{Host: "acme.okta.example"}}
	s := newSite(t, org)
	s.org.SetURL(url)
	s.configure(t, "", s.server.URL, url)
	proxy := tunnel(t, strings.TrimPrefix(s.server.URL, "https://"))
	cmd := s.command(t.Context(), "doctor")
	cmd.Env = append(os.Environ(), "HTTPS_PROXY=http://someone:secret@"+proxy, "NO_PROXY=")
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"proxy           http://" + proxy + ", from HTTPS_PROXY\n", "dns             the proxy resolves the name\n", "tcp             through the proxy\n"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("doctor = %v, want %q in it:\n%s", err, want, out)
		}
	}
	if strings.Contains(string(out), "secret") {
		t.Errorf("doctor shows the proxy's password:\n%s", out)
	}
	s.noViolations(t)
}

// tunnel is a proxy that forwards every connection to one address.
func tunnel(t *testing.T, to string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	proxy := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up, err := net.Dial("tcp", to)
		if err != nil || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		down, read, err := http.NewResponseController(w).Hijack() // read may contain the first bytes
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

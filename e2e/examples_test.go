package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/dpopauth/keys"
	"oktasync/oktaclient/sandbox"
)

// example is a line of some command's --help and what comes of it.
type example struct {
	line      string
	before    func(*testing.T, *site) // what happens first
	fresh     bool                    // it is run in a folder of its own, for it writes there
	until     string                  // it serves until it is told to stop, once it has said this
	meanwhile *example
	status    int
	says      string // a regular expression for what it prints
}

// after is something that happens in the org.
func after(change func(*sandbox.Org)) func(*testing.T, *site) {
	return func(_ *testing.T, s *site) { change(s.org) }
}

// held is after, and that a guard holds the reading back.
func held(change func(*sandbox.Org)) func(*testing.T, *site) {
	return func(t *testing.T, s *site) {
		change(s.org)
		s.must(t, 3, "apply")
	}
}

func leave(n int) func(*sandbox.Org) { return func(o *sandbox.Org) { o.Delete(n) } }

// examples are all lines that --help shows, in an order in which they make a
// story: that of an org of 120 people.
var examples = []example{
	{line: "oktasync demo", says: "everything fits"},
	{line: "oktasync demo --dir ./demo", says: "everything fits"},
	{line: "oktasync init --org-url https://acme.okta.com --client-id 0oa1b2c3d4e5f6g7h8i9", fresh: true, says: `"kty": "EC"`},
	{line: "oktasync init --env-file .env", fresh: true, says: "wrote oktasync.yaml"},
	{line: "oktasync init --org-url https://acme.okta.com --change-request > change-request.txt", fresh: true, says: "oktasync.yaml"},
	{line: "oktasync init --new-key new-client-key.pem", fresh: true, says: "^wrote new-client-key.pem "},
	{line: "oktasync sandbox --users 5000 --dir ./sandbox", until: "people at https://127.0.0.1:", meanwhile: &example{
		line: "oktasync plan --config ./sandbox/oktasync.yaml", says: "the first snapshot, of 5000 users"}},
	{line: "oktasync sandbox --fault nth=3,status=500 --fault every=10,reset", until: "people at https://127.0.0.1:"},
	{line: "oktasync completion zsh > ~/.zfunc/_oktasync"},
	{line: "oktasync completion fish > ~/.config/fish/completions/oktasync.fish"},
	{line: "source <(oktasync completion bash)"},
	{line: "oktasync version", says: "^oktasync .*, commit .*, go1"},

	{line: "oktasync validate --config oktasync.yaml", says: "^oktasync.yaml is valid: 1 export"},
	{line: "oktasync validate --public-jwk", says: `"kty": "EC"`},
	{line: "oktasync doctor", says: "^all is well$"},
	{line: "oktasync doctor --json", says: `"id": "allowed_signers"`},
	{line: "oktasync doctor --key new-client-key.pem", before: newClientKey, says: "the app takes the key in new-client-key.pem"},
	{line: "oktasync plan", before: oldKeyAlone, says: "Plan: the first snapshot, of 120 users"},
	{line: "oktasync apply", says: "published +[0-9TZ]+"},
	{line: "oktasync plan all-users --detailed-exitcode", before: after(leave(3)), status: 2, says: "Plan: 3 deleted"},
	{line: `oktasync apply all-users --publish-anyway --reason "CHG-1042: contractors removed"`, before: after(leave(60)), says: "CHG-1042: contractors removed"},
	{line: "oktasync api '/api/v1/users?limit=1'", says: `^\[{"id":"00u`},
	{line: "oktasync api /api/v1/groups --paginate", status: 1, says: "Okta has no such path"}, // the sandbox has no groups
	{line: "oktasync list", says: "all-users +2 +[0-9TZ]+"},
	{line: "oktasync list all-users --json", says: `"sequence": 1,`},
	{line: "oktasync show all-users", says: `^{"activated":`},
	{line: "oktasync show all-users@-1 --format csv", says: "^login,email,"},
	{line: "oktasync show all-users --at 2026-06-30 --format json", says: `^\[`},
	{line: "oktasync diff all-users", says: "120 users, then 57: 63 deleted"},
	{line: "oktasync diff all-users 2026-03-31 2026-06-30 --json", says: `"removed":63`},
	{line: "oktasync diff all-users @-7 --format csv > week.csv"},
	{line: "oktasync history all-users jane@acme.example", says: "^    present"},
	{line: "oktasync history all-users 00u1a2b3c4d5e6f7g8h9 --json", says: `"sequence": 1,`},
	{line: "oktasync history all-users jane@acme.example --format csv", says: ",present,"},
	{line: "oktasync status", says: "all-users"},
	{line: "oktasync status --heads", says: "^all-users=2:"},
	{line: "oktasync status --store /var/lib/oktasync/snapshots", says: "all-users"},
	{line: "oktasync verify", says: "everything fits"},
	{line: "oktasync verify --store /mnt/backup/snapshots --allowed-signers allowed_signers", says: "everything fits, and is signed by who may"},
	{line: "oktasync verify all-users --head 12:9f86d081884c7d65...", says: "everything fits"},

	{line: "oktasync quarantine list", before: held(leave(40)), says: "all-users .* 40 deleted"},
	{line: "oktasync quarantine show all-users --format csv", says: "^login,email,"},
	{line: "oktasync quarantine diff all-users", says: "57 users, then 17: 40 deleted"},
	{line: `oktasync quarantine release all-users --reason "CHG-1042: contractors removed"`, says: "all-users: published [0-9TZ]+, sequence 3"},
	{line: `oktasync quarantine drop all-users@20261123T060000Z --reason "the app had lost its role"`, before: held((*sandbox.Org).Wipe), says: "all-users: dropped [0-9TZ]+"},
	{line: `oktasync adopt all-users --reason "INC-77: disk lost, backup of Sunday restored"`, before: func(t *testing.T, s *site) {
		s.org.Restore()
		if err := os.RemoveAll(readlink(t, filepath.Join(s.dir, "snapshots/all-users/latest"))); err != nil {
			t.Fatal(err)
		}
	}, says: "all-users: adopted"},
	{line: "oktasync run --config /etc/oktasync/oktasync.yaml", until: "daemon started"},
}

// newClientKey is a key that the app has beside its old one, for now.
func newClientKey(t *testing.T, s *site) {
	key, err := keys.Generate()
	if err == nil {
		err = key.WriteFile(filepath.Join(s.dir, "new-client-key.pem"))
	}
	if err == nil {
		err = s.org.AddKey(clientID, sandbox.PublicKey{KID: key.Thumbprint(), Key: key.Public()})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func oldKeyAlone(t *testing.T, s *site) {
	key, err := keys.Load(filepath.Join(s.dir, "new-client-key.pem"))
	if err == nil {
		err = s.org.RemoveKey(clientID, key.Thumbprint())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readlink(t *testing.T, path string) string {
	t.Helper()
	to, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// Every line that some --help shows is run here, as it is shown but for the
// names in real, and does what it says.
func TestExamplesOfHelp(t *testing.T) {
	needs(t, "ssh-keygen")
	s := newTestSite(t, sandbox.Config{Users: 120, Seed: 71})
	shown := s.examplesOf(t)
	var run []string
	for _, e := range examples {
		run = append(run, e.line)
		if e.meanwhile != nil {
			run = append(run, e.meanwhile.line)
		}
	}
	for _, line := range run {
		if !slices.Contains(shown, line) {
			t.Errorf("no --help shows this example: take it from the list in examples_test.go\n%s", line)
		}
	}
	for _, line := range shown {
		if !slices.Contains(run, line) {
			t.Errorf("nothing runs this example: add it to the list in examples_test.go\n%s", line)
		}
	}
	for _, dir := range []string{".zfunc", ".config/fish/completions"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.example(t, example{line: "ssh-keygen -q -t ed25519 -N '' -f signing-key && echo \"ops $(cat signing-key.pub)\" > allowed_signers"})
	write(t, filepath.Join(s.dir, "oktasync.yaml"), []byte(strings.Replace(s.config(""), "store:", "store:\n  signing_key_file: signing-key", 1)))
	for _, e := range examples {
		if e.before != nil {
			e.before(t, s)
		}
		s.example(t, e)
	}
	s.noViolations(t)
}

// examplesOf returns the examples of a command's --help and of the commands below
// it.
func (s *site) examplesOf(t *testing.T, path ...string) (lines []string) {
	t.Helper()
	section := ""
	var below []string
	for line := range strings.Lines(s.must(t, 0, append(path, "--help")...).stdout) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line != "" && !strings.HasPrefix(line, " "):
			section = line
		case section == "Examples:" && line != "":
			lines = append(lines, strings.TrimSpace(line))
		case section == "Available Commands:" && line != "":
			if name := strings.Fields(line)[0]; name != "help" {
				below = append(below, name)
			}
		}
	}
	if len(below) == 0 && len(lines) == 0 {
		t.Errorf("oktasync %s --help shows no example", strings.Join(path, " "))
	}
	for _, name := range below {
		for _, line := range s.examplesOf(t, append(slices.Clone(path), name)...) {
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// example runs an example in a shell.
func (s *site) example(t *testing.T, e example) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", s.real(t, e.line))
	cmd.Dir = s.dir
	if e.fresh {
		cmd.Dir = t.TempDir()
		write(t, filepath.Join(cmd.Dir, ".env"), []byte("OKTA_ORG_URL="+s.server.URL+"\nOKTA_CLIENT_ID="+clientID+
			"\nOKTA_CC_PRIVATE_KEY_FILE="+filepath.Join(s.dir, "client-key.pem")+"\n"))
	}
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+s.dir, "TMPDIR="+s.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, told := "", e.until == ""
	for buf := make([]byte, 32<<10); ; {
		n, err := out.Read(buf)
		if err != nil {
			break
		}
		if said += string(buf[:n]); !told && strings.Contains(said, e.until) {
			if e.meanwhile != nil {
				s.example(t, *e.meanwhile)
			}
			cmd.Process.Signal(syscall.SIGTERM)
			told = true
		}
	}
	err = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != e.status || !told || !regexp.MustCompile("(?m)"+e.says).MatchString(said) {
		t.Errorf("%s\n%v, want status %d and %q:\n%s", e.line, err, e.status, e.says+e.until, said)
	}
}

// real puts what there is in the place of names that an example has made up.
func (s *site) real(t *testing.T, line string) string {
	t.Helper()
	for madeUp, found := range map[string]func() string{
		"/etc/oktasync/":     func() string { return "" },
		"/var/lib/oktasync/": func() string { return "" },
		"/mnt/backup/":       func() string { return "" },
		"@-7":                func() string { return "@-1" },
		"oktasync sandbox":   func() string { return "exec oktasync sandbox --listen 127.0.0.1:0" },
		"oktasync run":       func() string { return "exec oktasync run" },
		"12:9f86d081884c7d65...": func() string {
			return strings.TrimPrefix(strings.TrimSpace(s.must(t, 0, "status", "--heads").stdout), "all-users=")
		},
		"jane@acme.example":    func() string { return s.user(t).Profile.Login },
		"00u1a2b3c4d5e6f7g8h9": func() string { return s.user(t).ID },
		"2026-03-31":           func() string { return s.started(t, 0).Format(time.RFC3339) },
		"2026-06-30":           func() string { return s.started(t, 1).Format(time.DateOnly) },
		"20261123T060000Z":     func() string { return filepath.Base(s.only(t, "snapshots/.quarantine/all-users/*Z")) },
	} {
		if strings.Contains(line, madeUp) {
			line = strings.ReplaceAll(line, madeUp, found())
		}
	}
	return line
}

// started returns the time that the nth snapshot is named by.
func (s *site) started(t *testing.T, n int) time.Time {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.dir, "snapshots/all-users/2*Z"))
	if err != nil || len(paths) <= n {
		t.Fatalf("snapshots are %v, %v", paths, err)
	}
	at, err := time.Parse("20060102T150405Z", filepath.Base(paths[n]))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// only returns the one path that there is for a pattern.
func (s *site) only(t *testing.T, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.dir, pattern))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%s: %v, %v; want one", pattern, paths, err)
	}
	return paths[0]
}

// user returns somebody who is in the newest snapshot.
func (s *site) user(t *testing.T) (u struct {
	ID      string
	Profile struct{ Login string }
}) {
	t.Helper()
	if err := json.NewDecoder(strings.NewReader(s.must(t, 0, "show", "all-users").stdout)).Decode(&u); err != nil {
		t.Fatal(err)
	}
	return u
}

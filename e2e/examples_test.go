package e2e

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
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

// example is an example in the --help of a command, and its result.
type example struct {
	line      string
	before    func(*testing.T, *site) // runs before it
	fresh     bool                    // runs in a new folder
	until     string                  // of a server: SIGTERM ends it after it has printed this
	meanwhile *example                // runs before SIGTERM
	status    int
	output    string // a regular expression
}

func after(change func(*sandbox.Org)) func(*testing.T, *site) {
	return func(_ *testing.T, s *site) { change(s.org) }
}

// quarantined changes the org, and runs an apply that the guard stops.
func quarantined(change func(*sandbox.Org)) func(*testing.T, *site) {
	return func(t *testing.T, s *site) {
		change(s.org)
		s.must(t, 3, "apply")
	}
}

func leave(n int) func(*sandbox.Org) { return func(o *sandbox.Org) { o.Delete(n) } }

// examples contains the examples of all commands. They run in this order, in an
// org of 120 users.
var examples = []example{
	{line: "oktasync demo", output: "OK. "},
	{line: "oktasync demo --dir ./demo", output: "OK. "},
	{line: "oktasync init --org-url https://acme.okta.com --client-id 0oa1b2c3d4e5f6g7h8i9", fresh: true, output: `"kty": "EC"`},
	{line: "oktasync init --org-url https://acme.okta.com --client-id 0oa1b2c3d4e5f6g7h8i9 --access", fresh: true, output: `"kty": "EC"`},
	{line: "oktasync init --org-url https://acme.okta.com --client-id 0oa1b2c3d4e5f6g7h8i9 --access --admins --factors", fresh: true, output: `"kty": "EC"`},
	{line: "oktasync init --env-file .env", fresh: true, output: "wrote oktasync.yaml"},
	{line: "oktasync init --org-url https://acme.okta.com --change-request > change-request.txt", fresh: true, output: "oktasync.yaml"},
	{line: "oktasync init --new-key new-client-key.pem", fresh: true, output: "^wrote new-client-key.pem "},
	{line: "oktasync sandbox --users 5000 --dir ./sandbox", until: "people at https://127.0.0.1:", meanwhile: &example{
		line: "oktasync plan --config ./sandbox/oktasync.yaml", output: "the first snapshot, of 5000 users"}},
	{line: "oktasync sandbox --fault nth=3,status=500 --fault every=10,reset", until: "people at https://127.0.0.1:"},
	{line: "oktasync completion zsh > ~/.zfunc/_oktasync"},
	{line: "oktasync completion fish > ~/.config/fish/completions/oktasync.fish"},
	{line: "source <(oktasync completion bash)"},
	{line: "oktasync version", output: "^oktasync .*, commit .*, go1"},

	{line: "oktasync validate --config oktasync.yaml", output: "^oktasync.yaml is valid: 1 export"},
	{line: "oktasync validate --public-jwk", output: `"kty": "EC"`},
	{line: "oktasync doctor", output: "^all is well$"},
	{line: "oktasync doctor --json", output: `"id": "allowed_signers"`},
	{line: "oktasync doctor --key new-client-key.pem", before: newClientKey, output: "the app accepts the key in new-client-key.pem"},
	{line: "oktasync plan", before: oldKeyAlone, output: "Plan: the first snapshot, of 120 users"},
	{line: "oktasync apply", output: "published +[0-9TZ]+"},
	{line: "oktasync plan all-users --detailed-exitcode", before: after(leave(3)), status: 2, output: "Plan: 3 deleted"},
	{line: `oktasync apply all-users --publish-anyway --reason "CHG-1042: contractors removed"`, before: after(leave(60)), output: "CHG-1042: contractors removed"},
	{line: "oktasync api '/api/v1/users?limit=1'", output: `^\[{"id":"00u`},
	{line: "oktasync api /api/v1/groups --paginate --slurp", status: 1, output: "403 insufficient_scope"}, // the app has no scope for groups
	{line: "oktasync list", output: "all-users +2 +[0-9TZ]+"},
	{line: "oktasync list all-users --json", output: `"sequence": 1,`},
	{line: "oktasync show all-users", output: `^{"activated":`},
	{line: "oktasync show all-users@-1 --format csv", output: "^login,email,"},
	{line: "oktasync show workforce groups", before: func(t *testing.T, s *site) {
		other := newSite(t, sandbox.Config{}, usersAndGroups...)
		other.configure(t, "    groups: {}\n", "all-users", "workforce")
		other.must(t, 0, "apply")
		check(t, os.Rename(other.path("snapshots"), s.path("groups")))
	}, output: `"name":"Everyone"`},
	{line: "oktasync show all-users --at 2026-06-30 --format json", output: `^\[`},
	{line: `oktasync show all-users --filter 'status eq "ACTIVE" and lastLogin lt now-90d'`},
	{line: `oktasync show all-users --filter 'profile.title co "manager"' --columns profile.login,profile.title`, output: "^profile.login +profile.title\n.*@.* Manager"},
	{line: "oktasync diff all-users", output: "120 users before, 57 after: 63 deleted"},
	{line: "oktasync diff all-users 2026-03-31 2026-06-30 --json", output: `"removed":63`},
	{line: "oktasync diff all-users @-7 --format csv > changes.csv"},
	{line: "oktasync history all-users jane@acme.example", output: "^    present"},
	{line: "oktasync history all-users 00u1a2b3c4d5e6f7g8h9 --json", output: `"sequence": 1,`},
	{line: "oktasync history all-users jane@acme.example --format csv", output: ",present,"},
	{line: "oktasync access workforce --user ada@acme.example", before: recordAccess, output: "^  Logbook +group Pilots +usable"},
	{line: "oktasync access workforce --app Logbook --format csv > logbook.csv"},
	{line: "oktasync access workforce --group Pilots --at 2026-06-30", output: "^  ada@acme.example +Logbook +group Pilots"},
	{line: "oktasync access workforce --app Logbook --from @-7", output: "^none$"},
	{line: "oktasync report workforce --output report.html"},
	{line: "oktasync report workforce --at 2026-06-30 --output report.xlsx"},
	{line: "oktasync report workforce --from @-7 > changes.html"},
	{line: "oktasync report workforce --from @-7 --format csv --section leavers", output: "^login,name,department,manager,event,suspended_at,"},
	{line: "oktasync report workforce --sample dormant:25 --seed 'audit 2026' > sample.html"},
	{line: "oktasync access workforce --role all", output: "^  Super Organization Administrator +ada@acme.example +direct +ALL$"},
	{line: "oktasync access workforce --role SUPER_ADMIN --from @-7", output: "^none$"},
	{line: "oktasync report workforce --review manager --format xlsx --output review.xlsx"},
	{line: "oktasync report workforce --review manager --app Logbook --format csv > review.csv"},
	{line: "oktasync review check review.csv --against workforce@2026-06-30", status: 1, output: "^review.csv:2: undecided: ada@acme.example, Logbook, group, Pilots: has no decision"},
	{line: "oktasync review check sheets/*.csv --against workforce@2026-06-30 --due 2026-07-31", before: recordDecision, output: "^decided by boss@acme.example: 1 keep, 0 revoke"},
	{line: "oktasync review check campaign.csv --against workforce@2026-06-30 --column decision=Outcome", output: "^decided by boss@acme.example: 1 keep, 0 revoke"},
	{line: "oktasync status", output: "all-users"},
	{line: "oktasync status --heads", output: "^all-users=2:"},
	{line: "oktasync status --store /var/lib/oktasync/snapshots", output: "all-users"},
	{line: "oktasync verify", output: "OK. "},
	{line: "oktasync verify --store /mnt/backup/snapshots --allowed-signers allowed_signers", output: "OK. All signatures are from allowed signers."},
	{line: "oktasync verify --store snapshots/all-users/latest", output: "was verified, without the chain and the journal"},
	{line: "oktasync verify all-users --head 12:9f86d081884c7d65...:40:60303ae22b998861...", output: "OK. "},

	{line: "oktasync quarantine list", before: quarantined(leave(40)), output: "all-users .* 40 not_listed"},
	{line: "oktasync quarantine show all-users --format csv", output: "^login,email,"},
	{line: "oktasync quarantine diff all-users", output: "57 users before, 17 after: 40 not_listed"},
	{line: `oktasync quarantine release all-users --reason "CHG-1042: contractors removed"`, output: "all-users: published [0-9TZ]+, sequence 3"},
	{line: `oktasync quarantine drop all-users@20261123T060000Z --reason "the app had lost its role"`, before: quarantined((*sandbox.Org).Wipe), output: "all-users: dropped [0-9TZ]+"},
	{line: `oktasync prune all-users@20261123T060000Z --reason "GDPR-12: erasure request"`, before: quarantined((*sandbox.Org).Wipe), output: "all-users: dropped the quarantined read [0-9TZ]+"},
	{line: `oktasync adopt all-users --reason "INC-77: disk lost, backup of Sunday restored"`, before: func(t *testing.T, s *site) {
		s.org.Restore()
		newest, err := filepath.EvalSymlinks(s.path("snapshots/all-users/latest"))
		check(t, err)
		check(t, os.RemoveAll(newest))
	}, output: "all-users: adopted"},
	{line: "oktasync run --config /etc/oktasync/oktasync.yaml", until: "daemon started"},
}

// recordAccess publishes two snapshots of an org in which Ada has Logbook through Pilots, and
// is an administrator.
func recordAccess(t *testing.T, s *site) {
	check(t, os.RemoveAll(s.path("groups")))
	other := newSite(t, sandbox.Config{}, append(usersAndGroups, "okta.apps.read", "okta.roles.read")...)
	check(t, errors.Join(other.putUser("00uada", `{"login":"ada@acme.example"}`, "ACTIVE"), other.putUser("00uboss", `{"login":"boss@acme.example"}`, "ACTIVE")))
	group, app := other.org.AddGroup("Pilots", ""), other.org.AddApp("Logbook")
	check(t, errors.Join(other.org.AddMember(group, "00uada"), other.org.AssignGroup(app, group, 0)))
	check(t, other.org.Roles().Grant(sandbox.RoleAssignment{PrincipalType: "USER", Principal: "00uada", Type: "SUPER_ADMIN"}))
	other.configure(t, "    users: {}\n    groups: {}\n    group_members: {}\n    apps: {}\n    app_users: {}\n    app_groups: {}\n    role_assignments: {}\n", "all-users", "workforce")
	other.must(t, 0, "apply")
	other.org.SetClockOffset(2 * time.Second)
	other.must(t, 0, "apply")
	check(t, os.Rename(other.path("snapshots"), s.path("groups")))
}

// recordDecision writes files in which the boss decides that Ada keeps Logbook.
func recordDecision(t *testing.T, s *site) {
	rows, err := csv.NewReader(strings.NewReader(read(t, s.path("review.csv")))).ReadAll()
	check(t, err)
	row := make(map[string]string)
	for i, name := range rows[0] {
		switch name {
		case "decision":
			rows[1][i] = "keep"
		case "decided_at":
			rows[1][i] = time.Now().Add(time.Minute).Format(time.RFC3339)
		case "decided_by":
			rows[1][i] = "boss@acme.example"
		}
		row[name] = rows[1][i]
	}
	var sheet bytes.Buffer
	check(t, csv.NewWriter(&sheet).WriteAll(rows))
	check(t, os.Mkdir(s.path("sheets"), 0o700))
	write(t, s.path("sheets/boss.csv"), sheet.String())
	write(t, s.path("campaign.csv"), "User Id;Resource id;Reviewer email;Outcome;Certified\n"+
		strings.Join([]string{row["user_id"], row["app_id"], row["decided_by"], "APPROVE", row["decided_at"]}, ";")+"\n")
}

// newClientKey registers a second key with the app.
func newClientKey(t *testing.T, s *site) {
	key, err := keys.Generate()
	if err == nil {
		err = key.WriteFile(s.path("new-client-key.pem"))
	}
	if err == nil {
		err = s.org.AddKey(clientID, sandbox.PublicKey{KID: key.Thumbprint(), Key: key.Public()})
	}
	check(t, err)
}

// oldKeyAlone removes the second key from the app.
func oldKeyAlone(t *testing.T, s *site) {
	key, err := keys.Load(s.path("new-client-key.pem"))
	if err == nil {
		err = s.org.RemoveKey(clientID, key.Thumbprint())
	}
	check(t, err)
}

// Every example in the --help of a command works. It runs as it is shown, except
// for the names that realExample replaces.
func TestHelpExamples(t *testing.T) {
	needs(t, "ssh-keygen")
	s := newSite(t, sandbox.Config{Users: 120, Seed: 71})
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
			t.Errorf("no --help shows this example; remove it from examples_test.go\n%s", line)
		}
	}
	for _, line := range shown {
		if !slices.Contains(run, line) {
			t.Errorf("no test runs this example; add it to examples_test.go\n%s", line)
		}
	}
	for _, dir := range []string{".zfunc", ".config/fish/completions"} {
		check(t, os.MkdirAll(s.path(dir), 0o755))
	}
	s.example(t, example{line: "ssh-keygen -q -t ed25519 -N '' -f signing-key && echo \"ops $(cat signing-key.pub)\" > allowed_signers"})
	s.configure(t, "", "store:", "store:\n  signing_key_file: signing-key")
	for _, e := range examples {
		if e.before != nil {
			e.before(t, s)
		}
		s.example(t, e)
	}
	s.noViolations(t)
}

// examplesOf returns the examples of a command and its subcommands.
func (s *site) examplesOf(t *testing.T, path ...string) (lines []string) {
	t.Helper()
	section := ""
	var subcommands []string
	for line := range strings.Lines(s.must(t, 0, append(path, "--help")...).stdout) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line != "" && !strings.HasPrefix(line, " "):
			section = line
		case section == "Examples:" && line != "":
			lines = append(lines, strings.TrimSpace(line))
		case section == "Available Commands:" && line != "":
			if name := strings.Fields(line)[0]; name != "help" {
				subcommands = append(subcommands, name)
			}
		}
	}
	if len(subcommands) == 0 && len(lines) == 0 {
		t.Errorf("oktasync %s --help has no example", strings.Join(path, " "))
	}
	for _, name := range subcommands {
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
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", s.realExample(t, e.line))
	cmd.Dir = s.dir
	if e.fresh {
		cmd.Dir = t.TempDir()
		write(t, filepath.Join(cmd.Dir, ".env"), "OKTA_ORG_URL="+s.server.URL+"\nOKTA_CLIENT_ID="+clientID+
			"\nOKTA_CC_PRIVATE_KEY_FILE="+s.path("client-key.pem")+"\n")
	}
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+s.dir, "TMPDIR="+s.dir)
	out, err := cmd.StdoutPipe()
	check(t, err)
	cmd.Stderr = cmd.Stdout
	check(t, cmd.Start())
	output, stopped := "", e.until == ""
	for buf := make([]byte, 32<<10); ; {
		n, err := out.Read(buf)
		if err != nil {
			break
		}
		if output += string(buf[:n]); !stopped && strings.Contains(output, e.until) {
			if e.meanwhile != nil {
				s.example(t, *e.meanwhile)
			}
			cmd.Process.Signal(syscall.SIGTERM)
			stopped = true
		}
	}
	err = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != e.status || !stopped || !regexp.MustCompile("(?m)"+e.output).MatchString(output) {
		t.Errorf("%s\n%v, want status %d and %q:\n%s", e.line, err, e.status, e.output+e.until, output)
	}
}

// realExample replaces the names in an example by those of the site.
func (s *site) realExample(t *testing.T, line string) string {
	t.Helper()
	for example, real := range map[string]func() string{
		"/etc/oktasync/":     func() string { return "" },
		"/var/lib/oktasync/": func() string { return "" },
		"/mnt/backup/":       func() string { return "" },
		"workforce groups":   func() string { return "workforce groups --store groups" },
		"access workforce":   func() string { return "access workforce --store groups" },
		"report workforce":   func() string { return "report workforce --store groups" },
		"review check":       func() string { return "review check --store groups --no-record" },
		"@-7":                func() string { return "@-1" },
		"oktasync sandbox":   func() string { return "exec oktasync sandbox --listen 127.0.0.1:0" },
		"oktasync run":       func() string { return "exec oktasync run" },
		"12:9f86d081884c7d65...:40:60303ae22b998861...": func() string {
			return strings.TrimPrefix(strings.TrimSpace(s.must(t, 0, "status", "--heads").stdout), "all-users=")
		},
		"jane@acme.example":    func() string { return s.user(t).Profile.Login },
		"00u1a2b3c4d5e6f7g8h9": func() string { return s.user(t).ID },
		"2026-07-31":           func() string { return time.Now().AddDate(0, 0, 2).Format(time.DateOnly) },
		"2026-03-31":           func() string { return s.started(t, 0).Format(time.RFC3339) },
		"2026-06-30":           func() string { return s.started(t, 1).Format(time.DateOnly) },
		"20261123T060000Z":     func() string { return filepath.Base(s.only(t, "snapshots/.quarantine/all-users/*Z")) },
	} {
		if strings.Contains(line, example) {
			line = strings.ReplaceAll(line, example, real())
		}
	}
	return line
}

// started returns the time in the name of the nth snapshot.
func (s *site) started(t *testing.T, n int) time.Time {
	t.Helper()
	paths, err := filepath.Glob(s.path("snapshots/all-users/2*Z"))
	if err != nil || len(paths) <= n {
		t.Fatalf("snapshots = %v, %v", paths, err)
	}
	at, err := time.Parse("20060102T150405Z", filepath.Base(paths[n]))
	check(t, err)
	return at
}

// only returns the only path that matches a pattern.
func (s *site) only(t *testing.T, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(s.path(pattern))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%s: %v, %v; want one", pattern, paths, err)
	}
	return paths[0]
}

// user returns the first user of the newest snapshot.
func (s *site) user(t *testing.T) (u struct {
	ID      string
	Profile struct{ Login string }
}) {
	t.Helper()
	check(t, json.NewDecoder(strings.NewReader(s.must(t, 0, "show", "all-users").stdout)).Decode(&u))
	return u
}

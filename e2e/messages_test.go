package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth/keys"
	"oktasync/oktaclient/sandbox"
)

const messagesFile = "testdata/messages.txt"

// TestMessages compares errors with testdata/messages.txt, word for word. A case
// consists of its name, the initial content of the folder, a misconfiguration of
// the org, a shell command, its output, and its exit status in brackets:
//
//	# unknown command
//	with: nothing, config or store
//	long, if it takes seconds
//	org: fault=forever,status=403 role=none scopes=okta.groups.read dpop=off ahead=1h
//	$ oktasync aply
//	oktasync: error: unknown command aply; did you mean apply?
//	[1]
//
// Examples replace the names of snapshots, digests, times and the org's URL.
func TestMessages(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("its commands are GNU commands")
	}
	needs(t, "bash", "openssl")
	cases := readMessages(t, read(t, messagesFile))
	m := newMessageSite(t)
	t.Run("cases", func(t *testing.T) {
		for i := range cases {
			t.Run(strings.ReplaceAll(cases[i].name, " ", "_"), func(t *testing.T) {
				if cases[i].long && !all() && !*update {
					t.Skip("takes seconds")
				}
				t.Parallel()
				got := m.runCase(t, cases[i])
				if want := cases[i].want; got != want && !*update {
					t.Errorf("$ %s\n%swant\n%s", cases[i].command, got, want)
				}
				cases[i].want = got
			})
		}
	})
	if *update {
		var out strings.Builder
		for _, c := range cases {
			out.WriteString(c.head + c.want + "\n")
		}
		check(t, os.WriteFile(messagesFile, []byte(strings.TrimSuffix(out.String(), "\n")), 0o644))
	}
	checkWords(t, cases)
}

// checkWords checks that each output contains an error or a note, and no internals
// or secrets.
func checkWords(t *testing.T, cases []messageCase) {
	t.Helper()
	never := regexp.MustCompile(`%!|\*[a-z]+\.[A-Za-z]|goroutine |0x[0-9a-f]{6}|\bmap\[|\bstruct\b|&\{|<nil>|\bEOF\b|PRIVATE KEY|eyJ|hunter2`)
	for _, c := range cases {
		if found := never.FindString(c.want); found != "" {
			t.Errorf("%s: the output contains %q:\n%s", c.name, found, c.want)
		}
		if !strings.Contains(c.want, "oktasync: error: ") && !strings.Contains(c.want, "oktasync: note: ") && !strings.Contains(c.want, "problem") {
			t.Errorf("%s: the output has no error:\n%s", c.name, c.want)
		}
	}
}

// messageCase is a case of messages.txt.
type messageCase struct {
	name, head    string // head is the text up to the command
	with, org     string
	long          bool // takes seconds; runs with OKTASYNC_ALL_TESTS=1
	command, want string
}

func readMessages(t *testing.T, text string) (list []messageCase) {
	t.Helper()
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n# ") {
		c := messageCase{with: "nothing"}
		lines := strings.Split("# "+strings.TrimPrefix(part, "# "), "\n")
		for i, line := range lines {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				c.command = command
				c.head = strings.Join(lines[:i+1], "\n") + "\n"
				c.want = strings.Join(lines[i+1:], "\n") + "\n"
				break
			}
			if rest, ok := strings.CutPrefix(line, "# "); ok {
				c.name = rest
			} else if rest, ok := strings.CutPrefix(line, "with: "); ok {
				c.with = rest
			} else if rest, ok := strings.CutPrefix(line, "org: "); ok {
				c.org = rest
			} else if line == "long" {
				c.long = true
			} else {
				t.Fatalf("%s: invalid line %q", messagesFile, line)
			}
		}
		if c.command == "" {
			t.Fatalf("%s: a case without a command: %q", messagesFile, part)
		}
		list = append(list, c)
	}
	return list
}

// messageSite is the initial org and store of all cases.
type messageSite struct {
	*site
	names []string // of two snapshots and a quarantined read
}

func newMessageSite(t *testing.T) *messageSite {
	t.Helper()
	m := &messageSite{site: newSite(t, sandbox.Config{Seed: 1, Users: 60})}
	m.org.SetClockOffset(-5 * time.Second) // the names of reads differ by seconds
	m.must(t, 0, "apply")
	m.org.SetClockOffset(-4 * time.Second)
	m.org.Move(1)
	m.must(t, 0, "apply")
	m.org.SetClockOffset(-3 * time.Second)
	m.org.Wipe()
	m.must(t, 3, "apply")
	m.org.Restore()
	m.org.SetClockOffset(time.Second)
	for _, pattern := range []string{"snapshots/all-users/2*", "snapshots/.quarantine/all-users/2*"} {
		found, err := filepath.Glob(m.path(pattern))
		check(t, err)
		for _, path := range found {
			m.names = append(m.names, filepath.Base(path))
		}
	}
	if len(m.names) != 3 {
		t.Fatalf("the store contains %q", m.names)
	}
	return m
}

// exampleNames replace the names of the store in messages.txt.
var exampleNames = []string{"20261123T060000Z", "20261124T060000Z", "20261125T060000Z"}

// runCase runs a case in a new folder, and returns its output and status.
func (m *messageSite) runCase(t *testing.T, c messageCase) string {
	t.Helper()
	dir := t.TempDir()
	org := m.site
	if c.org != "" {
		org = m.brokenOrg(t, c)
	}
	if c.with != "nothing" {
		copied := []string{"ca.pem", "client-key.pem"}
		if c.with == "store" {
			copied = append(copied, "snapshots")
		}
		for _, name := range copied {
			if out, err := exec.Command("cp", "-a", m.path(name), dir).CombinedOutput(); err != nil {
				t.Fatalf("cp: %v\n%s", err, out)
			}
		}
		if org != m.site {
			write(t, filepath.Join(dir, "ca.pem"), string(org.server.CAPEM()))
		}
		write(t, filepath.Join(dir, "oktasync.yaml"), org.config(""))
	}
	command := c.command
	for i, name := range exampleNames {
		command = strings.ReplaceAll(command, name, m.names[i])
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program())+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"ORG="+org.server.URL, "HTTPS_PROXY=", "https_proxy=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%s: %v\n%s", command, err, out.String())
	}
	return m.masked(out.String(), dir, org) + fmt.Sprintf("[%d]\n", cmd.ProcessState.ExitCode())
}

// brokenOrg serves the misconfigured org of a case.
func (m *messageSite) brokenOrg(t *testing.T, c messageCase) *site {
	t.Helper()
	cfg := sandbox.Config{Seed: 1, Users: 60, RateLimit: sandbox.Limits(100_000)}
	key, err := keys.Load(m.path("client-key.pem"))
	check(t, err)
	app := sandbox.ClientApp{ID: clientID, RequireDPoP: true, Scopes: []string{"okta.users.read"}, Keys: []sandbox.PublicKey{{Key: key.Public()}}}
	var faults []sandbox.Fault
	for word := range strings.FieldsSeq(c.org) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "fault":
			f, err := sandbox.ParseFault(value)
			check(t, err)
			faults = append(faults, f)
		case "role":
			app.Role = value
		case "scopes":
			app.Scopes = strings.Split(value, ",")
		case "dpop":
			app.RequireDPoP = value != "off"
		case "client":
			app.ID = value
		case "key":
			app.Keys = nil
		case "ahead":
			cfg.ClockOffset, err = time.ParseDuration(value)
			check(t, err)
		default:
			t.Fatalf("org: unknown word %s", word)
		}
	}
	cfg.Clients = []sandbox.ClientApp{app}
	s := &site{org: sandbox.NewOrg(cfg)}
	s.server, err = sandbox.NewServer(s.org, "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { s.server.Close() })
	for _, f := range faults {
		s.org.Inject(f)
	}
	return s
}

// masked replaces the values of this run by examples.
func (m *messageSite) masked(text, dir string, org *site) string {
	for i, name := range exampleNames {
		text = strings.ReplaceAll(text, m.names[i][1:15], name[1:15]) // also after a case has changed it
	}
	name := "nobody"
	if me, err := user.Current(); err == nil {
		name = me.Username
	}
	host, _ := os.Hostname()
	text = strings.NewReplacer(
		dir+"/", "", dir, ".",
		org.server.URL, "https://acme.okta.com",
		strings.TrimPrefix(org.server.URL, "https://"), "acme.okta.com:443",
		name+" on "+host, "oktasync on idp-1",
	).Replace(text)
	for _, mask := range [][2]string{
		{`request [A-Za-z0-9]{20,}`, "request aZ3k"},
		{`"errorId":"\w+"`, `"errorId":"oaeZ3k"`},
		{`\b[0-9a-f]{64}\b`, "9f86d081"},
		{`(thumbprint|kid) [A-Za-z0-9_-]{43}`, "$1 KeTQnvbT"},
		{`https://127\.0\.0\.1:[0-9]+`, "https://other.okta.com"},
		{`process [0-9]+`, "process 4711"},
		{`[0-9]+ bytes read`, "65536 bytes read"},
	} {
		text = regexp.MustCompile(mask[0]).ReplaceAllString(text, mask[1])
	}
	for layout, example := range map[string]string{"20060102T150405Z": "20261126T060000Z", time.RFC3339: "2026-11-26T06:00:00Z"} {
		text = regexp.MustCompile(`[0-9]{4}-?[0-9]{2}-?[0-9]{2}T[0-9:]{6,8}Z`).ReplaceAllStringFunc(text, func(found string) string {
			if at, err := time.Parse(layout, found); err == nil && time.Since(at).Abs() < 24*time.Hour && !slices.Contains(exampleNames, found) {
				return example // a time of this run
			}
			return found
		})
	}
	return text
}

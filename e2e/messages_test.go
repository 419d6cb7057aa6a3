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

// testdata/messages.txt holds word for word what people are told when something
// is wrong. A case is a comment, what the folder holds to begin with, what is
// wrong with the org, a shell command, and all that it prints, with its exit
// status in brackets:
//
//	# an unknown command
//	with: nothing, config or store
//	long, where it takes seconds
//	org: fault=forever,status=403 role=none scopes=okta.groups.read dpop=off ahead=1h
//	$ oktasync aply
//	oktasync: error: unknown command aply; did you mean apply?
//	[1]
//
// Names, digests, times and the org's address are those of an example.
func TestMessages(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("its commands are those of GNU")
	}
	needs(t, "bash")
	needs(t, "openssl")
	text, err := os.ReadFile(messagesFile)
	if err != nil {
		t.Fatal(err)
	}
	cases := readMistakes(t, string(text))
	b := newMistakeBench(t)
	t.Run("cases", func(t *testing.T) {
		for i := range cases {
			t.Run(strings.ReplaceAll(cases[i].name, " ", "_"), func(t *testing.T) {
				if cases[i].long && !long() && !*update {
					t.Skip("takes seconds")
				}
				t.Parallel()
				got := b.run(t, cases[i])
				if want := cases[i].want; got != want && !*update {
					t.Errorf("$ %s\nprints\n%swant\n%s", cases[i].command, got, want)
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
		if err := os.WriteFile(messagesFile, []byte(strings.TrimSuffix(out.String(), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	checkWords(t, cases)
}

// What no message may show, and what each has to have.
func checkWords(t *testing.T, cases []mistake) {
	t.Helper()
	never := regexp.MustCompile(`%!|\*[a-z]+\.[A-Za-z]|goroutine |0x[0-9a-f]{6}|\bmap\[|\bstruct\b|&\{|<nil>|\bEOF\b|PRIVATE KEY|eyJ|hunter2`)
	for _, c := range cases {
		if found := never.FindString(c.want); found != "" {
			t.Errorf("%s: a message shows %q:\n%s", c.name, found, c.want)
		}
		if !strings.Contains(c.want, "oktasync: error: ") && !strings.Contains(c.want, "oktasync: note: ") && !strings.Contains(c.want, "problem") {
			t.Errorf("%s: nothing is said to be wrong:\n%s", c.name, c.want)
		}
	}
}

// mistake is a case of messages.txt.
type mistake struct {
	name, head    string // head is all of it up to the command
	with, org     string
	long          bool // it takes seconds, so that only the long form runs it
	command, want string
}

func readMistakes(t *testing.T, text string) (list []mistake) {
	t.Helper()
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n# ") {
		c := mistake{with: "nothing"}
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
				t.Fatalf("%s: a line that is none of a case: %q", messagesFile, line)
			}
		}
		if c.command == "" {
			t.Fatalf("%s: a case without a command: %q", messagesFile, part)
		}
		list = append(list, c)
	}
	return list
}

// mistakeBench is an org and a store that the cases begin with.
type mistakeBench struct {
	site  *site
	names []string // of the store's two snapshots and its reading in quarantine
}

func newMistakeBench(t *testing.T) *mistakeBench {
	t.Helper()
	b := &mistakeBench{site: newTestSite(t, sandbox.Config{Seed: 1, Users: 60})}
	b.site.org.SetClockOffset(-2 * time.Second) // each reading has a second of its own
	b.site.must(t, 0, "apply")
	b.site.org.SetClockOffset(-time.Second)
	b.site.org.Move(1)
	b.site.must(t, 0, "apply")
	b.site.org.SetClockOffset(0)
	b.site.org.Wipe()
	b.site.must(t, 3, "apply")
	b.site.org.Restore()
	b.site.org.SetClockOffset(time.Second)
	for _, pattern := range []string{"snapshots/all-users/2*", "snapshots/.quarantine/all-users/2*"} {
		found, err := filepath.Glob(filepath.Join(b.site.dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			b.names = append(b.names, filepath.Base(path))
		}
	}
	if len(b.names) != 3 {
		t.Fatalf("the store has %q", b.names)
	}
	return b
}

// exampleNames stand in messages.txt for those of the store.
var exampleNames = []string{"20261123T060000Z", "20261124T060000Z", "20261125T060000Z"}

// run runs a case in a folder of its own, and returns what it prints and its
// status.
func (b *mistakeBench) run(t *testing.T, c mistake) string {
	t.Helper()
	dir := t.TempDir()
	org := b.site
	if c.org != "" {
		org = b.brokenOrg(t, c)
	}
	if c.with != "nothing" {
		copied := []string{"ca.pem", "client-key.pem"}
		if c.with == "store" {
			copied = append(copied, "snapshots")
		}
		for _, name := range copied {
			if out, err := exec.Command("cp", "-a", filepath.Join(b.site.dir, name), dir).CombinedOutput(); err != nil {
				t.Fatalf("cp: %v\n%s", err, out)
			}
		}
		if org != b.site {
			write(t, filepath.Join(dir, "ca.pem"), org.server.CAPEM())
		}
		write(t, filepath.Join(dir, "oktasync.yaml"), []byte(org.config("")))
	}
	command := c.command
	for i, name := range exampleNames {
		command = strings.ReplaceAll(command, name, b.names[i])
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
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
	return b.masked(out.String(), dir, org) + fmt.Sprintf("[%d]\n", cmd.ProcessState.ExitCode())
}

// brokenOrg is an org with something wrong.
func (b *mistakeBench) brokenOrg(t *testing.T, c mistake) *site {
	t.Helper()
	cfg := sandbox.Config{Seed: 1, Users: 60, RateLimit: sandbox.Limits(100_000)}
	key, err := os.ReadFile(filepath.Join(b.site.dir, "client-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	app := sandbox.ClientApp{ID: clientID, RequireDPoP: true, Scopes: []string{"okta.users.read"}, Keys: publicKeys(t, key)}
	var faults []sandbox.Fault
	for word := range strings.FieldsSeq(c.org) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "fault":
			f, err := sandbox.ParseFault(value)
			if err != nil {
				t.Fatal(err)
			}
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
			if cfg.ClockOffset, err = time.ParseDuration(value); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("org: unknown word %s", word)
		}
	}
	cfg.Clients = []sandbox.ClientApp{app}
	s := &site{org: sandbox.NewOrg(cfg)}
	if s.server, err = sandbox.NewServer(s.org, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.server.Close() })
	for _, f := range faults {
		s.org.Inject(f)
	}
	return s
}

// masked is text with the names of an example for those of this run.
func (b *mistakeBench) masked(text, dir string, org *site) string {
	for i, name := range exampleNames {
		text = strings.ReplaceAll(text, b.names[i][1:15], name[1:15]) // also where a case has bent it
	}
	who := "nobody"
	if me, err := user.Current(); err == nil {
		who = me.Username
	}
	host, _ := os.Hostname()
	text = strings.NewReplacer(
		dir+"/", "", dir, ".",
		org.server.URL, "https://acme.okta.com",
		strings.TrimPrefix(org.server.URL, "https://"), "acme.okta.com:443",
		who+" on "+host, "oktasync on idp-1",
	).Replace(text)
	for _, m := range [][2]string{
		{`request [A-Za-z0-9]{20,}`, "request aZ3k"},
		{`\b[0-9a-f]{64}\b`, "9f86d081"},
		{`(thumbprint|kid) [A-Za-z0-9_-]{43}`, "$1 KeTQnvbT"},
		{`https://127\.0\.0\.1:[0-9]+`, "https://other.okta.com"},
		{`process [0-9]+`, "process 4711"},
		{`[0-9]+ bytes read`, "65536 bytes read"},
	} {
		text = regexp.MustCompile(m[0]).ReplaceAllString(text, m[1])
	}
	for layout, example := range map[string]string{"20060102T150405Z": "20261126T060000Z", time.RFC3339: "2026-11-26T06:00:00Z"} {
		text = regexp.MustCompile(`[0-9]{4}-?[0-9]{2}-?[0-9]{2}T[0-9:]{6,8}Z`).ReplaceAllStringFunc(text, func(found string) string {
			if at, err := time.Parse(layout, found); err == nil && time.Since(at).Abs() < 24*time.Hour && !slices.Contains(exampleNames, found) {
				return example // of now, and no text of ours
			}
			return found
		})
	}
	return text
}

// publicKeys are what is registered for a private key.
func publicKeys(t *testing.T, private []byte) []sandbox.PublicKey {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	write(t, path, private)
	key, err := keys.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return []sandbox.PublicKey{{Key: key.Public()}}
}

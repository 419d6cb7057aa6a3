package e2e

import (
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth/keys"
	"oktasync/oktaclient/sandbox"
)

// fences contains the check of a fenced block, by the word after its fence. Other
// words are errors.
var fences = map[string]func(*page, block){
	"console": (*page).run,        // runs the lines that begin with "$ "; the lines below are their output
	"sh":      (*page).checkShell, // for other machines: checks the syntax, and the flags of oktasync
	"yaml":    (*page).checkYAML,  // a part of a configuration: is valid after the rest is added
	"go":      (*page).ignore,     // libraries_test.go
	"json":    (*page).ignore,
	"ini":     (*page).ignore,
	"text":    (*page).ignore,
}

var update = flag.Bool("update", false, "rewrite the outputs on pages and the golden files")

// TestDocs checks the blocks of each page. It begins with an empty folder and a
// new sandbox org, which the pages call https://acme.okta.com. The output below a
// command must match: names of snapshots, digests, fingerprints and times match
// any of their kind (docs_match_test.go), … matches any text in a line, and a line
// with only … matches any lines.
func TestDocs(t *testing.T) {
	for _, file := range markdown(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			p := &page{T: t, bound: map[string]string{}, lines: strings.Split(read(t, file), "\n")}
			for _, b := range blocks(p.lines) {
				checkBlock := fences[b.info]
				if b.directive != "" {
					checkBlock = (*page).do
				}
				if checkBlock == nil {
					t.Errorf("line %d: unknown kind of block %q", b.line, b.info)
					continue
				}
				checkBlock(p, b)
			}
			p.end()
			if *update && p.added != nil {
				check(t, os.WriteFile(file, []byte(p.updated()), 0o644))
			}
		})
	}
}

// markdown returns the paths of all pages in the repository.
func markdown(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != ".." && (strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata" || e.Name() == "dist"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			files = append(files, path)
		}
		return nil
	})
	if err != nil || len(files) < 15 {
		t.Fatalf("found %q, %v", files, err)
	}
	return files
}

// The relative links of all pages lead to files.
func TestDocsLinks(t *testing.T) {
	for _, file := range markdown(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`).FindAllStringSubmatch(read(t, file), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s has a link to %s, which doesn't exist", file, m[1])
			}
		}
	}
}

// block is a fenced block of a page, or a comment with a directive.
type block struct {
	line      int // of the page, from 1
	indent    string
	info      string // the word after the fence
	lines     []string
	directive string // of a comment <!-- test: … -->
}

var (
	fence     = regexp.MustCompile("^( *)```(.*)$")
	directive = regexp.MustCompile(`^ *<!-- test: (.*) -->$`)
)

// blocks returns the blocks of a page.
func blocks(lines []string) (list []block) {
	var open *block
	for i, line := range lines {
		switch m := fence.FindStringSubmatch(line); {
		case open == nil && m != nil:
			open = &block{line: i + 1, indent: m[1], info: m[2]}
		case m != nil:
			list = append(list, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, strings.TrimPrefix(line, open.indent))
		default:
			if d := directive.FindStringSubmatch(line); d != nil {
				list = append(list, block{line: i + 1, directive: d[1]})
			}
		}
	}
	return list
}

// page is a page that is being checked.
type page struct {
	*testing.T
	site  *site // nil before the first command
	shell *shell
	ahead time.Duration     // offset of Okta's clock
	bound map[string]string // real values, by their examples on the page
	lines []string
	added map[int][]string // with -update: the output to insert before this line
	gone  map[int]bool     // with -update: lines to remove
}

func (p *page) ignore(block) {}

const (
	pageOrg    = "https://acme.okta.com"
	pageClient = "0oa1b2c3d4e5f6g7h8i9"
)

// start creates the folder, the org and the shell of the page. The folder is empty;
// directives write files to it.
func (p *page) start() {
	if p.site != nil {
		return
	}
	needs(p, "bash")
	p.ahead = -time.Second // the first `later` sets it to the right time
	org := sandbox.NewOrg(sandbox.Config{Seed: 1, Users: 300, ClockOffset: p.ahead, RateLimit: sandbox.Limits(100_000)})
	server, err := sandbox.NewServer(org, "127.0.0.1:0")
	check(p, err)
	p.Cleanup(func() { server.Close() })
	p.site = &site{org: org, server: server, dir: p.TempDir()}
	ca := filepath.Join(p.TempDir(), "ca.pem")
	check(p, server.WriteCA(ca))
	repo, err := filepath.Abs("..")
	check(p, err)
	p.shell = newShell(p.T, p.site.dir, "SSL_CERT_FILE="+ca, "REPO="+repo,
		"PATH="+filepath.Dir(program())+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// do runs a directive: a step of the reader outside the shell, or an earlier one.
func (p *page) do(b block) {
	p.start()
	words := strings.Fields(b.directive)
	switch words[0] {
	case "register": // registers a public key with the app, and grants further scopes
		key, err := keys.Load(filepath.Join(p.site.dir, words[1]))
		if err != nil {
			p.Fatalf("line %d: %v", b.line, err)
		}
		p.site.org.Register(sandbox.ClientApp{
			ID: pageClient, RequireDPoP: true, Scopes: append([]string{"okta.users.read"}, words[2:]...), Permissions: []string{"okta.iam.read", "okta.users.apitokens.read"},
			Keys: []sandbox.PublicKey{{Key: key.Public(), KID: key.Thumbprint()}},
		})
	case "add-key", "remove-key": // adds a key to the app, or removes it
		key, err := keys.Load(filepath.Join(p.site.dir, words[1]))
		if err == nil && words[0] == "add-key" {
			err = p.site.org.AddKey(pageClient, sandbox.PublicKey{Key: key.Public(), KID: key.Thumbprint()})
		} else if err == nil {
			err = p.site.org.RemoveKey(pageClient, key.Thumbprint())
		}
		if err != nil {
			p.Fatalf("line %d: %v", b.line, err)
		}
	case "setup": // the files of an earlier page: setup, or setup with flags of init
		p.sh(b.line, "oktasync init --org-url "+pageOrg+" --client-id "+pageClient+strings.TrimPrefix(b.directive, "setup"))
		scopes := ""
		if len(words) > 1 {
			scopes = " okta.groups.read okta.apps.read okta.roles.read okta.apiTokens.read"
		}
		p.do(block{line: b.line, directive: "register client-key.pem" + scopes})
	case "env": // the file of Okta's walkthrough
		p.sh(b.line, "oktasync init --config made.yaml && rm made.yaml && cat > .env <<EOF\nOKTA_ORG_URL="+pageOrg+
			"\nOKTA_CLIENT_ID="+pageClient+"\nOKTA_SCOPES=okta.users.read\nOKTA_CC_PRIVATE_KEY_FILE=client-key.pem\nEOF")
		p.do(block{line: b.line, directive: "register client-key.pem"})
	case "later": // moves Okta's clock, so that the next read has another name
		p.ahead += time.Second
		p.site.org.SetClockOffset(p.ahead)
	case "user": // user suspend ada@acme.example
		check(p, p.site.org.Change(sandbox.Op(words[1]), p.site.idOf(words[2])))
	case "people":
		for _, change := range strings.Split(strings.TrimPrefix(b.directive, "people "), ", ") {
			word, n, _ := strings.Cut(change, " ")
			if err := changePeople(p.site.org, word, n); err != nil {
				p.Fatalf("line %d: %v", b.line, err)
			}
		}
	case "grant", "revoke": // an admin role of a user or group: grant SUPER_ADMIN ada@acme.example
		role := sandbox.RoleAssignment{PrincipalType: "USER", Principal: p.site.idOf(strings.Join(words[2:], " ")), Type: words[1]}
		if strings.HasPrefix(role.Principal, "00g") {
			role.PrincipalType = "GROUP"
		}
		change := p.site.org.Roles().Grant
		if words[0] == "revoke" {
			change = p.site.org.Roles().Revoke
		}
		if err := change(role); err != nil {
			p.Fatalf("line %d: %v", b.line, err)
		}
	case "clean": // begins with an empty folder again
		p.end()
		p.site, p.bound = nil, map[string]string{}
		p.start()
	case "sh":
		p.sh(b.line, strings.TrimPrefix(b.directive, "sh "))
	default:
		p.Errorf("line %d: unknown test directive %q", b.line, b.directive)
	}
}

// sh runs a command that isn't on the page.
func (p *page) sh(line int, command string) {
	if out, status := p.shell.run(p.real(command)); status != 0 {
		p.Fatalf("line %d: %s: status %d\n%s", line, command, status, out)
	}
}

// real replaces the examples in a text by the real values.
func (p *page) real(text string) string {
	for shown, real := range p.bound {
		text = strings.ReplaceAll(text, shown, real)
	}
	return strings.ReplaceAll(text, pageOrg, p.site.server.URL)
}

func (p *page) run(b block) {
	p.start()
	for i := 0; i < len(b.lines); {
		command, ok := strings.CutPrefix(b.lines[i], "$ ")
		if !ok {
			p.Fatalf("line %d: a console block must begin with a command: %q", b.line, b.lines[i])
		}
		at := b.line + 1 + i
		for i++; i < len(b.lines) && strings.HasPrefix(b.lines[i], "> "); i++ {
			command += "\n" + b.lines[i][2:]
		}
		for _, tool := range []string{"zstd", "sha256sum", "ssh-keygen", "python3", "jq"} {
			if regexp.MustCompile(`\b` + tool + `\b`).MatchString(command) {
				needs(p, tool)
			}
		}
		first := i
		for i < len(b.lines) && !strings.HasPrefix(b.lines[i], "$ ") {
			i++
		}
		out, status := p.shell.run(p.real(command))
		out = strings.ReplaceAll(out, p.site.server.URL, pageOrg)
		if status != 0 && (i == len(b.lines) || b.lines[i] != "$ echo $?") {
			p.Fatalf("line %d: %s: status %d, which the page doesn't show\n%s", at, command, status, out)
		}
		if err := p.match(b.lines[first:i], strings.Split(strings.TrimSuffix(out, "\n"), "\n")); err != "" {
			if !*update {
				p.Fatalf("line %d: %s: %s; it prints\n%s", at, command, err, out)
			}
			p.replace(b, first, i, out)
		}
	}
}

// replace records that out replaces the lines of b from first to end.
func (p *page) replace(b block, first, end int, out string) {
	if p.added == nil {
		p.added, p.gone = map[int][]string{}, map[int]bool{}
	}
	for shown, real := range p.bound {
		out = strings.ReplaceAll(out, real, shown)
	}
	out = regexp.MustCompile(`(?m)^( +run by +).*`).ReplaceAllString(out, "${1}oktasync on idp-1")
	for line := range strings.Lines(out) {
		p.added[b.line+first] = append(p.added[b.line+first], strings.TrimRight(b.indent+line, " \n"))
	}
	for i := first; i < end; i++ {
		p.gone[b.line+i] = true
	}
}

// updated is the page with all that was noted.
func (p *page) updated() string {
	var lines []string
	for i, line := range p.lines {
		lines = append(lines, p.added[i]...)
		if !p.gone[i] {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// checkShell reads what it can't run here.
func (p *page) checkShell(b block) {
	text := strings.Join(b.lines, "\n")
	if out, err := exec.Command("bash", "-n", "-c", text).CombinedOutput(); err != nil {
		p.Errorf("line %d: %v\n%s", b.line, err, out)
	}
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, m := range regexp.MustCompile(`(?m)(?:^|[(|;&] *|sudo )(?:oktasync|oktasync-as-service) ([^|>#&;)\n]*)`).FindAllStringSubmatch(text, -1) {
		cmd := exec.Command("bash", "-c", `"$0" `+m[1]+` --help`, program())
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Usage:") {
			p.Errorf("line %d: oktasync %s: %s", b.line, m[1], out)
		}
	}
}

// checkYAML validates a part of a configuration of oktasync.
func (p *page) checkYAML(b block) {
	text := strings.Join(b.lines, "\n") + "\n"
	section := regexp.MustCompile(`(?m)^(okta|store|exports|daemon|log):`)
	if !section.MatchString(text) {
		return
	}
	for key, rest := range map[string]string{
		"okta":    "okta: {org_url: https://acme.okta.com, client_id: 0oa1, private_key_file: client-key.pem}\n",
		"exports": "exports: [{name: all-users}]\n",
	} {
		if !strings.Contains("\n"+text, "\n"+key+":") {
			text += rest
		}
	}
	dir := p.TempDir()
	key, err := keys.Generate()
	for _, name := range []string{"client-key", "client-key.pem"} {
		if err == nil {
			err = key.WriteFile(filepath.Join(dir, name))
		}
	}
	text = strings.ReplaceAll(text, "/etc/oktasync/", dir+"/")
	for name, data := range map[string]string{"hook.url": "https://hooks.acme.example/T0", "oktasync.yaml": text} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600)
		}
	}
	check(p, err)
	(&site{dir: dir}).webCertificate(p.T)
	write(p.T, filepath.Join(dir, "web.yaml"), webTLS+webUsers)
	cmd := exec.Command(program(), "validate", "--config", filepath.Join(dir, "oktasync.yaml"))
	cmd.Env = slices.Concat(os.Environ(), []string{"CREDENTIALS_DIRECTORY=" + dir, "OKTA_CLIENT_ID=0oa1"})
	if out, err := cmd.CombinedOutput(); err != nil {
		p.Errorf("line %d: %s", b.line, out)
	}
}

// end closes the shell, and checks the requests that the org received.
func (p *page) end() {
	if p.site != nil {
		p.shell.close()
		p.site.noViolations(p)
	}
}

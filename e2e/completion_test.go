package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// newCompletionSite returns a site with two snapshots of all-users, the newest
// first, and a quarantined read. The section okta of its configuration can't be
// used.
func newCompletionSite(t *testing.T) (s *site, snapshots []string, quarantined string) {
	s = newSite(t, sandbox.Config{Users: 60, Seed: 51})
	s.must(t, 0, "apply")
	s.org.Join(2)
	s.must(t, 0, "apply")
	s.org.Wipe()
	s.must(t, 3, "apply")
	for _, path := range []string{"snapshots/all-users", "snapshots/.quarantine/all-users"} {
		entries, err := os.ReadDir(s.path(path))
		check(t, err)
		for _, e := range entries {
			if e.IsDir() && strings.HasSuffix(e.Name(), "Z") {
				snapshots = append(snapshots, e.Name())
			}
		}
	}
	quarantined = snapshots[2]
	snapshots = snapshots[:2]
	slices.Reverse(snapshots)
	s.configure(t, "  - name: admins\n", s.server.URL, "${NOT_SET}", "client-key.pem", "${CREDENTIALS_DIRECTORY}/client-key")
	return s, snapshots, quarantined
}

func TestCompletion(t *testing.T) {
	s, snapshots, quarantined := newCompletionSite(t)
	at := func(names ...string) (whole []string) {
		for _, name := range names {
			whole = append(whole, "all-users@"+name)
		}
		return whole
	}
	const nothing, noSpace, keepOrder, folders = ":4", ":6", ":36", ":16"
	exports := []string{"all-users", "admins"}
	for _, test := range []struct {
		words     string
		want      []string
		directive string
	}{
		{"list |", exports, nothing},
		{"list all-users |", nil, nothing},
		{"plan |", exports, nothing},
		{"apply admins |", []string{"all-users"}, nothing},
		{"verify --store snapshots |", []string{"all-users"}, nothing},
		{"history |", exports, nothing},
		{"history all-users |", nil, nothing},
		{"adopt |", exports, nothing},
		{"show |", exports, noSpace},
		{"show all-users@|", at(snapshots...), keepOrder},
		{"show admins@|", nil, keepOrder},
		{"diff |", exports, nothing},
		{"diff all-users |", snapshots, keepOrder},
		{"diff all-users --store snapshots " + snapshots[1] + " |", snapshots, keepOrder},
		{"diff all-users a b |", nil, nothing},
		{"quarantine list |", exports, nothing},
		{"quarantine show all-users@|", at(quarantined), keepOrder},
		{"quarantine diff |", exports, noSpace},
		{"quarantine release all-users@|", at(quarantined), keepOrder},
		{"quarantine drop |", at(quarantined), keepOrder},
		{"show --format |", []string{"ndjson", "csv", "json", "table"}, nothing},
		{"list --store |", nil, folders},
		{"list --config |", nil, ":0"}, // files
		{"apply --reason |", nil, nothing},
		{"run |", nil, nothing},
		{"completion |", []string{"bash", "zsh", "fish"}, nothing},
		// Errors result in no completions.
		{"list --config nowhere.yaml |", nil, nothing},
		{"show --store nowhere |", exports, nothing}, // the declared ones
		{"list --config client-key.pem |", nil, nothing},
		{"diff no-such-export |", nil, keepOrder},
	} {
		s.checkCompletion(t, test.words, test.want, test.directive)
	}
	if r := s.must(t, 0, "__complete", "diff", "all-users", ""); !strings.Contains(r.stdout, snapshots[0]+"\t62 users, 2 joined\n") {
		t.Errorf("a snapshot has no description:\n%s", r.stdout)
	}
}

// checkCompletion completes the words before |.
func (s *site) checkCompletion(t *testing.T, words string, want []string, directive string) {
	t.Helper()
	args := strings.Fields(strings.ReplaceAll(words, "|", " |"))
	args = args[:len(args)-1]
	word := ""
	if !strings.HasSuffix(words, " |") {
		word, args = args[len(args)-1], args[:len(args)-1]
	}
	r := s.must(t, 0, append(append([]string{"__complete"}, args...), word)...)
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	got := lines[:len(lines)-1]
	for i, line := range got {
		got[i], _, _ = strings.Cut(line, "\t")
	}
	if !slices.Equal(got, want) || lines[len(got)] != directive {
		t.Errorf("oktasync %s completes to %q %s, want %q %s", words, got, lines[len(got)], want, directive)
	}
	if strings.Contains(r.stderr, "error") {
		t.Errorf("oktasync %s prints %s", words, r.stderr)
	}
}

// A completion is the name of a folder in the store. A forged name in a file, which a
// shell could run, is not offered, and a forged reason has no control characters.
func TestCompletionOfAForgedStore(t *testing.T) {
	s, _, quarantined := newCompletionSite(t)
	file := s.path("snapshots/.quarantine/all-users", quarantined, "read.json")
	genuine := read(t, file)
	forge := func(before, after string) {
		if !strings.Contains(genuine, before) {
			t.Fatalf("read.json has no %s", before)
		}
		write(t, file, strings.Replace(genuine, before, after, 1))
	}
	forge(`"name":"`+quarantined, `"name":"$(touch run)`)
	for _, args := range [][]string{{"quarantine", "drop", ""}, {"quarantine", "show", "all-users@"}} {
		if r := s.must(t, 0, append([]string{"__complete"}, args...)...); strings.Contains(r.stdout, "touch") {
			t.Errorf("oktasync %s completes to %q", strings.Join(args, " "), r.stdout)
		}
	}
	forge(`"reason":"`, `"reason":"\u001b[2J`)
	if r := s.must(t, 0, "__complete", "quarantine", "drop", ""); strings.Contains(r.stdout, "\x1b") || !strings.Contains(r.stdout, `\u001b[2J`) {
		t.Errorf("oktasync quarantine drop completes to %q", r.stdout)
	}
}

// showArguments is a script that completes like oktasync, and prints the
// arguments of any other command.
const showArguments = `#!/bin/sh
case $1 in
__complete* | completion) exec "$REAL" "$@" ;;
esac
printf '<%s>' "$@"
echo '<end>'
`

// newShellSite is newCompletionSite for a shell in which oktasync is
// showArguments. It has a second configuration, whose path must be quoted.
func newShellSite(t *testing.T) (s *site, snapshots []string, quarantined string, env []string) {
	t.Helper()
	s, snapshots, quarantined = newCompletionSite(t)
	path := filepath.Join(t.TempDir(), "oktasync")
	write(t, path, showArguments)
	check(t, os.Chmod(path, 0o755))
	check(t, os.Mkdir(s.path("other configs"), 0o755))
	write(t, s.path("other configs/one.yaml"), strings.ReplaceAll(s.config(""), "path: snapshots", "path: ../snapshots"))
	env = []string{"PATH=" + filepath.Dir(path) + ":" + os.Getenv("PATH"), "REAL=" + program(), "HOME=" + s.dir, "INPUTRC=/dev/null"}
	return s, snapshots, quarantined, env
}

// fish has a command that prints completions.
func TestFishCompletes(t *testing.T) {
	needs(t, "fish")
	s, snapshots, _, env := newShellSite(t)
	drop := regexp.MustCompile(`\n  drop +(.*\n)`).FindStringSubmatch(s.must(t, 0, "quarantine", "--help").stdout)
	for line, want := range map[string]string{
		"oktasync quarantine dro":  "drop\t" + drop[1],
		"oktasync list ":           "admins\nall-users\n",
		"oktasync show all-users@": fmt.Sprintf("all-users@%s\t62 users, 2 joined\nall-users@%s\t60 users, first\n", snapshots[0], snapshots[1]),
		"oktasync run cli":         "",
	} {
		cmd := exec.Command("fish", "--no-config", "-c", "oktasync completion fish | source; complete -C $argv[1]", line)
		cmd.Dir, cmd.Env = s.dir, append(os.Environ(), env...)
		if out, err := cmd.Output(); err != nil || string(out) != want {
			t.Errorf("fish completes %q to %q, %v; want %q", line, out, err, want)
		}
	}
}

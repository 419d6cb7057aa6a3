package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// newCompletionSite has two snapshots of all-users and a reading in quarantine.
// Its names are returned, the newest first. Its configuration holds nothing of
// okta: that could be used.
func newCompletionSite(t *testing.T) (s *site, snapshots []string, reading string) {
	s = newTestSite(t, sandbox.Config{Users: 60, Seed: 51})
	s.must(t, 0, "apply")
	s.org.Join(2)
	s.must(t, 0, "apply")
	s.org.Wipe()
	s.must(t, 3, "apply")
	for _, path := range []string{"snapshots/all-users", "snapshots/.quarantine/all-users"} {
		entries, err := os.ReadDir(filepath.Join(s.dir, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() && strings.HasSuffix(e.Name(), "Z") {
				snapshots = append(snapshots, e.Name())
			}
		}
	}
	reading = snapshots[2]
	snapshots = snapshots[:2]
	slices.Reverse(snapshots)
	config := strings.NewReplacer(s.server.URL, "${NOT_SET}", "client-key.pem", "${CREDENTIALS_DIRECTORY}/client-key").Replace(s.config("  - name: admins\n"))
	write(t, filepath.Join(s.dir, "oktasync.yaml"), []byte(config))
	return s, snapshots, reading
}

func TestCompletion(t *testing.T) {
	s, snapshots, reading := newCompletionSite(t)
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
		{"quarantine show all-users@|", at(reading), keepOrder},
		{"quarantine diff |", exports, noSpace},
		{"quarantine release all-users@|", at(reading), keepOrder},
		{"quarantine drop |", at(reading), keepOrder},
		{"show --format |", []string{"ndjson", "csv", "json"}, nothing},
		{"list --store |", nil, folders},
		{"list --config |", nil, ":0"}, // files
		{"apply --reason |", nil, nothing},
		{"run |", nil, nothing},
		{"completion |", []string{"bash", "zsh", "fish"}, nothing},
		// Whatever is wrong, there is nothing to say.
		{"list --config nowhere.yaml |", nil, nothing},
		{"show --store nowhere |", exports, nothing}, // those declared
		{"list --config client-key.pem |", nil, nothing},
		{"diff no-such-export |", nil, keepOrder},
	} {
		args := strings.Fields(strings.ReplaceAll(test.words, "|", " |"))
		args = args[:len(args)-1]
		word := ""
		if !strings.HasSuffix(test.words, " |") {
			word, args = args[len(args)-1], args[:len(args)-1]
		}
		r := s.must(t, 0, append(append([]string{"__complete"}, args...), word)...)
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		got := lines[:len(lines)-1]
		for i, line := range got {
			got[i], _, _ = strings.Cut(line, "\t")
		}
		if !slices.Equal(got, test.want) || lines[len(got)] != test.directive {
			t.Errorf("oktasync %s completes to %q %s, want %q %s", test.words, got, lines[len(got)], test.want, test.directive)
		}
		if strings.Contains(r.stderr, "error") {
			t.Errorf("oktasync %s says %s", test.words, r.stderr)
		}
	}
	if r := s.must(t, 0, "__complete", "diff", "all-users", ""); !strings.Contains(r.stdout, snapshots[0]+"\t62 users, 2 joined\n") {
		t.Errorf("a snapshot is not explained:\n%s", r.stdout)
	}
}

// showArguments is an oktasync that completes as the real one and else prints
// its arguments.
const showArguments = `#!/bin/sh
case $1 in
__complete* | completion) exec "$REAL" "$@" ;;
esac
printf '<%s>' "$@"
echo '<end>'
`

// newTypingSite is newCompletionSite for startTyping, with a second
// configuration at a place that takes quoting.
func newTypingSite(t *testing.T) (s *site, snapshots []string, reading string, env []string) {
	t.Helper()
	s, snapshots, reading = newCompletionSite(t)
	path := filepath.Join(t.TempDir(), "oktasync")
	write(t, path, []byte(showArguments))
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, "other configs"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "other configs/one.yaml"), []byte(strings.ReplaceAll(s.config(""), "path: snapshots", "path: ../snapshots")))
	env = []string{"PATH=" + filepath.Dir(path) + ":" + os.Getenv("PATH"), "REAL=" + program(), "HOME=" + s.dir, "INPUTRC=/dev/null"}
	return s, snapshots, reading, env
}

// fish says itself what it would offer.
func TestFishCompletes(t *testing.T) {
	needs(t, "fish")
	s, snapshots, _, env := newTypingSite(t)
	for line, want := range map[string]string{
		"oktasync quarantine dro":  "drop\tRemove a reading that is held back\n",
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

package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The sh blocks of README.md work in a clone of the repository. TestDocs runs the
// other blocks.
func TestReadmeInAClone(t *testing.T) {
	wants := map[string]string{ // the output of each block
		"go run ./cmd/oktasync demo": "all-users has two snapshots and a quarantined read",
		"go test ./...":              "", // runs this test
		"CGO_ENABLED=0 go build -trimpath -o oktasync ./cmd/oktasync\n" +
			"export PATH=\"$PWD:$PATH\"      # or: sudo install oktasync /usr/local/bin/": "oktasync reads Okta",
	}
	var commands []string
	for _, b := range blocks(strings.Split(read(t, "../README.md"), "\n")) {
		if b.info != "sh" {
			continue
		}
		command := strings.Join(b.lines, "\n")
		if _, known := wants[command]; !known {
			t.Errorf("line %d: no test for this block:\n%s", b.line, command)
		}
		commands = append(commands, command)
	}
	if len(commands) != len(wants) {
		t.Errorf("README.md has the blocks %q, want %d", commands, len(wants))
	}
	if !all() {
		t.Skip("compiles the program twice")
	}
	needs(t, "git")
	clone := t.TempDir()
	if out, err := exec.Command("git", "clone", "-q", "..", clone).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	for _, command := range commands {
		after := ""
		switch {
		case command == "go test ./...":
			continue
		case strings.Contains(command, "go build"):
			after = "\noktasync --help"
		}
		cmd := exec.Command("bash", "-c", command+after)
		cmd.Dir, cmd.Env = clone, append(os.Environ(), "TMPDIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), wants[command]) {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
}

package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What README.md has for a shell in a clone of the repository is run in one, as
// it stands there. All else of it is run by TestDocs.
func TestReadmeInACleanClone(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	wants := map[string]string{ // and what it prints
		"go run ./cmd/oktasync demo": "That was all of it",
		"go test ./...":              "", // this is it
		"CGO_ENABLED=0 go build -trimpath -o oktasync ./cmd/oktasync\n" +
			"export PATH=\"$PWD:$PATH\"      # or: sudo install oktasync /usr/local/bin/": "oktasync reads Okta",
	}
	var commands []string
	for _, b := range blocks(strings.Split(string(text), "\n")) {
		if b.info != "sh" {
			continue
		}
		command := strings.Join(b.lines, "\n")
		if _, known := wants[command]; !known {
			t.Errorf("line %d: who runs this?\n%s", b.line, command)
		}
		commands = append(commands, command)
	}
	if len(commands) != len(wants) {
		t.Errorf("README.md has %q for a shell, want %d commands", commands, len(wants))
	}
	if !long() {
		t.Skip("built in a clone in the long form only")
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

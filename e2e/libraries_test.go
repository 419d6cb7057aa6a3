package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLibraries builds another module from the go.mod and the Go files of
// docs/libraries.md, next to a link to this repository. It uses only modules that
// this repository's build has already downloaded.
func TestLibraries(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/libraries.md")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, b := range blocks(strings.Split(string(text), "\n")) {
		switch content := strings.Join(b.lines, "\n") + "\n"; {
		case b.info == "go":
			files[fmt.Sprintf("file%d.go", b.line)] = content
		case strings.HasPrefix(content, "module "):
			files["go.mod"] = content
		}
	}
	if len(files) != 3 {
		t.Fatalf("docs/libraries.md has %d files, want go.mod and 2 of Go", len(files))
	}
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	files["go.sum"] = string(sums)

	repository, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(repository, filepath.Join(dir, "oktasync")); err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(dir, "orders")
	if err := os.Mkdir(module, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(module, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	vet := exec.Command("go", "vet", "-mod=mod", ".") // adds the requirements of oktasync to go.mod
	vet.Dir = module
	vet.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	if out, err := vet.CombinedOutput(); err != nil {
		t.Errorf("go vet of the module in docs/libraries.md: %v\n%s", err, out)
	}
}

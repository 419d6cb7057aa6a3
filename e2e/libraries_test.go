package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What docs/libraries.md shows as Go is in an example of the libraries, line by line, and
// so compiles.
func TestLibrariesPageShowsExamples(t *testing.T) {
	page, err := os.ReadFile("../docs/libraries.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples strings.Builder
	for _, path := range []string{"../dpopauth/example_test.go", "../dpopauth/verify/example_test.go"} {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		examples.WriteString(flush(string(source)))
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Errorf("docs/libraries.md has %d blocks of Go, want that of the API and that of its client", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(examples.String(), flush(block[1])) {
			t.Errorf("no example has these lines of docs/libraries.md:\n%s", block[1])
		}
	}
}

// flush is text without indentation.
func flush(text string) string {
	return regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(text, "")
}

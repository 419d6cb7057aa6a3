package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// Manual pages contain the text, flags and examples of --help. mandoc finds no
// problem in them.
func TestManualPages(t *testing.T) {
	needs(t, "mandoc")
	s := newSite(t, sandbox.Config{Users: 1})
	s.must(t, 0, "man", "--dir", "man1")
	pages, err := filepath.Glob(s.path("man1/*.1"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("pages are %v, %v", pages, err)
	}
	lint, _ := exec.Command("mandoc", append([]string{"-T", "lint", "-W", "warning", filepath.Join(units, "oktasync-as-service.1")}, pages...)...).CombinedOutput()
	for line := range strings.Lines(string(lint)) {
		if !strings.Contains(line, "missing date") { // built outside a repository
			t.Error(line)
		}
	}
	word := regexp.MustCompile(`\S+`)
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".1")
		rendered, err := exec.Command("mandoc", "-T", "utf8", "-O", "width=400", page).Output()
		if err != nil {
			t.Errorf("%s: %v", page, err)
		}
		manual := strings.Join(strings.Fields(regexp.MustCompile(`.\x08`).ReplaceAllString(string(rendered), "")), " ")
		help := s.must(t, 0, append(strings.Split(name, "-")[1:], "--help")...).stdout
		for _, w := range word.FindAllString(help, -1) {
			if strings.HasPrefix(w, "--") && !strings.HasPrefix(w, "--help") && !strings.Contains(manual, strings.TrimRight(w, ".,;")) {
				t.Errorf("%s lacks %s", name, w)
			}
		}
		_, examples, _ := strings.Cut(help, "Examples:\n")
		for example := range strings.Lines(examples) {
			if example = strings.Join(strings.Fields(example), " "); !strings.HasPrefix(example, "oktasync ") {
				break
			} else if !strings.Contains(manual, example) {
				t.Errorf("%s lacks the example %s", name, example)
			}
		}
		if prose, _, _ := strings.Cut(help, "\nUsage:"); !strings.Contains(manual, strings.Join(strings.Fields(prose), " ")) {
			t.Errorf("%s lacks\n%s\nIt contains\n%s", name, prose, manual)
		}
	}
}

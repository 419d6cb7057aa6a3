package dpopauth_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oktasync/dpopauth"
)

var (
	testFunc = regexp.MustCompile(`(?m)^func (Test(D\d+)_\w+)\(`)
	tableRow = regexp.MustCompile(`(?m)^\| (D\d+) \| (C|V|CV) \| .+ \| .+ \| (.*) \|$`)
	testName = regexp.MustCompile("`((?:\\w+\\.)?Test(D\\d+)_\\w+)`")
)

// TestConformance checks that CONFORMANCE.md lists exactly the tests that exist,
// and that each item has a test of each side.
func TestConformance(t *testing.T) {
	const items = 111
	have := map[string]bool{}
	for prefix, pattern := range map[string]string{"": "*_test.go", "keys.": "keys/*_test.go", "verify.": "verify/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no tests in %s, %v", pattern, err)
		}
		for _, file := range files {
			source := must(os.ReadFile(file))
			for _, m := range testFunc.FindAllSubmatch(source, -1) {
				have[prefix+string(m[1])] = true
			}
		}
	}
	table := must(os.ReadFile("CONFORMANCE.md"))
	rows := tableRow.FindAllStringSubmatch(string(table), -1)
	if len(rows) != items {
		t.Errorf("rows = %d, want %d", len(rows), items)
	}
	for i, row := range rows {
		if want := fmt.Sprint("D", i+1); row[1] != want {
			t.Fatalf("row %d is %s, want %s", i+1, row[1], want)
		}
		sides := ""
		for _, m := range testName.FindAllStringSubmatch(row[3], -1) {
			side := "C"
			if strings.HasPrefix(m[1], "verify.") {
				side = "V"
			}
			if sides += side; m[2] != row[1] || !have[m[1]] {
				t.Errorf("%s: the table names %s, which is not a test of the item", row[1], m[1])
			}
			delete(have, m[1])
		}
		for _, side := range strings.Split(row[2], "") {
			if !strings.Contains(sides, side) {
				t.Errorf("%s has no test of side %s", row[1], side)
			}
		}
	}
	var left []string
	for name := range have {
		left = append(left, name)
	}
	if slices.Sort(left); len(left) > 0 {
		t.Errorf("tests that the table does not name: %s", strings.Join(left, " "))
	}
}

// The other faults are tested under D20, D22, D46, D47, D50, D52, D53, D54, D63 and
// D70.
func TestD102_FaultsOfAServer(t *testing.T) {
	for name, fault := range map[string]func(o *org){
		"no Date": func(o *org) { o.noDate = true },
		"a nonce for two requests": func(o *org) {
			o.demand("api", "n0")
			o.api = func(_ http.ResponseWriter, s *seen) bool {
				if s.n%2 == 0 {
					o.demand("api", o.newest("api"), fmt.Sprint("n", s.n))
				}
				return false
			}
		},
	} {
		bubble(t, name, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			fault(o)
			for range 5 {
				mustGet(t, tr, o.URL+"/a")
			}
		})
	}
}

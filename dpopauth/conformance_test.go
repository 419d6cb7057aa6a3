package dpopauth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth"
)

var (
	testFunc = regexp.MustCompile(`(?m)^func (Test(D\d+)_\w+)\(`)
	tableRow = regexp.MustCompile(`(?m)^\| (D\d+) \| (C|V|CV) \| .+ \| .+ \| (.*) \|$`)
	testName = regexp.MustCompile("`((?:\\w+\\.)?Test(D\\d+)_\\w+)`")
)

// CONFORMANCE.md and the tests of all packages name the same tests under the
// same items, and every item has one of each side that it is for.
func TestConformance(t *testing.T) {
	const items = 111
	have := map[string]bool{}
	for prefix, pattern := range map[string]string{"": "*_test.go", "keys.": "keys/*_test.go", "verify.": "verify/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no tests in %s, %v", pattern, err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range testFunc.FindAllSubmatch(source, -1) {
				have[prefix+string(m[1])] = true
			}
		}
	}
	table, err := os.ReadFile("CONFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
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
				t.Errorf("%s: the table names %s, which is no test of it", row[1], m[1])
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

// What a server can do wrong or differently, and what comes of it: nil is a
// request that succeeds.
func TestD102_FaultsOfAServer(t *testing.T) {
	for _, fault := range []struct {
		name string
		set  func(o *org)
		want error
	}{
		{"as Okta: a nonce at the token endpoint alone", func(o *org) { o.demand("token", "n1") }, nil},
		{"a nonce at the API", func(o *org) { o.demand("api", "n1") }, nil},
		{"rotation every second request", func(o *org) {
			o.demand("api", "n0")
			o.api = func(_ http.ResponseWriter, s *seen) bool {
				if s.n%2 == 0 {
					o.demand("api", o.newest("api"), fmt.Sprint("n", s.n))
				}
				return false
			}
		}, nil},
		{"a challenge for ever", func(o *org) {
			o.token = func(w http.ResponseWriter, s *seen) bool {
				w.Header().Set("DPoP-Nonce", fmt.Sprint("n", s.n))
				o.oauthError(w, 400, "use_dpop_nonce", "")
				return true
			}
		}, dpopauth.ErrNonce},
		{"a challenge whose nonce is lost", func(o *org) {
			o.api = func(w http.ResponseWriter, _ *seen) bool { o.challenge(w, 401, "use_dpop_nonce", ""); return true }
		}, dpopauth.ErrNonce},
		{"a downgrade to Bearer", func(o *org) { o.members = map[string]any{"token_type": "Bearer"} }, dpopauth.ErrTokenType},
		{"fewer scopes", func(o *org) { o.members = map[string]any{"scope": "openid"} }, dpopauth.ErrScope},
		{"a Date that is off by 10 min", func(o *org) { o.now = ahead(-10 * time.Minute) }, nil},
		{"a Date that is off by an hour", func(o *org) { o.now = ahead(-time.Hour) }, dpopauth.ErrClock},
		{"no Date", func(o *org) { o.noDate = true }, nil},
		{"a token that is withdrawn", func(o *org) {
			o.api = func(_ http.ResponseWriter, s *seen) bool {
				if s.n == 2 {
					o.revoke()
				}
				return false
			}
		}, nil},
		{"a redirect of the token endpoint", func(o *org) {
			o.token = func(w http.ResponseWriter, _ *seen) bool {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(308)
				return true
			}
		}, dpopauth.ErrRedirect},
		{"a page of HTML", func(o *org) {
			o.token = func(w http.ResponseWriter, _ *seen) bool { io.WriteString(w, "<html>"); return true }
		}, dpopauth.ErrResponse},
		{"a connection that breaks", func(o *org) {
			o.token = func(w http.ResponseWriter, s *seen) bool {
				if s.n == 1 {
					hangUp(w)
				}
				return s.n == 1
			}
		}, nil},
	} {
		bubble(t, fault.name, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			fault.set(o)
			for range 5 {
				if _, _, err := get(t, tr, o.URL+"/a"); !errors.Is(err, fault.want) || err != nil && fault.want == nil {
					t.Errorf("error = %v, want %v", err, fault.want)
				}
			}
		})
	}
}

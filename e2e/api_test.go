package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// newListSite returns a site of an org with a list of three pages, whose next links
// are only in the bodies, as in /api/v1/iam/assignees/users.
func newListSite(t *testing.T) *site {
	mux := http.NewServeMux()
	org := httptest.NewServer(mux)
	t.Cleanup(org.Close)
	answer := func(w http.ResponseWriter, status int, body string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
	mux.HandleFunc("POST /oauth2/v1/token", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, `{"access_token":"t","token_type":"Bearer","expires_in":3600,"scope":"okta.users.read"}`)
	})
	mux.HandleFunc("GET /api/v1/iam/assignees/users", func(w http.ResponseWriter, r *http.Request) {
		next := map[string]string{"": "b", "b": "c"}[r.FormValue("after")]
		links := `{}`
		if next != "" {
			links = fmt.Sprintf(`{"next":{"href":"%s%s?after=%s"}}`, org.URL, r.URL.Path, next)
		}
		answer(w, 200, fmt.Sprintf(`{"value":[{"id":"00u%s"}],"_links":%s}`, r.FormValue("after"), links))
	})
	mux.HandleFunc("GET /api/v1/elsewhere", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, `{"_links":{"next":{"href":"https://evil.example/api/v1/elsewhere"}}}`)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 404, `{"errorCode":"E0000007","errorSummary":"Not found: Resource not found"}`)
	})
	s := newSite(t, sandbox.Config{Users: 1})
	s.configure(t, "", s.server.URL, org.URL, "  ca_file: ca.pem\n", "  dpop: {mode: \"off\"}\n")
	return s
}

// api --paginate follows a next link in the body.
func TestAPIFollowsLinksInTheBody(t *testing.T) {
	t.Parallel()
	s := newListSite(t)
	pages := s.must(t, 0, "api", "/api/v1/iam/assignees/users", "--paginate").stdout
	if strings.Count(pages, `"value":`) != 3 || strings.Count(pages, "\n") != 3 || !strings.Contains(pages, `"00uc"`) {
		t.Errorf("api --paginate prints\n%s", pages)
	}
	if r := s.must(t, 1, "api", "/api/v1/elsewhere", "--paginate"); !strings.Contains(r.stderr, "another origin") {
		t.Errorf("api --paginate of a link to another origin prints\n%s", r.stderr)
	}
}

// api --slurp prints one JSON array of all pages, like gh api.
func TestAPISlurpsPages(t *testing.T) {
	t.Parallel()
	s := newListSite(t)
	var pages []struct{ Value []struct{ ID string } }
	check(t, json.Unmarshal([]byte(s.must(t, 0, "api", "/api/v1/iam/assignees/users", "--paginate", "--slurp").stdout), &pages))
	if len(pages) != 3 || len(pages[2].Value) != 1 || pages[2].Value[0].ID != "00uc" {
		t.Errorf("api --slurp prints %+v", pages)
	}
}

// api prints the body of an error of Okta, and its exit status is 1.
func TestAPIPrintsTheBodyOfAnError(t *testing.T) {
	t.Parallel()
	s := newListSite(t)
	for _, args := range [][]string{{"api", "/api/v1/nowhere"}, {"api", "/api/v1/nowhere", "--paginate"}, {"api", "/api/v1/nowhere", "--include"}} {
		r := s.must(t, 1, args...)
		if !strings.Contains(r.stdout, `"errorSummary":"Not found: Resource not found"`) || !strings.Contains(r.stderr, "404 E0000007") {
			t.Errorf("oktasync %s prints\n%s%s", strings.Join(args, " "), r.stdout, r.stderr)
		}
		if args[len(args)-1] == "--include" && !strings.HasPrefix(r.stdout, "HTTP/1.1 404 Not Found\n") {
			t.Errorf("api --include prints\n%s", r.stdout)
		}
	}
}

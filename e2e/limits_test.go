package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// Readers and verify accept everything that is published. A snapshot that they
// would refuse isn't published, and doesn't stop later ones.
func TestTooLargeSnapshotIsNotPublished(t *testing.T) {
	for name, put := range map[string]func(s *site) error{
		"statuses of 900 kB": func(s *site) error {
			for u := range 6 {
				if err := s.putUser(fmt.Sprintf("00u%d", u), `{"login":"a@acme.example"}`, strings.Repeat(string(rune('A'+u)), 900_000)); err != nil {
					return err
				}
			}
			return nil
		},
		"a status for each user": func(s *site) error {
			for u := range 16_500 {
				if err := s.putUser(fmt.Sprintf("00u%05d", u), `{"login":"a@acme.example"}`, fmt.Sprintf("%0255d", u)); err != nil {
					return err
				}
			}
			return nil
		},
		"attribute of 5 MB": func(s *site) error {
			return s.putUser("00u0", `{"login":"a@acme.example","title":"`+strings.Repeat("a", 5<<20)+`"}`, "ACTIVE")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, sandbox.Config{Users: 10, Seed: 137})
			s.must(t, 0, "apply")
			s.configure(t, "    users: {guard: {max_removed: 100%, min: 0}}\n")
			check(t, put(s))
			r := s.must(t, 1, "apply")
			if !regexp.MustCompile(`(over|larger than) \d+ bytes`).MatchString(r.stderr) || len(r.stderr) > 1000 {
				t.Errorf("error = %.1000s, want one line with the limit", r.stderr)
			}
			if n := len(s.journal(t)); n > 10_000 {
				t.Errorf("the journal has %d bytes", n)
			}
			s.must(t, 0, "verify")
			s.must(t, 0, "list")
			s.org.Wipe()
			s.must(t, 0, "apply")
			s.must(t, 0, "verify")
		})
	}
}

// Ids and statuses are data: errors and the journal contain them quoted and
// shortened.
func TestIdsInErrorsAreQuoted(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 3, Seed: 138})
	id := "00u\\" + strings.Repeat("x", 200) // the client accepts ids of 256 bytes
	check(t, s.putUser(id, `{"login":"a@acme.example","a":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}`, "ACTIVE"))
	r := s.must(t, 1, "apply")
	for _, text := range []string{r.stderr, s.journal(t)} {
		if strings.Contains(text, "xxx") && !strings.Contains(text, `"00u`) || strings.Contains(text, strings.Repeat("x", 100)) {
			t.Errorf("text = %q", text)
		}
	}
}

// A span of users that Okta can't return is halved until it is a millisecond long.
func TestHalvingEndsAtAMillisecond(t *testing.T) {
	if !all() {
		t.Skip("takes 20 seconds")
	}
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 50, Seed: 139})
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/users" {
			s.org.ServeHTTP(w, r)
			return
		}
		requests.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, `{"errorCode":"E0000145"}`)
	}))
	t.Cleanup(server.Close)
	s.server.URL = server.URL
	s.org.SetURL(server.URL)
	s.configure(t, "", "  ca_file: ca.pem\n", "")
	r := s.must(t, 1, "apply", "--log-level", "error")
	span := regexp.MustCompile(`last updated from (\S+) to before ([^ ,]+)`).FindStringSubmatch(r.stderr)
	if span == nil {
		t.Fatalf("apply = %s", r.stderr)
	}
	from, err := time.Parse(time.RFC3339, span[1])
	check(t, err)
	to, err := time.Parse(time.RFC3339, span[2])
	check(t, err)
	if to.Sub(from) != time.Millisecond || requests.Load() > 500 {
		t.Errorf("the last span is from %s to %s, after %d requests", span[1], span[2], requests.Load())
	}
}

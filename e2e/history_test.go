package e2e

import (
	"fmt"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// A login that was given to somebody else stands for whoever had it last, and
// history says who had it before. Who has no login is nobody's namesake.
func TestHistoryOfALoginThatWasGivenOn(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 40, Seed: 4})
	put := func(id, profile string) {
		t.Helper()
		user := fmt.Sprintf(`{"id":%q,"status":"ACTIVE","created":"2026-01-01T00:00:00.000Z","lastUpdated":"2026-01-01T00:00:00.000Z","profile":%s}`, id, profile)
		if err := s.org.Put([]byte(user)); err != nil {
			t.Fatal(err)
		}
	}
	put("00ufirst000000000001", `{"login":"jane@acme.example"}`)
	put("00unologin0000000003", `{"login":null}`)
	s.must(t, 0, "apply")
	put("00ufirst000000000001", `{"login":"jane.old@acme.example"}`)
	put("00usecond00000000002", `{"login":"Jane@acme.example"}`)
	s.must(t, 0, "apply")
	s.org.Touch(3)
	s.must(t, 0, "apply")
	r := s.must(t, 0, "history", "all-users", "jane@acme.example")
	if !strings.HasPrefix(r.stdout, "Jane@acme.example (00usecond00000000002) in all-users\n") {
		t.Errorf("history shows %q", r.stdout)
	}
	const note = "oktasync: note: the login was another person's before: `oktasync history all-users 00ufirst000000000001`\n"
	if r.stderr != note {
		t.Errorf("history notes %q, want %q", r.stderr, note)
	}
	for _, user := range []string{"00usecond00000000002", "jane.old@acme.example"} {
		if r := s.must(t, 0, "history", "all-users", user); r.stderr != "" {
			t.Errorf("history of %s notes %q", user, r.stderr)
		}
	}
	s.must(t, 1, "history", "all-users", "none")
	s.noViolations(t)
}

package e2e

import (
	"net/http"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// A read that doesn't settle is published, and each command shows it.
func TestUnsettledReadIsVisible(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 20, Seed: 135})
	s.must(t, 0, "apply")
	for _, args := range [][]string{{"status"}, {"list"}, {"show", "all-users"}} {
		if r := s.must(t, 0, args...); strings.Contains(r.stdout+r.stderr, "settled") {
			t.Errorf("%s of a settled snapshot = %s%s", args, r.stdout, r.stderr)
		}
	}
	s.org.OnRequest(func(int, *http.Request) { s.org.Move(1) })
	for _, test := range []struct {
		want string
		args []string
	}{
		{"all-users: not settled: ", []string{"plan"}},
		{`"settled": false`, []string{"plan", "--json"}},
		{"  settled   no: ", []string{"apply"}},
		{" is not settled: ", []string{"status"}},
		{`"settled": false`, []string{"status", "--json"}},
		{", not settled", []string{"list"}},
		{`"settled": false`, []string{"list", "--json"}},
		{" is not settled: ", []string{"show", "all-users"}},
	} {
		if r := s.must(t, 0, test.args...); !strings.Contains(r.stdout+r.stderr, test.want) {
			t.Errorf("oktasync %s = %s%s, want %q", strings.Join(test.args, " "), r.stdout, r.stderr, test.want)
		}
	}
}

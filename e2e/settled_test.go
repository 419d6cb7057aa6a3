package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

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
	s.org.OnRequest(func(int, *http.Request) {
		time.Sleep(time.Millisecond) // so that lastUpdated changes, also of a user who moves again
		s.org.Move(1)
	})
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

// The daemon publishes a snapshot without an optional resource that the app can't read,
// and reports that.
func TestDaemonReportsUnavailableResource(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 20, Seed: 136}, usersAndGroups...)
	s.org.Inject(sandbox.Fault{Path: "/api/v1/groups", Forever: true, Status: 403, Code: "E0000006"})
	d := s.start(t, everyHour+"    users: {}\n    groups: {optional: true}\n")
	d.wait("snapshot published")
	d.wantPage("/metrics", http.StatusOK, `oktasync_snapshot_available{export="all-users",resource="groups"} 0`,
		`oktasync_snapshot_available{export="all-users",resource="users"} 1`)
	d.wantPage("/api/v1/status", http.StatusOK, `"reason": "the app has no admin role for it (403 E0000006)"`)
	d.wantPage("/", http.StatusOK, "It doesn’t record groups: the app has no admin role for it")
	d.stop(syscall.SIGTERM)
}

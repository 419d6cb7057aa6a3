package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// If one response is dated ahead, the snapshot's name is not, and changes during
// the read are found.
func TestOneWrongDateNamesNoSnapshotAhead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		wrong int64 // number of the request
		ahead time.Duration
	}{
		"token request":          {2, 14 * time.Minute},
		"first page":             {3, 14 * time.Minute},
		"first page by 47 hours": {3, 47 * time.Hour},
		"later page":             {5, 14 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sandbox.Config{Users: 1500, Seed: 141})
			var requests atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := requests.Add(1)
				if n == test.wrong {
					w = dated{w, time.Now().Add(test.ahead)}
				}
				s.org.ServeHTTP(w, r)
				if n >= 6 && n <= 16 {
					s.org.Move(60)
				}
			}))
			t.Cleanup(server.Close)
			s.server.URL = server.URL
			s.org.SetURL(server.URL)
			s.configure(t, "", "  ca_file: ca.pem\n", "")
			s.must(t, 0, "apply")
			if ahead := time.Until(s.newest(t)); ahead > time.Minute || requests.Load() < 12 {
				t.Errorf("the snapshot's name is %s ahead, after %d requests", ahead, requests.Load())
			}
			s.equalsOrg(t)
		})
	}
}

// A snapshot whose name is in the future of Okta's clock and of the local clock is
// not published.
func TestSnapshotNameInTheFuture(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 20, Seed: 142, ClockOffset: 10 * time.Minute})
	s.must(t, 0, "apply")
	newest := s.newest(t)
	if time.Until(newest) < 9*time.Minute {
		t.Fatalf("the snapshot's name is %s, want Okta's time, 10 minutes ahead", newest)
	}
	s.org.SetClockOffset(0)
	if r := s.must(t, 1, "apply"); !strings.Contains(r.stderr, "the read began ") {
		t.Errorf("apply = %s", r.stderr)
	}
	if got := s.newest(t); !got.Equal(newest) {
		t.Errorf("the newest snapshot is %s, want %s", got, newest)
	}
	s.must(t, 0, "verify")
}

// newest returns the time in the name of the newest snapshot.
func (s *site) newest(t *testing.T) time.Time {
	t.Helper()
	name, err := os.Readlink(s.path("snapshots/all-users/latest"))
	check(t, err)
	at, err := time.Parse("20060102T150405Z", name)
	check(t, err)
	return at
}

// dated changes the Date of a response.
type dated struct {
	http.ResponseWriter
	date time.Time
}

func (d dated) WriteHeader(status int) {
	d.Header().Set("Date", d.date.UTC().Format(http.TimeFormat))
	d.ResponseWriter.WriteHeader(status)
}

func (d dated) Write(p []byte) (int, error) {
	d.Header().Set("Date", d.date.UTC().Format(http.TimeFormat))
	return d.ResponseWriter.Write(p)
}

package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// ask returns the status of the answer to a name and a password.
func ask(access *Access, name, password string) int {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if name != "" {
		r.SetBasicAuth(name, password)
	}
	w := httptest.NewRecorder()
	access.allow(w, r)
	return w.Code
}

func TestPasswords(t *testing.T) {
	access := NewAccess(AccessConfig{Users: map[string]string{"ops": "$2a$04$h6oxpKMkbtzPOSTQCikV8eoIUp5.7t0Y69FzS79MvjUogcEIWinDy"}})
	for range 2 { // the second time from memory
		for _, test := range []struct {
			name, password string
			want           int
		}{
			{"ops", "right", 200}, {"ops", "wrong", 401}, {"ops", "", 401}, {"", "", 401}, {"nobody", "right", 401}, {"Ops", "right", 401},
		} {
			if got := ask(access, test.name, test.password); got != test.want {
				t.Errorf("%s with %q: %d, want %d", test.name, test.password, got, test.want)
			}
		}
	}
	// Guesses don't keep out a user whose password is cached.
	access.waiting.Store(maxWaiting)
	if got := ask(access, "ops", "another guess"); got != 429 {
		t.Errorf("one guess too many: %d", got)
	}
	if got := ask(access, "ops", "right"); got != 200 {
		t.Errorf("a known password beside guesses: %d", got)
	}
	access.waiting.Store(0)
	for i := range 3 * maxResults {
		access.results[[32]byte{byte(i), byte(i >> 8), 1}] = false
		if i == 2*maxResults {
			ask(access, "ops", "one more guess")
		}
	}
	if n := len(access.results); n > 2*maxResults {
		t.Errorf("%d results are cached", n)
	}
}

func TestRateLimitOfRequests(t *testing.T) {
	b := newRateLimit(AccessConfig{Burst: 2, Interval: time.Second})
	start := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	for i, test := range []struct {
		at   time.Duration
		want bool
	}{{0, true}, {0, true}, {0, false}, {900 * time.Millisecond, false}, {1100 * time.Millisecond, true}, {time.Hour, true}, {time.Hour, true}, {time.Hour, false}} {
		if got := b.take(start.Add(test.at)); got != test.want {
			t.Errorf("request %d: %t, want %t", i, got, test.want)
		}
	}
}

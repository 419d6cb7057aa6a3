package sandbox_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

func rate(t *testing.T, r result) (limit, remaining int, reset time.Time) {
	t.Helper()
	number := func(name string) int {
		n, err := strconv.Atoi(r.header.Get("X-Rate-Limit-" + name))
		if err != nil {
			t.Fatalf("X-Rate-Limit-%s: %v", name, err)
		}
		return n
	}
	return number("Limit"), number("Remaining"), time.Unix(int64(number("Reset")), 0)
}

// Rules 33 and 34: buckets, windows, shares, and the 429 beyond them.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 5, ClockOffset: time.Second,
			RateLimit: map[string]int{"/api/v1/users": 20, "/api/v1/users/{id}": 40, "/api/v1": 60}})
		c.org.SetClockOffset(0)
		for target, want := range map[string]int{
			"/api/v1/users": 10, "/api/v1/users/00u1": 20, "/api/v1/users/00u1/groups": 10, "/api/v1/logs": 30, "/api/v1/groups": 30,
		} {
			if limit, _, _ := rate(t, c.get(target)); limit != want {
				t.Errorf("%s: limit = %d, want %d: half of the bucket", target, limit, want)
			}
		}
		_, left, reset := rate(t, c.get("/api/v1/users"))
		if left != 7 { // after two lists and /api/v1/users/00u1/groups
			t.Errorf("remaining = %d, want 7", left)
		}
		if wait := time.Until(reset); wait <= 0 || wait > time.Minute || reset.Second() == 0 {
			t.Errorf("reset in %v at %v, want within a minute, and not on the minute", wait, reset)
		}
		for range left {
			c.get("/api/v1/users")
		}
		r := c.get("/api/v1/users")
		r.want(t, 429, "E0000047", "API call exceeded rate limit due to too many requests.")
		limit, left, again := rate(t, r)
		if limit != 10 || left != 0 || !again.Equal(reset) || r.header.Get("Retry-After") != "" {
			t.Errorf("429 = %v, want limit 10, remaining 0, the same reset, no Retry-After", r.header)
		}
		time.Sleep(time.Until(reset))
		_, left, reset = rate(t, c.get("/api/v1/users"))
		if left != 9 || time.Until(reset) != time.Minute {
			t.Errorf("next window: remaining %d, reset in %v; want 9, one minute", left, time.Until(reset))
		}
		c.org.TakeRateLimit("/api/v1/users", 15)
		if _, left, _ := rate(t, c.get("/api/v1/users")); left != 3 {
			t.Errorf("remaining after requests of another client = %d, want 3", left)
		}
		if n := c.org.Stats().RateLimited; n != 1 {
			t.Errorf("rate limited = %d, want 1", n)
		}
		c.noViolations()
	})
}

func TestDuplicateRateHeaders(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 5, DuplicateRateHeaders: true})
	if got := c.get("/api/v1/users").header.Values("X-Rate-Limit-Remaining"); len(got) != 2 || got[0] != got[1] {
		t.Errorf("X-Rate-Limit-Remaining = %q, want it twice", got)
	}
}

// Rule 35: too many requests at once.
func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 5, Concurrency: 2, Latency: time.Second})
		c.login()
		results := make([]result, 5)
		var wg sync.WaitGroup
		for i := range results {
			req := c.request("/api/v1/users", nil)
			wg.Go(func() { results[i], _ = c.do(req) })
		}
		wg.Wait()
		rejected := 0
		for _, r := range results {
			if r.status == 200 {
				continue
			}
			rejected++
			r.want(t, 429, "E0000047", "")
			if limit, left, _ := rate(t, r); limit != 0 || left != 0 {
				t.Errorf("limit %d, remaining %d, want 0 and 0", limit, left)
			}
		}
		if s := c.org.Stats(); rejected != 3 || s.TooMany != 3 || s.MaxInFlight != 5 {
			t.Errorf("rejected = %d, stats %+v; want 3 of 5", rejected, s)
		}
	})
}

// Rules 38 and 39: paths, methods, maintenance.
func TestPathsAndMethods(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		c := newClient(t, sandbox.Config{Users: 5, ReadOnly: readOnly})
		for _, path := range []string{"/api/v1/nothing", "/api/v1/users/", "/api/v1/users/00u1/appLinks", "/api/v1/groups/00g1/owners", "/api/v2/users"} {
			c.get(path).want(t, 404, "E0000008", "")
		}
		c.get("/api/v1/users").want(t, 200, "", "")
		c.noViolations()
		for _, method := range []string{"POST", "PUT", "DELETE", "HEAD"} {
			req := c.request("/api/v1/users", m{"htm": method})
			req.Method = method
			r := c.must(req)
			switch {
			case readOnly && r.status != 503, !readOnly && r.status != 405:
				t.Errorf("%s with read-only %t = %d %s", method, readOnly, r.status, r.body)
			case method != http.MethodHead && readOnly:
				r.want(t, 503, "E0000010", "")
			case method != http.MethodHead:
				r.want(t, 405, "E0000022", "")
			}
		}
		if n := len(c.org.Stats().Violations); n != 4 {
			t.Errorf("violations = %d, want 4: one per method", n)
		}
	}
}

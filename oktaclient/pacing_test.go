package oktaclient_test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
)

// setHeaders sets the headers of a window.
func (l *limits) setHeaders(w http.ResponseWriter, limit, remaining int, reset time.Time) {
	limited(w, strconv.Itoa(limit), strconv.Itoa(remaining), reset)
	w.Header().Set("X-Okta-Request-Id", "req")
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
}

// slow counts a request when it arrives, and responds after the time in the query.
func slow(l *limits) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		left, reset, _ := l.take(l.own)
		takes, _ := time.ParseDuration(r.URL.Query().Get("takes"))
		time.Sleep(takes)
		l.setHeaders(w, l.limit, left, reset)
		okay(w, r)
	})
}

// get makes n concurrent requests, and waits until they end.
func get(ctx context.Context, c *oktaclient.Client, n int, query string) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() { c.Get(ctx, "/api/v1/users"+query, nil) })
	}
	all.Wait()
}

// The governor counts its own requests, even if the header of the remaining ones is
// wrong.
func TestGovernorCountsItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(1, 300, nil)
		c := governed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, reset, _ := l.take(l.own)
			time.Sleep(300 * time.Millisecond)
			l.setHeaders(w, 300, 299, reset)
			okay(w, r)
		}), 0.5, 32)
		if err := readers(t.Context(), c, 400, 32); err != nil {
			t.Fatal(err)
		}
		l.wantAtMost(t, 150)
	})
}

// The governor uses the rest of its share, and nothing of the share of other
// clients.
func TestGovernorUsesWhatIsLeftOfTheShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(1, 100, nil)
		l.others[0] = 40
		if err := readers(t.Context(), governed(t, slow(l), 0.5, 1), 30, 1); err != nil {
			t.Fatal(err)
		}
		if l.own[0] != 10 {
			t.Errorf("%d requests, want 10: 60 remain, and 50 are for other clients", l.own[0])
		}
	})
}

// A limit that changes during a window applies immediately.
func TestGovernorAppliesAChangedLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(1, 100, nil)
		c := governed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			left, reset, _ := l.take(l.own)
			if limit := 100; left >= 95 {
				l.setHeaders(w, limit, left, reset)
			} else {
				l.setHeaders(w, 40, left-60, reset)
			}
			okay(w, r)
		}), 0.5, 1)
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		readers(ctx, c, 60, 1)
		if l.own[0] != 20 {
			t.Errorf("%d requests, want half of 40", l.own[0])
		}
	})
}

// The governor sends one request first in a new window, even if the response to an
// older request arrives at the same time.
func TestGovernorProbesANewWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, g := newLimits(1, 300, nil), oktaclient.NewGovernor(1, 8)
		c := newClient(t, "http://127.0.0.1", &http.Client{Transport: inProcess{slow(l)}}, func(cfg *oktaclient.Config) { cfg.Governor = g })
		sent := func() (n int) {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, used := range l.own {
				n += used
			}
			return n
		}
		var all sync.WaitGroup
		all.Go(func() { get(t.Context(), c, 8, "?takes=2s") })
		time.Sleep(time.Second)
		if n := sent(); n != 1 {
			t.Errorf("%d requests before the first response, want 1", n)
		}
		all.Wait()
		over := g.Limits()[0].Reset
		time.Sleep(time.Until(over) - time.Second)
		all.Go(func() { get(t.Context(), c, 1, "?takes=3s") }) // in the old window
		time.Sleep(time.Until(over) + time.Millisecond)
		all.Go(func() { get(t.Context(), c, 6, "?takes=4s") })
		time.Sleep(3 * time.Second)
		if n := sent(); n != 8+1+1 {
			t.Errorf("%d requests before the first response of the next window, want 1", n-8-1)
		}
		all.Wait()
	})
}

// A late response doesn't raise the remaining requests.
func TestGovernorKeepsTheLeastRemaining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(1, 100, nil)
		l.begun = time.Now()
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		c := governed(t, slow(l), 0.5, 32)
		get(ctx, c, 1, "")
		var late sync.WaitGroup
		late.Go(func() { get(ctx, c, 1, "?takes=2s") })
		time.Sleep(time.Second)
		l.mu.Lock()
		l.others[0] = 45
		l.mu.Unlock()
		get(ctx, c, 1, "")
		late.Wait()
		get(ctx, c, 20, "?takes=1s")
		if l.own[0] != 5 {
			t.Errorf("%d requests, want 5: the rest is for other clients", l.own[0])
		}
	})
}

// Used-up windows that are hours apart start no trickle.
func TestTrickleNeedsConsecutiveWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(1, 300, nil)
		c := governed(t, slow(l), 0.5, 8)
		for range 5 {
			w := l.window(time.Now())
			l.others[w] = 200
			ctx, stop := context.WithTimeout(t.Context(), 8*time.Second)
			get(ctx, c, 4, "")
			stop()
			if l.own[w] != 1 {
				t.Errorf("window %d: %d requests, want 1", w, l.own[w])
			}
			time.Sleep(time.Hour)
		}
	})
}

// Many simultaneous 429s lower the number in flight once. It grows again to the
// configured number.
func TestGovernorLowersConcurrencyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		l, n, inFlight, most := newLimits(1, 1<<20, nil), 0, 0, 0
		c := governed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			n++
			crowded := n > 1 && n <= 17
			inFlight++
			if !crowded {
				most = max(most, inFlight)
			}
			mu.Unlock()
			time.Sleep(5 * time.Second)
			mu.Lock()
			inFlight--
			mu.Unlock()
			if crowded {
				limited(w, "0", "0", time.Now().Add(time.Minute))
				fail(w, 429, "E0000047")
				return
			}
			left, reset, _ := l.take(l.own)
			l.setHeaders(w, l.limit, left, reset)
			okay(w, r)
		}), 1, 16)
		get(t.Context(), c, 1, "")
		get(t.Context(), c, 16, "")
		if most != 8 {
			t.Errorf("%d in flight after sixteen 429s, want 8", most)
		}
		if err := readers(t.Context(), c, 1000, 24); err != nil || most != 16 {
			t.Errorf("%d in flight at the end, want 16; %v", most, err)
		}
	})
}

// Configure admits a waiting request if it raises the concurrency.
func TestConfigureAdmitsAWaitingRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, g := newLimits(1, 300, nil), oktaclient.NewGovernor(0.5, 1)
		c := newClient(t, "http://127.0.0.1", &http.Client{Transport: inProcess{slow(l)}}, func(cfg *oktaclient.Config) { cfg.Governor = g })
		get(t.Context(), c, 1, "")
		var all sync.WaitGroup
		began := time.Now()
		all.Go(func() { get(t.Context(), c, 2, "?takes=20s") })
		time.Sleep(time.Second)
		g.Configure(0.5, 2)
		all.Wait()
		if took := time.Since(began); took > 22*time.Second {
			t.Errorf("two requests of 20 s took %v, want at most 22s: both at the same time", took)
		}
	})
}

package oktaclient_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"

	"golang.org/x/sync/errgroup"
)

// limits counts requests in windows of a minute, like Okta: windows don't start on
// the minute, and resets are in whole seconds of the server's clock.
type limits struct {
	http.Handler
	limit   int
	ahead   time.Duration // local clock minus Okta's
	latency time.Duration

	mu      sync.Mutex
	random  *rand.Rand
	begun   time.Time   // start of window 0
	own     map[int]int // requests of the governor, by window
	others  map[int]int // requests of other clients, by window
	refused int
	rest    int         // requests that the governor must leave in a window
	taken   map[int]int // requests of the governor below rest, by window
}

func (l *limits) window(now time.Time) int { return int(now.Sub(l.begun) / time.Minute) }

// take counts a request and returns the remaining ones.
func (l *limits) take(by map[int]int) (left int, reset time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.window(time.Now())
	left = l.limit - l.own[w] - l.others[w]
	reset = l.begun.Add(time.Duration(w+1) * time.Minute)
	if left <= 0 {
		return 0, reset, false
	}
	by[w]++
	return left - 1, reset, true
}

func (l *limits) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	jitter := time.Duration(l.random.Int64N(int64(l.latency/10 + 1)))
	l.mu.Unlock()
	time.Sleep(l.latency/2 + jitter)
	left, reset, ok := l.take(l.own)
	if left < l.rest {
		l.mu.Lock()
		l.taken[l.window(time.Now())]++
		l.mu.Unlock()
	}
	h := w.Header()
	h.Set("X-Okta-Request-Id", "req")
	h.Set("X-Rate-Limit-Limit", strconv.Itoa(l.limit))
	h.Set("X-Rate-Limit-Remaining", strconv.Itoa(left))
	h.Set("X-Rate-Limit-Reset", strconv.FormatInt(reset.Add(-l.ahead).Unix(), 10))
	h.Set("Date", time.Now().Add(-l.ahead).UTC().Format(http.TimeFormat))
	time.Sleep(l.latency / 2)
	if !ok {
		l.mu.Lock()
		l.refused++
		l.mu.Unlock()
		fail(w, 429, "E0000047")
		return
	}
	l.Handler.ServeHTTP(w, r)
}

// wantAtMost fails t if a window had more than most requests of the client.
func (l *limits) wantAtMost(t *testing.T, most int) {
	t.Helper()
	for w, used := range l.own {
		if used > most {
			t.Errorf("window %d: %d requests, want at most %d", w, used, most)
		}
	}
}

// newLimits returns limits whose first window began at most 50 seconds ago.
func newLimits(seed uint64, limit int, h http.Handler) *limits {
	random := rand.New(rand.NewPCG(seed, 1))
	begun := time.Now().Add(-time.Duration(random.Int64N(int64(50 * time.Second))))
	return &limits{Handler: h, limit: limit, random: random, begun: begun, own: map[int]int{}, others: map[int]int{}, taken: map[int]int{}}
}

// bySeed runs f in several bubbles. In each, the windows begin at another second.
func bySeed(t *testing.T, f func(t *testing.T, seed uint64)) {
	seeds := uint64(3)
	if os.Getenv("OKTASYNC_LONG_TESTS") != "" {
		seeds = 100
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, seed) })
		})
	}
}

var okay = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })

// readers makes n requests through c, several at a time.
func readers(ctx context.Context, c *oktaclient.Client, n, concurrency int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for range n {
		group.Go(func() error {
			_, err := c.Get(ctx, "/api/v1/users", nil)
			return err
		})
	}
	return group.Wait()
}

// No window has more requests than the share, no request is rejected, and all
// requests take no longer than the share allows.
func TestGovernorSpendsItsShare(t *testing.T) {
	for _, test := range []struct {
		share       float64
		concurrency int
		requests    int
		latency     time.Duration
		ahead       time.Duration
	}{
		{0.5, 1, 200, 0, 0},
		{0.5, 8, 200, 300 * time.Millisecond, 0},
		{1, 8, 500, 300 * time.Millisecond, 700 * time.Millisecond},
		{1, 1, 500, 0, time.Hour},
		{0.5, 32, 700, 100 * time.Millisecond, -1300 * time.Millisecond},
		{0.1, 4, 100, 20 * time.Millisecond, 0},
	} {
		t.Run(fmt.Sprintf("share %v, %d at once", test.share, test.concurrency), func(t *testing.T) {
			bySeed(t, func(t *testing.T, seed uint64) {
				l := newLimits(seed, 300, okay)
				l.latency, l.ahead = test.latency, test.ahead
				c := governed(t, l, test.share, test.concurrency)
				began := time.Now()
				if err := readers(t.Context(), c, test.requests, test.concurrency); err != nil {
					t.Fatal(err)
				}
				own := int(test.share * 300)
				l.wantAtMost(t, own)
				if l.refused > 0 {
					t.Errorf("%d requests refused", l.refused)
				}
				bound := time.Duration(math.Ceil(float64(test.requests)/float64(own))-1)*time.Minute + time.Duration(test.requests/test.concurrency+2)*test.latency*11/10
				if took := time.Since(began); took > bound*105/100 {
					t.Errorf("took %v, want at most 1.05 times %v", took, bound)
				}
			})
		})
	}
}

// governed reads through l in a bubble.
func governed(t *testing.T, l http.Handler, share float64, concurrency int) *oktaclient.Client {
	return newClient(t, "http://127.0.0.1", &http.Client{Transport: inProcess{l}}, func(cfg *oktaclient.Config) {
		cfg.RateLimitShare, cfg.Concurrency, cfg.BaseWait = share, concurrency, 0
	})
}

// Another client starts to use 60 % of the limit during a read.
func TestGovernorLeavesTheShareOfOthers(t *testing.T) {
	bySeed(t, func(t *testing.T, seed uint64) {
		l := newLimits(seed, 300, okay)
		l.latency, l.rest = 300*time.Millisecond, 150
		ctx, stop := context.WithCancel(t.Context())
		var others sync.WaitGroup
		defer others.Wait()
		defer stop()
		others.Go(func() {
			time.Sleep(30 * time.Second)
			for ctx.Err() == nil {
				l.take(l.others)
				time.Sleep(time.Minute / 180)
			}
		})
		if err := readers(t.Context(), governed(t, l, 0.5, 32), 700, 32); err != nil {
			t.Fatal(err)
		}
		if l.refused > 2 {
			t.Errorf("%d requests refused, want at most 2", l.refused)
		}
		for w, used := range l.own {
			if l.taken[w] > 2 { // other clients can take these during a request
				t.Errorf("window %d: %d requests of the share of other clients, want at most 2", w, l.taken[w])
			}
			if used > 150 {
				t.Errorf("window %d: %d requests, want at most 150", w, used)
			}
		}
	})
}

// Other clients use most of every window as soon as it begins.
func TestGovernorSendsATrickle(t *testing.T) {
	bySeed(t, func(t *testing.T, seed uint64) {
		l := newLimits(seed, 300, okay)
		ctx, stop := context.WithCancel(t.Context())
		var others sync.WaitGroup
		defer others.Wait()
		defer stop()
		others.Go(func() {
			for ctx.Err() == nil {
				for range 200 {
					l.take(l.others)
				}
				time.Sleep(time.Until(l.begun.Add(time.Duration(l.window(time.Now())+1) * time.Minute)))
			}
		})
		synctest.Wait()
		began := time.Now()
		if err := readers(t.Context(), governed(t, l, 0.5, 8), 60, 8); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 12*time.Minute || took < 5*time.Minute {
			t.Errorf("took %v, want about ten requests per minute", took)
		}
		l.wantAtMost(t, 13)
	})
}

// Other clients leave less than 5 % of every window. The governor sends one request
// per window.
func TestTrickleLeavesFivePercent(t *testing.T) {
	bySeed(t, func(t *testing.T, seed uint64) {
		l := newLimits(seed, 300, okay)
		for w := range 20 {
			l.others[w] = 290
		}
		ctx, stop := context.WithTimeout(t.Context(), 15*time.Minute)
		defer stop()
		err := readers(ctx, governed(t, l, 0.5, 32), 100, 32)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get() = %v, want the deadline", err)
		}
		l.wantAtMost(t, 1)
		if len(l.own) < 14 {
			t.Errorf("requests in %d windows, want in each of 15", len(l.own))
		}
	})
}

// A 429 with a limit of 0 lowers the number of requests in flight.
func TestGovernorLowersConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		inFlight, most, refused, n := 0, 0, 0, 0
		crowded := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			n++
			inFlight++
			many := inFlight > 3
			if many {
				refused++
			}
			if n > 100 {
				most = max(most, inFlight)
			}
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			inFlight--
			mu.Unlock()
			if many {
				limited(w, "0", "0", time.Now().Add(time.Minute))
				fail(w, 429, "E0000047")
				return
			}
			limited(w, "6000", "5000", time.Now().Add(time.Minute))
			okay(w, nil)
		})
		if err := readers(t.Context(), governed(t, crowded, 1, 16), 1000, 16); err != nil {
			t.Fatal(err)
		}
		if refused > 60 || most > 5 {
			t.Errorf("%d of %d requests refused, %d in flight at most; want at most 60 and 5", refused, n, most)
		}
	})
}

// Clients share a governor. Limits returns its state.
func TestGovernorIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(1, 100, okay)
		governor := oktaclient.NewGovernor(0.5, 1)
		client := func() *oktaclient.Client {
			return newClient(t, "http://127.0.0.1", &http.Client{Transport: inProcess{l}}, func(cfg *oktaclient.Config) {
				cfg.Governor = governor
			})
		}
		for range 2 {
			if err := readers(t.Context(), client(), 20, 2); err != nil {
				t.Fatal(err)
			}
		}
		got := governor.Limits()
		if len(got) != 1 || got[0].Bucket != "users" || got[0].Limit != 100 || got[0].Used != 40 || got[0].Share != 50 || got[0].Remaining != 60 || got[0].Waiting != 0 {
			t.Errorf("Limits() = %+v", got)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- readers(ctx, client(), 20, 20) }()
		time.Sleep(time.Second)
		if got := governor.Limits()[0]; got.Used != 50 || got.Waiting != 10 || got.Reason == "" || !got.Reset.After(time.Now()) {
			t.Errorf("Limits() = %+v, want 10 waiting", got)
		}
		stop()
		<-done
		if got := governor.Limits()[0]; got.Waiting != 0 {
			t.Errorf("Limits() = %+v, want none waiting", got)
		}
	})
}

// A window that ends in a year, after an error of Okta's clock, ends after the
// longest wait for a limit.
func TestGovernorBoundsTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(1, 300, okay)
		l.latency = 20 * time.Millisecond
		first := true
		c := governed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !first {
				l.ServeHTTP(w, r)
				return
			}
			first = false
			limited(w, "300", "299", time.Now().AddDate(1, 0, 0))
			okay(w, r)
		}), 0.5, 4)
		if err := readers(t.Context(), c, 1, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if err := readers(t.Context(), c, 600, 4); err != nil {
			t.Fatal(err)
		}
		l.wantAtMost(t, 150)
	})
}

// A reset beyond the range of time.Duration is waited for as long as any other.
func TestResetOutOfRange(t *testing.T) {
	for _, reset := range []string{"9223372036854775807", "1795586400000" /* milliseconds */} {
		synctest.Test(t, func(t *testing.T) {
			n, began := 0, time.Now()
			c := newClient(t, "http://127.0.0.1", &http.Client{Transport: inProcess{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if n++; n > 1 {
					okay(w, nil)
					return
				}
				limited(w, "300", "0", time.Now())
				w.Header().Set("X-Rate-Limit-Reset", reset)
				fail(w, 429, "E0000047")
			})}}, nil)
			if err := readers(t.Context(), c, 1, 1); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(began); waited != 5*time.Minute {
				t.Errorf("reset %s: waited %v, want 5m", reset, waited)
			}
		})
	}
}

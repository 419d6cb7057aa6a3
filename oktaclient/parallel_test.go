package oktaclient_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
)

// known returns q with the values of an earlier read: KnownBefore, and borders
// between ranges of size users.
func known(q oktaclient.Query, org *sandbox.Org, size int) oktaclient.Query {
	var updated []string
	for _, text := range org.UsersJSON() {
		_, rest, _ := strings.Cut(string(text), `"lastUpdated":"`)
		updated = append(updated, rest[:24])
	}
	slices.Sort(updated)
	for i := size; i < len(updated); i += size {
		for i > 0 && updated[i-1] == updated[i] {
			i-- // users with equal lastUpdated stay in one range
		}
		q.KnownBefore, _ = time.Parse(time.RFC3339, updated[i])
		q.Borders = append(q.Borders, q.KnownBefore)
	}
	return q
}

// onSettle calls f at the start of each pass of settling.
func onSettle(f func()) func(oktaclient.Phase) {
	return func(p oktaclient.Phase) {
		if p == oktaclient.PhaseSettle {
			f()
		}
	}
}

// A span that is cut for idle workers is not read again as a whole, even if the
// workers get other spans first.
func TestParallelCutIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := settled(2000)
		cfg.Latency = 300 * time.Millisecond
		b := newSandbox(t, cfg)
		q, s := known(everyone, b.org, 1000), &sink{} // two spans for four workers
		c := newClient(t, b.org.URL(), &http.Client{Transport: &lateBody{RoundTripper: b}}, func(cfg *oktaclient.Config) {
			cfg.RateLimitShare, cfg.Concurrency, cfg.PageSize = 1, 4, 50
		})
		if _, err := c.Read(t.Context(), q, s); err != nil {
			t.Fatal(err)
		}
		checkResult(t, b.org, s)
		requested := map[string]bool{}
		for _, r := range s.requests {
			if requested[r.Path] {
				t.Errorf("%s was requested twice", r.Path)
			}
			requested[r.Path] = true
		}
	})
}

// lateBody delays the body of the first page with a cursor.
type lateBody struct {
	http.RoundTripper
	once sync.Once
}

func (l *lateBody) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Query().Has("after") {
		l.once.Do(func() { resp.Body = &slowStart{ReadCloser: resp.Body} })
	}
	return resp, err
}

type slowStart struct {
	io.ReadCloser
	once sync.Once
}

func (s *slowStart) Read(b []byte) (int, error) {
	s.once.Do(func() { time.Sleep(time.Second) })
	return s.ReadCloser.Read(b)
}

// speed reads 20,000 users at 300 ms per request. It returns the duration without
// the settling pass, and the number of requests.
func speed(t *testing.T, concurrency int, imported float64, again bool) (took time.Duration, requests int) {
	synctest.Test(t, func(t *testing.T) {
		cfg := settled(20_000)
		cfg.Latency, cfg.Imported, cfg.RateLimit = 300*time.Millisecond, imported, sandbox.Limits(1<<20)
		cfg.CachePages = true
		b := newSandbox(t, cfg)
		q := everyone
		if again {
			q = known(q, b.org, 200)
		}
		c := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency, cfg.PageSize = concurrency, 0 })
		users := 0
		began := time.Now()
		result, err := c.Read(t.Context(), q, counter{&users})
		if err != nil || users < 20_000 {
			t.Fatalf("read %d users: %v", users, err)
		}
		took, requests = time.Since(began)-300*time.Millisecond, result.Requests // less the settling pass
	})
	return took, requests
}

// A parallel read takes at most 1/6 of the serial time with borders, and 1/4
// without.
func TestParallelSpeed(t *testing.T) {
	serial := 20_000 / 200 * 300 * time.Millisecond
	if long() {
		if took, _ := speed(t, 1, 0, false); took != serial {
			t.Errorf("serial: took %v, want %v", took, serial)
		}
	}
	for _, imported := range []float64{0, 0.6} {
		for _, test := range []struct {
			known bool
			part  time.Duration
		}{{true, 6}, {false, 4}} {
			name := fmt.Sprintf("imported %v, borders known %t", imported, test.known)
			took, requests := speed(t, 8, imported, test.known)
			if took > serial/test.part {
				t.Errorf("%s: took %v in %d requests, want at most 1/%d of %v", name, took, requests, test.part, serial)
			}
		}
	}
}

// With a rate limit, a read takes at most 1.05 of its bound, no window has more
// requests than the share, and no request is rejected.
func TestParallelPaced(t *testing.T) {
	tests := []struct {
		users int
		share float64
	}{{40_000, 0.5}, {100_000, 1}}
	if !long() {
		tests = tests[:1]
	}
	for _, test := range tests {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d users, share %v, borders known %t", test.users, test.share, known), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					if took, bound := paced(t, test.users, test.share, known); took > bound*105/100 {
						t.Errorf("took %v, want at most 1.05 of %v", took, bound)
					}
				})
			})
		}
	}
}

// BenchmarkPaced is the same in real time. It takes some minutes.
func BenchmarkPaced(b *testing.B) {
	for b.Loop() {
		took, bound := paced(b, 100_000, 1, false)
		b.ReportMetric(took.Seconds()/bound.Seconds(), "bounds")
	}
}

// paced reads users with a limit of 300 per minute. The bound is the windows that
// the requests need, without the last one.
func paced(t testing.TB, users int, share float64, again bool) (took, bound time.Duration) {
	const limit = 300
	cfg := settled(users)
	cfg.Latency, cfg.RateLimit, cfg.ClientShare = 50*time.Millisecond, sandbox.Limits(limit), 1
	o := newSandbox(t, cfg)
	q := everyone
	if again {
		q = known(q, o.org, 200)
	}
	windows := &windows{RoundTripper: o, used: map[string]int{}}
	c := newClient(t, o.org.URL(), &http.Client{Transport: windows}, func(cfg *oktaclient.Config) {
		cfg.BaseWait, cfg.Concurrency, cfg.PageSize, cfg.RateLimitShare = 0, 8, 200, share
	})
	untilNextWindow(t, c, "/api/v1/users")
	began, read := time.Now(), 0
	if _, err := c.Read(t.Context(), q, counter{&read}); err != nil || read < users {
		t.Fatalf("read %d users: %v", read, err)
	}
	pages, each := users/200, int(share*limit)
	for at, n := range windows.used {
		if n > each {
			t.Errorf("%d requests in the window that ends at %s, want at most %d", n, at, each)
		}
	}
	if n := o.org.Stats().RateLimited; n > 0 {
		t.Errorf("%d requests refused", n)
	}
	return time.Since(began), time.Duration((pages+each-1)/each-1) * time.Minute
}

// untilNextWindow waits for the start of a window of a list.
func untilNextWindow(t testing.TB, c *oktaclient.Client, path string) {
	resp, err := c.Get(t.Context(), path+"?limit=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	reset, err := strconv.ParseInt(resp.Header.Get("X-Rate-Limit-Reset"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.Unix(reset+1, 0)))
}

// windows counts the responses of each window.
type windows struct {
	http.RoundTripper
	mu   sync.Mutex
	used map[string]int // by their reset
}

func (w *windows) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(r)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.used[resp.Header.Get("X-Rate-Limit-Reset")]++
	}
	return resp, err
}

// long reports whether to run the long forms of the tests.
func long() bool { return os.Getenv("OKTASYNC_LONG_TESTS") == "1" }

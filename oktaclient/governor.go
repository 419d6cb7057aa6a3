package oktaclient

import (
	"context"
	"strings"
	"sync"
	"time"
)

const (
	sameReset   = 2 * time.Second // resets this near are one window's, told at different times
	probeEvery  = 5 * time.Second // how long one request may be awaited that tells of a window
	trickle     = 5 * time.Second // between requests, where others leave nothing
	starved     = 2               // windows in a row in which they must have done so before
	trickleRest = 0.05            // of the limit, that a trickle leaves in any case
	maxWindow   = 3 * time.Minute // resets further apart are not of windows in a row
	calm        = 50              // answers after which one request more may be in flight again
)

// Governor keeps the requests of all clients of an org within their share of
// its rate limits. It learns each bucket's limit, rest and reset from the
// headers of every answer, so that it needs no 429 to learn. A window's share is
// spent as fast as may be, and then the next window is awaited. In every window
// we use no more than our share, and nothing once only the others' share is
// left, whoever used the rest; but where others leave us next to nothing for
// minutes, a request goes out every few seconds.
//
// A Governor belongs to an org and not to a configuration: a program that
// makes its clients anew hands the old Governor on. It may be used by several
// goroutines at once.
type Governor struct {
	mu       sync.Mutex
	share    float64
	ceiling  int // most in flight that is configured
	most     int // most in flight now; Okta may have asked for fewer
	lowered  time.Time
	calm     int // answers since
	inFlight int
	buckets  map[string]*bucket
	changed  chan struct{} // closed when a wait may be over before its time
}

// NewGovernor returns a governor with these settings; see [Governor.Configure].
func NewGovernor(share float64, concurrency int) *Governor {
	g := &Governor{buckets: map[string]*bucket{}, changed: make(chan struct{})}
	g.Configure(share, concurrency)
	return g
}

// Configure sets the share of each rate limit, 0 < share <= 1, and the most
// requests in flight of all clients of g. It applies to waiting requests, too.
// Values out of range become the nearest that is valid.
func (g *Governor) Configure(share float64, concurrency int) {
	share, concurrency = min(max(share, 0), 1), max(concurrency, 1)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.share, g.ceiling, g.most = share, concurrency, concurrency
	g.wake()
}

func (g *Governor) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// bucket is one of Okta's rate-limit buckets, guarded by the governor.
type bucket struct {
	known     bool      // an answer had the headers
	silent    bool      // one had not, and none had
	window    rateLimit // as told by the newest window's answers; remaining is the least of them
	until     time.Time // by our clock, when the window is over for certain
	used      int       // requests of ours in the window
	inFlight  int
	sent      time.Time // the last request
	probing   bool      // that one is to tell of the next window
	blocked   time.Time // a Retry-After's end
	cut       bool      // others left us hardly anything of this window
	starved   int       // windows in a row before this one in which they did so
	mentioned time.Time // the end of the wait that was last told of
	waiting   int
	held      hold // why the one that asked last has to wait
}

// hold is why a request has to wait, and until when at most.
type hold struct {
	reason string // "": it may be sent
	until  time.Time
}

// paced is whether the limit is why.
func (h hold) paced() bool {
	return h.reason == holdBlocked || h.reason == holdShare || h.reason == holdOthers
}

// Reasons to hold a request.
const (
	holdInFlight = "requests in flight"
	holdProbe    = "an answer that tells the limit"
	holdBlocked  = "the time that Okta named"
	holdShare    = "the next window, our share of this one is used"
	holdOthers   = "the next window, others have used this one"
)

// enter waits until a request of the bucket may be sent, and returns when that
// is: now. It tells of a long wait once. A request that was let in must leave.
func (g *Governor) enter(ctx context.Context, name string, tell func(Limit)) (time.Time, error) {
	for waited := false; ; waited = true {
		now := time.Now()
		h, changed, news := g.try(name, now, waited)
		if h.reason == "" {
			return now, nil
		}
		if news != nil {
			tell(*news)
		}
		t := time.NewTimer(h.until.Sub(now))
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			g.mu.Lock()
			g.buckets[name].waiting--
			g.mu.Unlock()
			return now, context.Cause(ctx)
		}
		t.Stop()
	}
}

// try takes a place for a request of the bucket, or says why not; changed is
// closed when that may be over before its time, and news is how the bucket
// stands where nobody was told of so long a wait yet.
func (g *Governor) try(name string, now time.Time, waited bool) (h hold, changed <-chan struct{}, news *Limit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.buckets[name]
	if b == nil {
		b = &bucket{}
		g.buckets[name] = b
	}
	if waited {
		b.waiting--
	}
	if g.inFlight >= g.most {
		h = hold{holdInFlight, now.Add(time.Minute)}
	} else {
		h = b.hold(now, g.share)
	}
	if b.held = h; h.reason != "" {
		b.waiting++
		end := h.until
		if h.reason == holdOthers {
			end = b.until // a trickle is no end of the wait
		}
		if h.paced() && end.Sub(now) > trickle && end.After(b.mentioned) {
			b.mentioned = end
			l := b.limit(name, g.share)
			l.Until, news = end, &l
		}
		return h, g.changed, news
	}
	b.probing = !b.known || !now.Before(b.until)
	b.sent = now
	b.inFlight++
	g.inFlight++
	return h, nil, nil
}

// hold says whether a request may be sent now.
func (b *bucket) hold(now time.Time, share float64) hold {
	own := b.own(share)
	rest := b.window.limit - own
	left := b.window.remaining - b.inFlight - 1 // after this request, if the others stop
	switch {
	case now.Before(b.blocked):
		return hold{holdBlocked, b.blocked}
	case !b.known && b.silent:
		return hold{}
	case !b.known || !now.Before(b.until): // one request first, to tell of the window
		if next := b.sent.Add(probeEvery); b.probing && now.Before(next) {
			return hold{holdProbe, next}
		}
		return hold{}
	case b.used+b.inFlight+1 > own:
		return hold{holdShare, b.until}
	case left >= rest:
		return hold{}
	case b.inFlight > 0: // the answers may count them already
		return hold{holdInFlight, b.until}
	}
	b.cut = b.cut || b.used <= own/10
	if b.starved >= starved && left > int(trickleRest*float64(b.window.limit)) {
		next := b.sent.Add(trickle)
		if !now.Before(next) {
			return hold{}
		}
		return hold{holdOthers, earliest(next, b.until)}
	}
	return hold{holdOthers, b.until}
}

// own is how many requests of a window we may use.
func (b *bucket) own(share float64) int {
	return max(int(share*float64(b.window.limit)), 1)
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// outcome is what a request tells a governor.
type outcome struct {
	sent  time.Time // when it was let in
	told  bool      // there were rate-limit headers:
	limit rateLimit //
	until time.Time // by our clock, when limit.reset is past for certain
	retry time.Time // by our clock, the end of a Retry-After; zero: none
}

// leave gives a request's place back.
func (g *Governor) leave(name string, now time.Time, o outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.wake()
	b := g.buckets[name]
	b.inFlight--
	g.inFlight--
	b.probing = b.probing && b.sent.After(o.sent)
	if o.retry.After(b.blocked) {
		b.blocked = o.retry
	}
	if o.told && o.limit.crowded() {
		if o.sent.After(g.lowered) { // not once more for those sent before
			g.most, g.lowered, g.calm = max(g.most/2, 1), now, 0
		}
		o.told = false
	} else if g.calm++; g.calm >= calm && g.most < g.ceiling {
		g.most, g.calm = g.most+1, 0
	}
	b.observe(o)
}

// observe counts an answer in the window that it fell into.
func (b *bucket) observe(o outcome) {
	switch {
	case !o.told: // it may have counted for Okta
		b.silent = !b.known
		b.used++
		b.window.remaining = max(b.window.remaining-1, 0)
	case !b.known, o.limit.reset.After(b.window.reset.Add(sameReset)),
		!o.sent.Before(b.until): // whatever the reset: Okta's clock may have been off, or be set
		if b.starved++; !b.cut || o.limit.reset.Sub(b.window.reset).Abs() > maxWindow {
			b.starved = 0
		}
		b.known, b.silent, b.cut = true, false, false
		b.window, b.until, b.used = o.limit, o.until, 1
	case o.limit.reset.After(b.window.reset.Add(-sameReset)):
		b.used++
		b.window.limit = o.limit.limit
		b.window.remaining = min(b.window.remaining, o.limit.remaining)
		b.until = earliest(b.until, o.until) // each is late by up to a second and a round trip
	}
}

// bucketOf names the bucket that a path's requests count in, as far as a path
// tells: Okta has limits by pattern, in which every second part is an id.
func bucketOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/api/v1/"), "/")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = "*"
	}
	return strings.Join(parts, "/")
}

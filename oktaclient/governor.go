package oktaclient

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	sameReset      = 2 * time.Second // resets that differ by less are of one window
	probeEvery     = 5 * time.Second // longest wait for the first response of a window
	trickleEvery   = 5 * time.Second // between requests while other clients use up the limit
	starvedWindows = 2               // consecutive windows that others used up, before the trickle starts
	trickleRest    = 0.05            // of the limit, which the trickle leaves
	longWait       = 2 * window      // a person should look at a longer one
	maxWindow      = 3 * time.Minute // resets that differ by more are not of consecutive windows
	calmResponses  = 50              // responses until one more request may be in flight
)

// Governor keeps the requests of all its clients within a share of an org's rate
// limits. It takes the state of each bucket from the rate-limit headers of every
// response, so it doesn't provoke a 429.
//
// In each window, the governor uses its share as fast as possible and then waits
// for the next window. It stops earlier when only the share of other clients is
// left. If others use up the limit for several windows, it still sends a request
// every few seconds.
//
// A Governor belongs to an org. A program that replaces its client passes the
// Governor to the new one. Its methods may be called concurrently.
type Governor struct {
	mu       sync.Mutex
	share    float64
	ceiling  int // most in flight, as configured
	most     int // most in flight now, fewer after a 429 for too many
	lowered  time.Time
	calm     int // responses since then
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
	known    bool      // a response had the headers
	silent   bool      // there were responses, and none had the headers
	window   rateLimit // of the newest window; remaining is the least of its responses
	until    time.Time // local, when the window has certainly ended
	used     int       // requests of this governor in the window
	inFlight int
	sent     time.Time // the last request
	probing  bool      // the last request will show the next window
	blocked  time.Time // end of a Retry-After
	cut      bool      // other clients used up this window
	starved  int       // consecutive windows before this one that they used up
	reported time.Time // end of the wait that was reported last
	waiting  int
	delayed  delay // of the newest request
}

// delay is the reason why a request waits, and the latest end of the wait.
type delay struct {
	reason string // "": no wait
	until  time.Time
}

// limited reports whether the rate limit is the reason.
func (d delay) limited() bool {
	return d.reason == delayRetryAfter || d.reason == delayShare || d.reason == delayOthers
}

// The reasons of a delay: what the request waits for.
const (
	delayInFlight   = "requests in flight"
	delayProbe      = "a response that shows the limit"
	delayRetryAfter = "the end of Retry-After"
	delayShare      = "the next window: the share of this window is used"
	delayOthers     = "the next window: other clients have used this window"
)

// enter waits until a request of the bucket may be sent, and returns the time. It
// reports a long wait once. After enter, the caller must call leave.
func (g *Governor) enter(ctx context.Context, name string, report func(Limit)) (time.Time, error) {
	for waited := false; ; waited = true {
		now := time.Now()
		d, changed, wait := g.try(name, now, waited)
		if d.reason == "" {
			return now, nil
		}
		if wait != nil {
			report(*wait)
		}
		t := time.NewTimer(d.until.Sub(now))
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

// try admits a request of the bucket, or returns a delay. changed is closed when
// the delay may end early. wait is the state of the bucket at the start of a long
// wait, and otherwise nil.
func (g *Governor) try(name string, now time.Time, waited bool) (d delay, changed <-chan struct{}, wait *Limit) {
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
		d = delay{delayInFlight, now.Add(time.Minute)}
	} else {
		d = b.delay(now, g.share)
	}
	if b.delayed = d; d.reason != "" {
		b.waiting++
		end := d.until
		if d.reason == delayOthers {
			end = b.until // the trickle doesn't end the wait
		}
		if d.limited() && end.Sub(now) > trickleEvery && end.After(b.reported) {
			b.reported = end
			l := b.limit(name, g.share)
			l.Until, wait = end, &l
		}
		return d, g.changed, wait
	}
	b.probing = !b.known || !now.Before(b.until)
	b.sent = now
	b.inFlight++
	g.inFlight++
	return d, nil, nil
}

// delay returns the delay of a request at now.
func (b *bucket) delay(now time.Time, share float64) delay {
	own := b.own(share)
	rest := b.window.limit - own
	left := b.window.remaining - b.inFlight - 1 // after this request, if other clients send none
	switch {
	case now.Before(b.blocked):
		return delay{delayRetryAfter, b.blocked}
	case !b.known && b.silent:
		return delay{}
	case !b.known || !now.Before(b.until): // one request first, which shows the window
		if next := b.sent.Add(probeEvery); b.probing && now.Before(next) {
			return delay{delayProbe, next}
		}
		return delay{}
	case b.used+b.inFlight+1 > own:
		return delay{delayShare, b.until}
	case left >= rest:
		return delay{}
	case b.inFlight > 0: // remaining may include them already
		return delay{delayInFlight, b.until}
	}
	b.cut = b.cut || b.used <= own/10
	if b.starved >= starvedWindows && left > int(trickleRest*float64(b.window.limit)) {
		next := b.sent.Add(trickleEvery)
		if !now.Before(next) {
			return delay{}
		}
		return delay{delayOthers, earliest(next, b.until)}
	}
	return delay{delayOthers, b.until}
}

// own returns the share of a window in requests.
func (b *bucket) own(share float64) int {
	return max(int(share*float64(b.window.limit)), 1)
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// outcome is the result of a request for the governor.
type outcome struct {
	sent    time.Time // when it was admitted
	limited bool      // limit and until are set
	limit   rateLimit // the rate-limit headers
	until   time.Time // local, when limit.reset has certainly passed
	retry   time.Time // local, the end of a Retry-After; zero: none
}

// leave ends a request.
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
	if o.limited && o.limit.crowded() {
		if o.sent.After(g.lowered) { // only once for all requests in flight
			g.most, g.lowered, g.calm = max(g.most/2, 1), now, 0
		}
		o.limited = false
	} else if g.calm++; g.calm >= calmResponses && g.most < g.ceiling {
		g.most, g.calm = g.most+1, 0
	}
	b.observe(o)
}

// observe counts a response in its window.
func (b *bucket) observe(o outcome) {
	switch {
	case !o.limited: // Okta may have counted it
		b.silent = !b.known
		b.used++
		b.window.remaining = max(b.window.remaining-1, 0)
	case !b.known, o.limit.reset.After(b.window.reset.Add(sameReset)),
		!o.sent.Before(b.until): // or Okta's clock was set
		if b.starved++; !b.cut || o.limit.reset.Sub(b.window.reset).Abs() > maxWindow {
			b.starved = 0
		}
		b.known, b.silent, b.cut = true, false, false
		b.window, b.until, b.used = o.limit, o.until, 1
	case o.limit.reset.After(b.window.reset.Add(-sameReset)):
		b.used++
		b.window.limit = o.limit.limit
		b.window.remaining = min(b.window.remaining, o.limit.remaining)
		b.until = earliest(b.until, o.until) // each is too late by up to a second and a round trip
	}
}

// Limit is the state of one of Okta's rate-limit buckets. Okta's headers have the limit of
// the app that sends the requests, by default half of the org's, and not that of the org.
type Limit struct {
	Bucket    string    // "users" for lists, "users/*" for reads by id
	Limit     int       // requests per window, by Okta's headers; 0: no response yet
	Remaining int       // of these, by the newest response
	Used      int       // by this governor in the window
	Share     int       // requests that this governor may send in a window
	Reset     time.Time // local, when the next window has certainly begun

	Waiting int       // requests that wait
	Reason  string    // of their wait
	Until   time.Time // when they may continue, if they wait for the limit
	Others  bool      // other clients have used up the limit

	starved int // consecutive windows before this one that other clients used up
}

// Limits returns the state of each bucket, sorted by name.
func (g *Governor) Limits() []Limit {
	g.mu.Lock()
	defer g.mu.Unlock()
	var limits []Limit
	for name, b := range g.buckets {
		limits = append(limits, b.limit(name, g.share))
	}
	slices.SortFunc(limits, func(a, b Limit) int { return cmp.Compare(a.Bucket, b.Bucket) })
	return limits
}

func (b *bucket) limit(name string, share float64) Limit {
	l := Limit{Bucket: name, Waiting: b.waiting, starved: b.starved}
	if b.known {
		l.Limit, l.Remaining, l.Used, l.Share, l.Reset = b.window.limit, b.window.remaining, b.used, b.own(share), b.until
	}
	if b.waiting == 0 {
		return l
	}
	l.Reason, l.Others = b.delayed.reason, b.delayed.reason == delayOthers
	if b.delayed.limited() {
		l.Until = b.delayed.until
	}
	return l
}

// End returns the earliest time at which this many more requests can have been sent:
// now, or after the windows that they need. It assumes that other clients don't use the
// share of the governor.
func (l Limit) End(requests int, now time.Time) time.Time {
	left, reset := max(l.Share-l.Used, 0), l.Reset
	if !now.Before(reset) {
		left, reset = l.Share, now.Add(window)
	}
	if l.Limit == 0 || requests <= left {
		return now
	}
	windows := (requests - left + l.Share - 1) / l.Share
	return reset.Add(time.Duration(windows-1) * window)
}

// bucketOf returns the bucket of a path. The lists of users, groups and apps have one
// bucket each, with all lists below an object. Reads by id have another. For other
// paths, Okta's limits are by pattern, in which every second part is an id.
// See https://developer.okta.com/docs/reference/rate-limits/.
func bucketOf(path string) string {
	if strings.HasPrefix(path, "/oauth2/v1/clients") {
		return "clients"
	}
	parts := strings.Split(strings.TrimPrefix(path, "/api/v1/"), "/")
	switch first := parts[0]; {
	case first == "iam":
		return first
	case first != "users" && first != "groups" && first != "apps":
		// by pattern
	case len(parts) == 2 && parts[1] != "rules":
		return first + "/*"
	default:
		return first
	}
	for i := 1; i < len(parts); i += 2 {
		parts[i] = "*"
	}
	return strings.Join(parts, "/")
}

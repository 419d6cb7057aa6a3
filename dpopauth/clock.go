package dpopauth

import (
	"net/http"
	"sync"
	"time"

	"oktasync/dpopauth/internal/parse"
)

const (
	maxOffset = 15 * time.Minute // beyond it a server's clock is not believed
	grain     = time.Second      // of the Date header
	tolerance = 2 * time.Second  // what is no skew
	maxAge    = 10 * time.Minute // of a reading that still beats a newer, vaguer one
)

// A clock is the server's clock, as far as its answers show it. Proofs and
// assertions are dated by it, since a server may refuse what is a second old by
// ours (RFC 9449, section 11.1), and it never runs ahead of the server's, since
// some have no tolerance for what is issued in their future.
//
// It goes by the monotonic clock from the newest reading on, so that neither a
// step of our wall clock nor a suspended machine misleads it for longer than
// one answer.
type clock struct {
	wall  func() time.Time     // no monotonic reading in it
	mono  func() time.Duration // since start
	start time.Time            // by wall

	mu   sync.Mutex
	read *reading // nil: no answer seen
	far  *Skew    // the last Date that was not believed
}

// A reading: when our monotonic clock showed at, the server's showed date, or
// up to a round trip and a second more.
type reading struct {
	at   time.Duration
	date time.Time
}

// A Skew is the difference of two clocks that is too large to work around.
type Skew struct{ Server, Ours time.Time }

func (s *Skew) Error() string {
	return "server's clock shows " + s.Server.UTC().Format(time.RFC3339) + ", ours " + s.Ours.UTC().Format(time.RFC3339)
}

// Unwrap makes a Skew an [ErrClock].
func (s *Skew) Unwrap() error { return ErrClock }

func newClock() *clock {
	start := time.Now()
	return &clock{
		wall:  func() time.Time { return time.Now().Round(0) },
		mono:  func() time.Duration { return time.Since(start) },
		start: start.Round(0),
	}
}

// now returns a time that the server's clock has reached.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *clock) nowLocked() time.Time {
	wall := c.wall()
	if c.read == nil {
		return wall.Add(-grain)
	}
	now := c.read.date.Add(c.mono() - c.read.at)
	if ahead := now.Sub(wall); 0 < ahead && ahead <= tolerance {
		return wall // Date's grain is no reason to go forward
	}
	return now
}

// offset returns how far the server's clock is ahead of ours, 0 if unknown.
func (c *clock) offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read == nil {
		return 0
	}
	return c.read.date.Add(c.mono() - c.read.at).Sub(c.wall())
}

// skew returns the clocks' difference that was seen and not believed, if the
// newest answer is the one that showed it, else nil.
func (c *clock) skew() *Skew {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.far
}

// observe reads the Date of an answer to a request that was sent at the
// monotonic time sent. It returns by how much what we took for the server's time
// was wrong, 0 where the two agree as far as a Date can tell.
//
// When in the round trip the server took the time is not known; the end of it
// is the guess that can't put us ahead.
func (c *clock) observe(resp *http.Response, sent time.Duration) time.Duration {
	date, ok := parse.Date(resp)
	if !ok {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before, wall, mono := c.nowLocked(), c.wall(), c.mono()
	// Either of our clocks may have stepped, so the Date is believed by either.
	// What it moved before is no third one, or a lying server could lead us on.
	if !near(date, wall) && !near(date, c.start.Add(mono)) {
		c.far = &Skew{Server: date, Ours: wall}
		return 0
	}
	c.far = nil
	trip, lead := mono-sent, before.Sub(date)
	agrees := 0 <= lead && lead < grain+trip // so what was dated by before was not ahead
	if !agrees || trip <= tolerance && (c.read == nil || mono-c.read.at >= maxAge) {
		c.read = &reading{at: mono, date: date} // else it says less sharply what is known
	}
	if agrees {
		return 0
	}
	return c.nowLocked().Sub(before)
}

func near(a, b time.Time) bool { return a.Sub(b).Abs() <= maxOffset }

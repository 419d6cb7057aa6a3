package dpopauth

import (
	"net/http"
	"sync"
	"time"
)

const (
	maxOffset      = 15 * time.Minute // a larger difference is not corrected
	dateResolution = time.Second      // of the Date header
	skewTolerance  = 2 * time.Second  // a smaller difference is not reported as skew
	maxSampleAge   = 10 * time.Minute // an older sample is replaced even by a less precise one
)

// A clock estimates the server's clock from the Date headers of its responses.
// Proofs and assertions are dated by it, because a server may reject a proof that
// is a few seconds old (RFC 9449, section 11.1). The estimate is never ahead of
// the server, because some servers reject any iat in their future.
//
// Between samples it follows the monotonic clock. A step of the wall clock or a
// suspended machine therefore causes at most one wrong estimate.
type clock struct {
	wall  func() time.Time     // without a monotonic reading
	mono  func() time.Duration // since start
	start time.Time            // of wall

	mu     sync.Mutex
	sample *clockSample    // nil: no response yet
	skew   *ClockSkewError // non-nil: the newest Date was out of bounds
}

// A clockSample records that the server's clock showed date, or up to a round
// trip and a second more, when the monotonic clock showed at.
type clockSample struct {
	at   time.Duration
	date time.Time
	trip time.Duration
}

// A ClockSkewError reports that the clocks of server and client differ by more
// than 15 minutes. It is an [ErrClock].
type ClockSkewError struct{ Server, Client time.Time }

func (e *ClockSkewError) Error() string {
	return "the server's clock shows " + e.Server.UTC().Format(time.RFC3339) + ", this machine's clock " + e.Client.UTC().Format(time.RFC3339)
}

// Unwrap returns ErrClock.
func (e *ClockSkewError) Unwrap() error { return ErrClock }

func newClock() *clock {
	start := time.Now()
	return &clock{
		wall:  func() time.Time { return time.Now().Round(0) },
		mono:  func() time.Duration { return time.Since(start) },
		start: start.Round(0),
	}
}

// now returns a time that the server's clock has already reached.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *clock) nowLocked() time.Time {
	wall := c.wall()
	if c.sample == nil {
		return wall.Add(-dateResolution)
	}
	now := c.estimateLocked()
	if ahead := now.Sub(wall); 0 < ahead && ahead <= skewTolerance {
		return wall // within the resolution of Date, so don't move forward
	}
	return now
}

func (c *clock) estimateLocked() time.Time { return c.sample.date.Add(c.mono() - c.sample.at) }

// offset returns how far the server's clock is ahead of the wall clock: 0 if
// that is unknown, or if the sample allows 0.
func (c *clock) offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sample == nil {
		return 0
	}
	least := c.estimateLocked().Sub(c.wall())
	if least <= 0 && least+dateResolution+c.sample.trip >= 0 {
		return 0
	}
	return least
}

// skewError returns an error if the newest Date differed by more than maxOffset.
func (c *clock) skewError() *ClockSkewError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew
}

// observe takes the Date of the response to a request that was sent at the
// monotonic time sent. It returns the change of the estimate, or 0 if the old
// estimate agrees with Date.
//
// The server set Date at an unknown moment of the round trip. The end of the
// round trip is the only assumption under which the estimate is never ahead.
func (c *clock) observe(resp *http.Response, sent time.Duration) time.Duration {
	date, ok := dateHeader(resp)
	if !ok {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before, wall, mono := c.nowLocked(), c.wall(), c.mono()
	// Either local clock may have stepped, so a Date near one of them is accepted.
	// Earlier samples don't count: else a server could move the estimate in steps.
	if !withinBound(date, wall) && !withinBound(date, c.start.Add(mono)) {
		c.skew = &ClockSkewError{Server: date, Client: wall}
		return 0
	}
	c.skew = nil
	trip, lead := mono-sent, before.Sub(date)
	agrees := 0 <= lead && lead < dateResolution+trip // so the request was not dated ahead
	if !agrees || trip <= skewTolerance && (c.sample == nil || mono-c.sample.at >= maxSampleAge) {
		c.sample = &clockSample{at: mono, date: date, trip: trip} // otherwise the old sample is more precise
	}
	if agrees {
		return 0
	}
	return c.nowLocked().Sub(before)
}

func withinBound(a, b time.Time) bool { return a.Sub(b).Abs() <= maxOffset }

package dpopauth

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	maxSamples     = 9                // whose median is the offset
	maxOffset      = 15 * time.Minute // a larger difference is not corrected
	dateResolution = time.Second      // of the Date header
	skewTolerance  = 2 * time.Second  // a smaller difference is not reported as skew
	maxSampleAge   = 10 * time.Minute // an older sample is replaced even by a less precise one
)

// A localClock reads the clocks of this machine. After a step of the wall clock,
// or if the machine was suspended, the two disagree.
type localClock struct {
	wall  func() time.Time     // without a monotonic reading
	mono  func() time.Duration // since start
	start time.Time            // of wall
}

func newLocalClock() *localClock {
	start := time.Now()
	return &localClock{
		wall:  func() time.Time { return time.Now().Round(0) },
		mono:  func() time.Duration { return time.Since(start) },
		start: start.Round(0),
	}
}

// A clock estimates the clock of one server from the Date headers of its
// responses. Proofs and assertions are dated by the newest sample, because a
// server may reject a proof that is a few seconds old (RFC 9449, section 11.1).
// The estimate is never ahead of the server, because some servers reject any iat
// in their future. The offset that callers see is the median of several samples,
// so that one wrong Date has no effect.
//
// Between samples it follows the monotonic clock. A step of the wall clock or a
// suspended machine therefore causes at most one wrong estimate.
type clock struct {
	*localClock

	mu      sync.Mutex
	sample  *clockSample    // for proofs; nil: no response yet
	samples []clockSample   // the newest maxSamples, since the local clocks last disagreed
	skew    *ClockSkewError // non-nil: the newest Date was out of bounds
}

// A clockSample records that the server's clock showed date, or up to a round
// trip and a second more, when the monotonic clock showed at.
type clockSample struct {
	at   time.Duration
	wall time.Time // the wall clock then
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
	now := c.sample.date.Add(c.mono() - c.sample.at)
	if ahead := now.Sub(wall); 0 < ahead && ahead <= skewTolerance {
		return wall // within the resolution of Date, so don't move forward
	}
	return now
}

// offset returns how far the server's clock is ahead of the wall clock: the
// median of the samples. It returns 0 if that is unknown, or if the sample allows
// 0.
func (c *clock) offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.samples) == 0 {
		return 0
	}
	wall, mono := c.wall(), c.mono()
	offset := func(s clockSample) time.Duration { return s.date.Add(mono - s.at).Sub(wall) }
	sorted := slices.SortedFunc(slices.Values(c.samples), func(a, b clockSample) int { return cmp.Compare(offset(a), offset(b)) })
	median := sorted[len(sorted)/2]
	if other := sorted[(len(sorted)-1)/2]; offset(other).Abs() < offset(median).Abs() {
		median = other // of the two in the middle, the one nearer to the wall clock
	}
	if least := offset(median); least > 0 || least+dateResolution+median.trip < 0 {
		return least
	}
	return 0
}

// addLocked adds a sample for offset. Earlier samples are discarded if the local
// clocks have disagreed since.
func (c *clock) addLocked(s clockSample) {
	if n := len(c.samples); n > 0 {
		last := c.samples[n-1]
		if drift := s.wall.Sub(last.wall) - (s.at - last.at); drift.Abs() > skewTolerance {
			c.samples = nil
		}
	}
	c.samples = append(c.samples, s)
	c.samples = c.samples[max(0, len(c.samples)-maxSamples):]
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
	s := clockSample{at: mono, wall: wall, date: date, trip: trip}
	c.addLocked(s)
	agrees := 0 <= lead && lead < dateResolution+trip // so the request was not dated ahead
	if !agrees || trip <= skewTolerance && (c.sample == nil || mono-c.sample.at >= maxSampleAge) {
		c.sample = &s // otherwise the old sample is more precise
	}
	if agrees {
		return 0
	}
	return c.nowLocked().Sub(before)
}

func withinBound(a, b time.Time) bool { return a.Sub(b).Abs() <= maxOffset }

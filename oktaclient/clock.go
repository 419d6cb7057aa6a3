package oktaclient

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// clock learns how far our clock is ahead of Okta's. An answer's Date is cut to
// the second and was written at some moment between request and answer, so each
// one leaves an interval of possible offsets, and all of them their intersection.
type clock struct {
	mu       sync.Mutex
	low, top time.Duration // the offset is somewhere between
	known    bool
}

// farthest is how far a Date and our clock are apart at most: more than where a
// time zone was taken for another. Nothing is dated by one that is further off.
const farthest = 48 * time.Hour

func near(date, ours time.Time) bool { return ours.Sub(date).Abs() <= farthest }

// observe takes the Date of an answer. Only one with a request id is Okta's own.
// One that can't be believed is an error.
func (c *clock) observe(sent, received time.Time, h http.Header) error {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil || h.Get("X-Okta-Request-Id") == "" {
		return nil
	}
	if !near(date, received) {
		return &rejection{class: misdated, err: fmt.Errorf("answer is dated %s, and our clock shows %s: more than %v apart",
			date.UTC().Format(time.RFC3339), received.UTC().Format(time.RFC3339), farthest)}
	}
	// Date <= Okta's time < Date + 1 s, and sent <= our time <= received.
	low, top := sent.Sub(date)-time.Second, received.Sub(date)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known && low <= c.top && top >= c.low {
		c.low, c.top = max(low, c.low), min(top, c.top)
		return nil
	}
	c.low, c.top, c.known = low, top, true // the first, or one of the clocks was set
	return nil
}

// offset is ours less Okta's: 0 if that is possible, else the middle of what is.
func (c *clock) offset() (d time.Duration, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.low <= 0 && 0 <= c.top {
		return 0, c.known
	}
	return (c.low + (c.top-c.low)/2).Round(time.Millisecond), c.known
}

// until returns our time when Okta's is at or after t for certain.
func (c *clock) until(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return now.Add(t.Add(c.top).Sub(now)) // a time that goes on whatever is done to our clock
}

// now is Okta's time.
func (c *clock) now() time.Time {
	offset, _ := c.offset()
	return time.Now().Add(-offset)
}

// timeline dates the events of one reading by Okta's clock. Its offset is fixed
// by the first dated answer, and its time goes on by the monotonic clock, so
// that the dates of one reading agree with each other whatever is done to our
// clock meanwhile.
type timeline struct {
	start  time.Time // ours
	offset time.Duration
	fixed  bool
}

func (t *timeline) learn(c *clock) {
	if !t.fixed {
		t.offset, t.fixed = c.offset()
	}
}

// at turns our time into Okta's.
func (t *timeline) at(ours time.Time) time.Time {
	return t.start.Add(ours.Sub(t.start)).Add(-t.offset).Round(0).UTC()
}

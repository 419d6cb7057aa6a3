package oktaclient

import (
	"cmp"
	"slices"
	"time"
)

const window = time.Minute // how long each of Okta's lasts

// Limit is what a governor knows of one bucket.
type Limit struct {
	Bucket    string    // "users" for the list, "users/*" for reads by id
	Limit     int       // requests a window, for everyone; 0: not known yet
	Remaining int       // of these, as the last answer told
	Used      int       // by us in the window
	Share     int       // that we may use
	Reset     time.Time // by our clock, when the next window has begun for certain

	Waiting int       // requests held back
	Reason  string    // what they wait for
	Until   time.Time // when they may go on, where it is the limit that they wait for
	Others  bool      // who has used it up is not us
}

// Limits returns what g knows of each bucket, in order of their names.
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

// limit is what the governor tells of b.
func (b *bucket) limit(name string, share float64) Limit {
	l := Limit{Bucket: name, Waiting: b.waiting}
	if b.known {
		l.Limit, l.Remaining, l.Used, l.Share, l.Reset = b.window.limit, b.window.remaining, b.used, b.own(share), b.until
	}
	if b.waiting == 0 {
		return l
	}
	l.Reason, l.Others = b.held.reason, b.held.reason == holdOthers
	if b.held.paced() {
		l.Until = b.held.until
	}
	return l
}

// End is when so many more requests of ours can have been sent at the earliest,
// if others leave us our share: now, or once the windows have begun that it
// takes for them.
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

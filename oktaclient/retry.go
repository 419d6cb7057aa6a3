package oktaclient

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Bounds of patience with a limit. Okta's windows last a minute, so longer
// waits are no window's, and more of them are somebody else's doing.
const (
	maxLimited   = 10 // 429s a page
	maxLimitWait = 5 * time.Minute
)

// passing are the statuses that another try may change.
var passing = []int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// patience says how long to wait before a request is sent again, and when to
// give it up. Trouble and limits have bounds of their own: a page that fails
// once after a long wait for the limit has all its tries still.
type patience struct {
	tries    int // attempts so far
	troubles int // of these, failed by more than the limit
	limited  int // of these, sent away with 429
	most     int
	backoff  *backoff.ExponentialBackOff
}

func (c *Client) patience(tries int) *patience {
	return &patience{most: tries, backoff: &backoff.ExponentialBackOff{
		InitialInterval:     c.cfg.BaseWait / 2,
		RandomizationFactor: 1, // full jitter: anything from 0 to twice the interval
		Multiplier:          2,
		MaxInterval:         30 * time.Second,
	}}
}

// wait returns how long to wait after failure, false to give up. now is by
// Okta's clock.
func (p *patience) wait(failure *Error, a *answer, now time.Time) (time.Duration, bool) {
	p.tries++
	var rejected *rejection
	switch {
	case failure.Status == http.StatusTooManyRequests:
		p.limited++
		return p.limitWait(a.resp.Header, now), p.limited <= maxLimited
	case failure.Err == nil && !slices.Contains(passing, failure.Status):
		return 0, false
	case errors.As(failure.Err, &rejected) && rejected.final:
		return 0, false
	}
	p.troubles++
	return p.backoff.NextBackOff(), p.troubles < p.most // a Retry-After is the governor's
}

// limitWait is for a 429. Okta has two kinds: the window is used up, until a
// reset that the headers name; or too many requests are in flight, told by a
// limit and a rest of 0, whose reset is only a guess.
func (p *patience) limitWait(h http.Header, now time.Time) time.Duration {
	if wait := retryAfter(h, now); wait > 0 {
		return min(wait, maxLimitWait)
	}
	limit, ok := parseRateLimit(h)
	if !ok || limit.crowded() {
		return p.backoff.NextBackOff()
	}
	return min(limit.untilReset(now), maxLimitWait)
}

package oktaclient

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Bounds of waits for a rate limit. Okta's windows last a minute, so a longer
// wait or another 429 has another cause.
const (
	max429s = 10 // per page
)

// transient are the statuses after which a retry can succeed.
var transient = []int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// retries decides whether a request is sent again, and when. Failures and 429s
// are counted separately, so that a page has all its tries after a long wait for
// the limit.
type retries struct {
	tries    int // attempts so far
	failures int // of these, failed for another reason than a 429
	limited  int // of these, 429s
	most     int // failures
	mostSlow int // failures, if the newest response is slow
	backoff  *backoff.ExponentialBackOff
}

func (c *Client) retries(mostSlow int) *retries {
	return &retries{most: c.cfg.Tries, mostSlow: cmp.Or(mostSlow, c.cfg.Tries), backoff: &backoff.ExponentialBackOff{
		InitialInterval:     c.cfg.BaseWait / 2,
		RandomizationFactor: 1, // full jitter: from 0 to twice the interval
		Multiplier:          2,
		MaxInterval:         30 * time.Second,
	}}
}

// wait returns how long to wait after a failure, or false to give up. resp is the
// response, or nil. now is Okta's time.
func (r *retries) wait(failure *Error, resp *http.Response, now time.Time) (time.Duration, bool) {
	r.tries++
	var rejected *rejection
	switch {
	case failure.Status == http.StatusTooManyRequests:
		r.limited++
		return r.limitWait(resp.Header, now), r.limited <= max429s
	case failure.Err == nil && !slices.Contains(transient, failure.Status):
		return 0, false
	case errors.As(failure.Err, &rejected) && rejected.final:
		return 0, false
	}
	r.failures++
	most := r.most
	if failure.slow() {
		most = r.mostSlow
	}
	return r.backoff.NextBackOff(), r.failures < most // the governor applies Retry-After
}

// limitWait returns the wait after a 429. Okta has two kinds. If the window is used
// up, the wait ends after the reset in the headers. If too many requests are in
// flight, limit and rest are 0, and the reset is only a guess.
func (r *retries) limitWait(h http.Header, now time.Time) time.Duration {
	if wait := retryAfter(h, now); wait > 0 {
		return min(wait, maxLimitWait)
	}
	limit, ok := parseRateLimit(h)
	if !ok || limit.crowded() {
		return r.backoff.NextBackOff()
	}
	return min(limit.untilReset(now), maxLimitWait)
}

package oktaclient

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const window = time.Minute // the length of Okta's rate-limit windows

const maxLimitWait = 5 * time.Minute

// rateLimit is the content of the rate-limit headers of a response.
// See https://developer.okta.com/docs/reference/rl-best-practices/.
type rateLimit struct {
	limit, remaining int
	reset            time.Time // by Okta's clock, in whole seconds
}

// parseRateLimit reads the three headers. It returns false if one is missing. If
// several limits apply, a header can occur more than once or have several values;
// the smallest counts.
func parseRateLimit(h http.Header) (rateLimit, bool) {
	limit, ok1 := smallest(h, "X-Rate-Limit-Limit")
	remaining, ok2 := smallest(h, "X-Rate-Limit-Remaining")
	reset, ok3 := smallest(h, "X-Rate-Limit-Reset")
	reset = min(reset, 1<<40) // a much later time.Time overflows
	return rateLimit{int(limit), int(remaining), time.Unix(reset, 0)}, ok1 && ok2 && ok3
}

// RateLimitOf returns the rate-limit headers of a response: the limit of the
// window, the remaining requests, and the start of the next window by Okta's
// clock. ok is false if a header is missing.
func RateLimitOf(h http.Header) (limit, remaining int, reset time.Time, ok bool) {
	l, ok := parseRateLimit(h)
	return l.limit, l.remaining, l.reset, ok
}

// crowded reports a 429 for too many requests in flight.
func (l rateLimit) crowded() bool { return l.limit == 0 && l.remaining == 0 }

// untilReset returns the time from now, by Okta's clock, to the next window: a
// second after the reset, which has whole seconds.
func (l rateLimit) untilReset(now time.Time) time.Duration {
	return min(max(l.reset.Sub(now), 0), maxLimitWait) + time.Second
}

func smallest(h http.Header, name string) (least int64, ok bool) {
	for _, line := range h.Values(name) {
		for value := range strings.SplitSeq(line, ",") {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil || n < 0 {
				continue
			}
			if !ok || n < least {
				least, ok = n, true
			}
		}
	}
	return least, ok
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3), 0 if it is missing.
// Okta's API doesn't document it, but a proxy may send it.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 1<<20)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

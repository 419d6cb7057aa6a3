package oktaclient

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// rateLimit is what an answer says of the window that its request fell into.
// See Okta's documentation, Rate limits.
type rateLimit struct {
	limit, remaining int
	reset            time.Time // to the second, by Okta's clock
}

// parseRateLimit reads Okta's three headers, false if one is missing. Each may
// come more than once, or with several values, where more limits than one
// apply; the smallest counts.
func parseRateLimit(h http.Header) (rateLimit, bool) {
	limit, ok1 := smallest(h, "X-Rate-Limit-Limit")
	remaining, ok2 := smallest(h, "X-Rate-Limit-Remaining")
	reset, ok3 := smallest(h, "X-Rate-Limit-Reset")
	reset = min(reset, 1<<40) // beyond which a time.Time wraps around some day
	return rateLimit{int(limit), int(remaining), time.Unix(reset, 0)}, ok1 && ok2 && ok3
}

// RateLimitOf returns what an answer's headers say of its rate limit's window:
// requests in all and left, and when the next one begins, by Okta's clock. ok is
// false where a header is missing.
func RateLimitOf(h http.Header) (limit, remaining int, reset time.Time, ok bool) {
	l, ok := parseRateLimit(h)
	return l.limit, l.remaining, l.reset, ok
}

// crowded tells the 429 for too many requests in flight.
func (l rateLimit) crowded() bool { return l.limit == 0 && l.remaining == 0 }

// untilReset is how long to wait for a fresh window: until a second after the
// reset, since Okta's times are cut to seconds.
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

// retryAfter reads Retry-After (RFC 9110, section 10.2.3), 0 if there is none.
// Okta's API documents none, but what stands before it may send one.
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

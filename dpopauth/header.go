package dpopauth

import (
	"cmp"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The functions in this file and in challenge.go parse untrusted response
// headers. They are pure, and fuzz tests state their invariants.

const maxNonce = 1 << 10

// nonceHeader returns the nonce of a response, or "" if the header is absent,
// repeated or invalid (RFC 9449, section 8.1).
func nonceHeader(h http.Header) string {
	v := h.Values("DPoP-Nonce")
	if len(v) != 1 || len(v[0]) > maxNonce || !visible(v[0]) || strings.ContainsAny(v[0], `"\`) {
		return ""
	}
	return v[0]
}

// dateHeader returns the Date of a response, unless it comes from a cache or from
// a redirect.
func dateHeader(resp *http.Response) (time.Time, bool) {
	age, date := resp.Header.Get("Age"), resp.Header.Values("Date")
	if age != "" && age != "0" || len(date) != 1 || resp.StatusCode/100 == 3 {
		return time.Time{}, false
	}
	t, err := http.ParseTime(date[0])
	return t, err == nil && t.Nanosecond() == 0 // time.Parse accepts fractions, RFC 9110 doesn't
}

// retryAfterHeader returns the wait that Retry-After requests (RFC 9110, section
// 10.2.3), from 0 to limit. A date is relative to now, the server's time. Okta
// sends X-Rate-Limit-Reset instead, in Unix seconds.
func retryAfterHeader(h http.Header, now time.Time, limit time.Duration) time.Duration {
	v, after := h.Get("Retry-After"), time.Duration(0)
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		after = time.Duration(s) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		after = t.Sub(now)
	} else if reset, err := strconv.ParseUint(h.Get("X-Rate-Limit-Reset"), 10, 40); err == nil {
		after = time.Unix(int64(reset)+1, 0).Sub(now)
	}
	return min(max(after, 0), limit)
}

var (
	tokenLike = regexp.MustCompile(`[\w.~+/=-]{16,}`)
	requestID = regexp.MustCompile(`^[\w.:@+/=-]+$`)
)

// maxRequestID is shorter than any JWT. It is not part of the pattern, because
// {1,64} takes long to compile at every start.
const maxRequestID = 64

// requestIDHeader returns the id by which the server's operator finds a request,
// or "".
func requestIDHeader(h http.Header) string {
	if id := cmp.Or(h.Get("X-Okta-Request-Id"), h.Get("X-Request-Id")); len(id) <= maxRequestID && requestID.MatchString(id) {
		return id
	}
	return ""
}

// mediaType returns the media type of a response for an error message.
func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return "without a media type"
	}
	return cleanText(t, 64)
}

// cleanText makes a server's text safe for logs: printable ASCII, at most limit
// bytes, and no run of 16 characters that may be a piece of a token.
func cleanText(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s[:min(len(s), 4*limit)])
	s = tokenLike.ReplaceAllStringFunc(strings.Join(strings.Fields(s), " "), func(run string) string {
		if strings.ContainsAny(run, "0123456789") {
			return "[cut]"
		}
		return run // a name with underscores
	})
	if len(s) > limit {
		s = s[:limit-3] + "..."
	}
	return s
}

// errorCode returns the first candidate that is an error code (RFC 6749, section
// 5.2), or "".
func errorCode(candidates ...string) string {
	for _, c := range candidates {
		if c != "" && len(c) <= 64 && c == cleanText(c, 64) && !strings.ContainsAny(c, " \"\\") {
			return c
		}
	}
	return ""
}

// visible reports whether s contains only visible ASCII characters.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Package parse reads what strangers write: the header fields and JSON that a
// server answers with, and the JSON of a key file. Its functions are pure; what
// they make of any input whatever, the fuzz tests say.
package parse

import (
	"net/http"
	"strconv"
	"time"
)

const maxNonce = 1 << 10

// Nonce returns the nonce of an answer, or "" where there is none, several, or
// one that is none by the grammar of RFC 9449, section 8.1.
func Nonce(h http.Header) string {
	v := h.Values("DPoP-Nonce")
	if len(v) != 1 || len(v[0]) > maxNonce {
		return ""
	}
	for i := range len(v[0]) {
		if c := v[0][i]; c < '!' || c > '~' || c == '"' || c == '\\' {
			return ""
		}
	}
	return v[0]
}

// Date returns the Date of an answer, if its sender made it just now.
func Date(resp *http.Response) (time.Time, bool) {
	age, date := resp.Header.Get("Age"), resp.Header.Values("Date")
	if age != "" && age != "0" || len(date) != 1 || resp.StatusCode/100 == 3 {
		return time.Time{}, false
	}
	t, err := http.ParseTime(date[0])
	return t, err == nil && t.Nanosecond() == 0 // time.Parse takes a fraction, RFC 9110 has none
}

// RetryAfter reads Retry-After (RFC 9110, section 10.2.3), in seconds or as a
// date by the server's clock. Okta has X-Rate-Limit-Reset in its place, which is
// such a date in seconds since 1970. It is 0 to most.
func RetryAfter(h http.Header, now time.Time, most time.Duration) time.Duration {
	v, after := h.Get("Retry-After"), time.Duration(0)
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		after = time.Duration(s) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		after = t.Sub(now)
	} else if reset, err := strconv.ParseUint(h.Get("X-Rate-Limit-Reset"), 10, 40); err == nil {
		after = time.Unix(int64(reset)+1, 0).Sub(now)
	}
	return min(max(after, 0), most)
}

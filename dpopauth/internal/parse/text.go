package parse

import (
	"cmp"
	"mime"
	"net/http"
	"regexp"
	"strings"
)

var (
	tokenLike = regexp.MustCompile(`[\w.~+/=-]{16,}`)
	requestID = regexp.MustCompile(`^[\w.:@+/=-]+$`)
)

// maxRequestID is too little for a JWT. It is no {1,64} in the pattern, which would
// take longer to compile than all others, at every start.
const maxRequestID = 64

// Clean makes a server's text fit for a log: printable ASCII, at most n octets,
// and in it no 16 of a token's characters in a row, but for words without digits.
func Clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s[:min(len(s), 4*n)])
	s = tokenLike.ReplaceAllStringFunc(strings.Join(strings.Fields(s), " "), func(run string) string {
		if strings.ContainsAny(run, "0123456789") {
			return "[cut]"
		}
		return run // a name with underscores
	})
	if len(s) > n {
		s = s[:n-3] + "..."
	}
	return s
}

// Code returns the first candidate that is an error code (RFC 6749, section 5.2),
// or "".
func Code(candidates ...string) string {
	for _, c := range candidates {
		if c != "" && len(c) <= 64 && c == Clean(c, 64) && !strings.ContainsAny(c, " \"\\") {
			return c
		}
	}
	return ""
}

// RequestID is by what the server's operator finds a request, or "".
func RequestID(h http.Header) string {
	if id := cmp.Or(h.Get("X-Okta-Request-Id"), h.Get("X-Request-Id")); len(id) <= maxRequestID && requestID.MatchString(id) {
		return id
	}
	return ""
}

// MediaType is what an answer says it is, in words.
func MediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return "without a media type"
	}
	return Clean(t, 64)
}

// Visible reports whether s is of visible ASCII alone.
func Visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

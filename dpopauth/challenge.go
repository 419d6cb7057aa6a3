package dpopauth

import (
	"net/http"
	"strings"
)

// A challenge is one of a WWW-Authenticate field (RFC 9110, section 11.6.1).
type challenge struct {
	scheme string            // lower case
	params map[string]string // names in lower case; of doubled ones the first
}

const maxChallenge = 8 << 10 // octets of one field that are read

// challenges returns all challenges of an answer in order. A field is read up
// to what breaks the grammar.
func challenges(h http.Header) []challenge {
	var all []challenge
	for _, v := range h.Values("WWW-Authenticate") {
		all = parseChallenges(all, v[:min(len(v), maxChallenge)])
	}
	return all
}

// refusal returns the challenge that names an error, of ours before Bearer.
func refusal(h http.Header) (c challenge, ok bool) {
	for _, c := range challenges(h) {
		if c.scheme == "dpop" && c.params["error"] != "" {
			return c, true
		}
	}
	for _, c := range challenges(h) {
		if c.scheme == "bearer" && c.params["error"] != "" {
			return c, true
		}
	}
	return challenge{}, false
}

// parseChallenges reads a list in which a comma divides challenges as well as
// the parameters of one: a token with "=" after it is a parameter's name, any
// other begins a challenge.
func parseChallenges(all []challenge, s string) []challenge {
	first := len(all)
	for {
		s = strings.TrimLeft(s, " \t,")
		name, rest := cutToken(s)
		if name == "" {
			return all
		}
		if value, after, ok := cutValue(rest); ok && len(all) > first {
			c := all[len(all)-1]
			if _, twice := c.params[strings.ToLower(name)]; !twice {
				c.params[strings.ToLower(name)] = value
			}
			s = after
			continue
		}
		if rest != "" && rest[0] != ' ' && rest[0] != '\t' && rest[0] != ',' {
			return all
		}
		all = append(all, challenge{strings.ToLower(name), map[string]string{}})
		s = skipToken68(rest)
	}
}

// cutValue cuts `= token` or `= "quoted string"`.
func cutValue(s string) (value, rest string, ok bool) {
	s, ok = strings.CutPrefix(strings.TrimLeft(s, " \t"), "=")
	if !ok {
		return "", "", false
	}
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest = cutToken(s)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// skipToken68 skips the one token68 that may stand in place of parameters.
func skipToken68(s string) string {
	t := strings.TrimLeft(s, " \t")
	rest := strings.TrimLeft(strings.TrimLeftFunc(t, func(r rune) bool {
		return r == '/' || r < 0x80 && tokenChar(byte(r))
	}), "=")
	end := strings.TrimLeft(rest, " \t")
	if len(rest) < len(t) && len(t) < len(s) && (end == "" || end[0] == ',') {
		return rest
	}
	return s
}

func cutToken(s string) (token, rest string) {
	n := 0
	for n < len(s) && tokenChar(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

// tokenChar is tchar of RFC 9110, section 5.6.2.
func tokenChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

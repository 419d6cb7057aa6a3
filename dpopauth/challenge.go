package dpopauth

import (
	"net/http"
	"regexp"
	"strings"
)

// A challenge is one challenge of a WWW-Authenticate header (RFC 9110, section
// 11.6.1).
type challenge struct {
	scheme string            // lower case
	params map[string]string // names in lower case; the first of duplicates
}

const maxChallengeHeader = 8 << 10 // bytes of one header line that are parsed

// A comma separates both challenges and the parameters of one challenge. A token
// that is followed by "=" and a value is a parameter. Any other token starts a
// challenge, which may have a token68 instead of parameters.
var (
	tokenPattern     = "([" + tchar + "]+)"
	parameterPattern = regexp.MustCompile(`(?s)^[ \t,]*` + tokenPattern + `[ \t]*=[ \t]*(?:` + tokenPattern + `|"((?:[^"\\]|\\.)*)")`)
	schemePattern    = regexp.MustCompile(`^[ \t,]*` + tokenPattern + `(?:[ \t]+(?:[/` + tchar + `]*=*[ \t]*(?:,|$))?|,|$)`)
	escapePattern    = regexp.MustCompile(`(?s)\\(.)`)
)

const tchar = "!#$%&'*+.^_`|~0-9A-Za-z-" // RFC 9110, section 5.6.2

// parseChallenges returns the challenges of all WWW-Authenticate lines in order.
// It stops reading a line at the first syntax error.
func parseChallenges(h http.Header) (all []challenge) {
	for _, line := range h.Values("WWW-Authenticate") {
		all = append(all, parseChallengeLine(line[:min(len(line), maxChallengeHeader)])...)
	}
	return all
}

func parseChallengeLine(s string) (list []challenge) {
	for {
		if m := parameterPattern.FindStringSubmatch(s); m != nil && len(list) > 0 {
			params, name := list[len(list)-1].params, strings.ToLower(m[1])
			if _, duplicate := params[name]; !duplicate {
				params[name] = m[2] + escapePattern.ReplaceAllString(m[3], "$1")
			}
			s = s[len(m[0]):]
		} else if m := schemePattern.FindStringSubmatch(s); m != nil {
			list = append(list, challenge{strings.ToLower(m[1]), map[string]string{}})
			s = s[len(m[0]):]
		} else {
			return list
		}
	}
}

// errorChallenge returns the first challenge with an error parameter; DPoP comes
// before Bearer.
func errorChallenge(h http.Header) (c challenge, ok bool) {
	for _, scheme := range []string{"dpop", "bearer"} {
		for _, c := range parseChallenges(h) {
			if c.scheme == scheme && c.params["error"] != "" {
				return c, true
			}
		}
	}
	return challenge{}, false
}

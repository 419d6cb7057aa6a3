package parse

import (
	"net/http"
	"regexp"
	"strings"
)

// A Challenge is one of a WWW-Authenticate field (RFC 9110, section 11.6.1).
type Challenge struct {
	Scheme string            // lower case
	Params map[string]string // names in lower case; of doubled ones the first
}

const maxChallenge = 8 << 10 // octets of one field that are read

// In a list of challenges a comma divides challenges as well as the parameters of
// one: a token with "=" and a value after it is a parameter, any other begins a
// challenge, and may have a token68 in place of parameters.
var (
	token     = "([" + tchar + "]+)"
	parameter = regexp.MustCompile(`(?s)^[ \t,]*` + token + `[ \t]*=[ \t]*(?:` + token + `|"((?:[^"\\]|\\.)*)")`)
	scheme    = regexp.MustCompile(`^[ \t,]*` + token + `(?:[ \t]+(?:[/` + tchar + `]*=*[ \t]*(?:,|$))?|,|$)`)
	escape    = regexp.MustCompile(`(?s)\\(.)`)
)

const tchar = "!#$%&'*+.^_`|~0-9A-Za-z-" // RFC 9110, section 5.6.2

// Challenges returns all challenges of an answer in order. A field is read up to
// what breaks the grammar.
func Challenges(h http.Header) (all []Challenge) {
	for _, s := range h.Values("WWW-Authenticate") {
		all = append(all, challenges(s[:min(len(s), maxChallenge)])...)
	}
	return all
}

func challenges(s string) (list []Challenge) {
	for {
		if m := parameter.FindStringSubmatch(s); m != nil && len(list) > 0 {
			params, name := list[len(list)-1].Params, strings.ToLower(m[1])
			if _, twice := params[name]; !twice {
				params[name] = m[2] + escape.ReplaceAllString(m[3], "$1")
			}
			s = s[len(m[0]):]
		} else if m := scheme.FindStringSubmatch(s); m != nil {
			list = append(list, Challenge{strings.ToLower(m[1]), map[string]string{}})
			s = s[len(m[0]):]
		} else {
			return list
		}
	}
}

// Refusal returns the challenge that names an error, of DPoP before Bearer.
func Refusal(h http.Header) (c Challenge, ok bool) {
	for _, scheme := range []string{"dpop", "bearer"} {
		for _, c := range Challenges(h) {
			if c.Scheme == scheme && c.Params["error"] != "" {
				return c, true
			}
		}
	}
	return Challenge{}, false
}

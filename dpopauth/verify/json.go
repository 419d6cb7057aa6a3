package verify

import (
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json" // rejects duplicate members, and compares names with case
)

// maxDepth is the maximum nesting of JSON. A proof needs 2.
const maxDepth = 8

// An object is a JSON object with unchecked members.
type object map[string]any

// parseObject parses exactly one JSON object. It rejects duplicate members at
// every level, trailing data, invalid UTF-8 and deep nesting.
func parseObject(data []byte) (object, bool) {
	var o object
	if !utf8.Valid(data) || nesting(data) > maxDepth || json.Unmarshal(data, &o) != nil {
		return nil, false
	}
	return o, o != nil // null is not an object
}

// nesting returns the depth of well-formed JSON. It does not count brackets in
// strings. The result for malformed JSON doesn't matter.
func nesting(data []byte) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// has reports whether the member exists.
func (o object) has(name string) bool { _, ok := o[name]; return ok }

// text returns a string member.
func (o object) text(name string) (string, bool) {
	s, ok := o[name].(string)
	return s, ok
}

// object returns an object member.
func (o object) object(name string) (object, bool) {
	m, ok := o[name].(map[string]any)
	return m, ok
}

// bytes returns the decoded value of a base64url member.
func (o object) bytes(name string) ([]byte, bool) {
	s, ok := o.text(name)
	if !ok {
		return nil, false
	}
	return decodeBase64URL(s)
}

// time returns a NumericDate (RFC 7519, section 2) without its fraction. Numbers
// beyond 2⁵³ are not exact and are rejected.
func (o object) time(name string) (time.Time, bool) {
	seconds, ok := o[name].(float64)
	if !ok || seconds < 0 || seconds > 1<<53 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

// texts returns a member that is a string or a list of strings, such as aud.
func (o object) texts(name string) ([]string, bool) {
	switch v := o[name].(type) {
	case string:
		return []string{v}, true
	case []any:
		list := make([]string, len(v))
		for i := range v {
			s, ok := v[i].(string)
			if !ok {
				return nil, false
			}
			list[i] = s
		}
		return list, true
	}
	return nil, false
}

// decodeBase64URL decodes base64url without padding in its canonical form
// (RFC 7515, section 2; RFC 4648, section 3.5).
func decodeBase64URL(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // encoding/base64 skips them
		return nil, false
	}
	b, err := strictBase64URL.DecodeString(s)
	return b, err == nil
}

var strictBase64URL = base64.RawURLEncoding.Strict() // rejects non-zero trailing bits

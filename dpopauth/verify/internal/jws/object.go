package jws

import (
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json" // refuses doubled members, tells "alg" from "ALG"
)

// maxDepth is how deep JSON may nest. A proof needs 2.
const maxDepth = 8

// An Object is a JSON object whose members have not been checked yet.
type Object map[string]any

// ReadObject reads exactly one JSON object: no doubled members at any
// level, nothing after it, valid UTF-8, not too deep.
func ReadObject(data []byte) (Object, bool) {
	var o Object
	if !utf8.Valid(data) || nesting(data) > maxDepth || json.Unmarshal(data, &o) != nil {
		return nil, false
	}
	return o, o != nil // null is no object
}

// nesting bounds the depth of JSON from above: brackets inside strings do not
// count, and what is not JSON is found later.
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

// Has reports whether there is such a member.
func (o Object) Has(name string) bool { _, ok := o[name]; return ok }

// Text returns a member that is a string.
func (o Object) Text(name string) (string, bool) {
	s, ok := o[name].(string)
	return s, ok
}

// Object returns a member that is an object.
func (o Object) Object(name string) (Object, bool) {
	m, ok := o[name].(map[string]any)
	return m, ok
}

// Bytes decodes a member in base64url.
func (o Object) Bytes(name string) ([]byte, bool) {
	s, ok := o.Text(name)
	if !ok {
		return nil, false
	}
	return Decode(s)
}

// Time reads a NumericDate (RFC 7519, section 2). Fractions are legal and
// are cut off; beyond 2⁵³ JSON numbers are no longer exact.
func (o Object) Time(name string) (time.Time, bool) {
	seconds, ok := o[name].(float64)
	if !ok || seconds < 0 || seconds > 1<<53 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

// Texts reads a member that is one string or a list of them, such as aud.
func (o Object) Texts(name string) ([]string, bool) {
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

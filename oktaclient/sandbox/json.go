package sandbox

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The org stores objects as the JSON text that it serves, so that tests can compare
// the text byte for byte. The functions in this file read and edit the text without
// decoding it. Numbers therefore keep their digits, and members keep their order.
// The text must be valid; [Org.Put] checks it.

// member is one member of a JSON object, as offsets into the object's text.
type member struct {
	quoted     []byte // its name
	value, end int    // of the value
}

func (m member) name() string { return unquote(m.quoted) }

// is compares the name without allocating a string.
func (m member) is(name string) bool {
	if bytes.IndexByte(m.quoted, '\\') >= 0 {
		return m.name() == name
	}
	return string(m.quoted[1:len(m.quoted)-1]) == name
}

// members yields the members of an object in the order of its text.
func members(obj []byte) iter.Seq[member] {
	return func(yield func(member) bool) {
		for i := space(obj, 1); i < len(obj) && obj[i] == '"'; {
			colon := skip(obj, i)
			m := member{quoted: obj[i:colon], value: space(obj, space(obj, colon)+1)}
			m.end = skip(obj, m.value)
			if !yield(m) {
				return
			}
			if i = space(obj, m.end); obj[i] == ',' {
				i = space(obj, i+1)
			}
		}
	}
}

// elements yields the elements of an array, or a value that is not an array.
func elements(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if len(value) == 0 || value[0] != '[' {
			yield(value)
			return
		}
		for i := space(value, 1); i < len(value) && value[i] != ']'; {
			end := skip(value, i)
			if !yield(value[i:end]) {
				return
			}
			if i = space(value, end); value[i] == ',' {
				i = space(value, i+1)
			}
		}
	}
}

// get returns the value at a dotted path such as profile.email; nil if there is none.
func get(obj []byte, path string) []byte {
	name, rest, nested := strings.Cut(path, ".")
	for m := range members(obj) {
		switch {
		case !m.is(name):
		case !nested:
			return obj[m.value:m.end]
		case obj[m.value] == '{':
			return get(obj[m.value:m.end], rest)
		default:
			return nil
		}
	}
	return nil
}

// text returns the string at path; "" if there is none or it is not a string.
func text(obj []byte, path string) string {
	if v := get(obj, path); len(v) > 0 && v[0] == '"' {
		return unquote(v)
	}
	return ""
}

// set returns obj with the value at path replaced, or added at the end of its
// object. A value on the path that is not an object is replaced by one.
func set(obj []byte, path string, value []byte) []byte {
	name, rest, nested := strings.Cut(path, ".")
	for m := range members(obj) {
		if !m.is(name) {
			continue
		}
		inner := obj[m.value:m.end]
		if nested && inner[0] != '{' {
			inner = []byte("{}")
		}
		if nested {
			value = set(inner, rest, value)
		}
		return splice(obj, m.value, m.end, value)
	}
	if nested {
		value = set([]byte("{}"), rest, value)
	}
	last := bytes.LastIndexByte(obj, '}')
	added := appendString(nil, name)
	if space(obj, 1) != last {
		added = append([]byte{','}, added...)
	}
	return splice(obj, last, last, append(append(added, ':'), value...))
}

// without returns obj without one of its members.
func without(obj []byte, name string) []byte {
	previous := 1 // end of the previous member, or the position after the brace
	for m := range members(obj) {
		if !m.is(name) {
			previous = m.end
			continue
		}
		if after := space(obj, m.end); previous == 1 && obj[after] == ',' {
			return splice(obj, 1, after+1, nil)
		}
		return splice(obj, previous, m.end, nil)
	}
	return obj
}

// splice returns a copy of b with b[from:to] replaced.
func splice(b []byte, from, to int, with []byte) []byte {
	out := make([]byte, 0, len(b)-(to-from)+len(with))
	return append(append(append(out, b[:from]...), with...), b[to:]...)
}

// skip returns the end of the value that begins at i.
func skip(b []byte, i int) int {
	for depth := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			} else if depth < 0 {
				return i
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

// space returns the first position from i that is not white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// unquote returns the text of a JSON string.
func unquote(quoted []byte) string {
	if inner := quoted[1 : len(quoted)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // can't fail, because it is valid
	return s
}

// appendString appends s as a JSON string. It escapes only what JSON requires.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// writer appends the members of a JSON object.
type writer []byte

func (w *writer) name(name string) {
	if last := (*w)[len(*w)-1]; last != '{' {
		*w = append(*w, ',')
	}
	*w = append(appendString(*w, name), ':')
}

func (w *writer) text(name, value string) {
	w.name(name)
	*w = appendString(*w, value)
}

func (w *writer) raw(name, value string) {
	w.name(name)
	*w = append(*w, value...)
}

func (w *writer) time(name string, ms int64) {
	w.name(name)
	*w = appendTime(*w, ms)
}

func (w *writer) open(name string) {
	w.name(name)
	*w = append(*w, '{')
}

func (w *writer) close() { *w = append(*w, '}') }

// timeLayout is Okta's format of dates ("Okta API: dates"): UTC, with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

func appendTime(dst []byte, ms int64) []byte {
	if ms == 0 {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = time.UnixMilli(ms).UTC().AppendFormat(dst, timeLayout)
	return append(dst, '"')
}

// projection is the part of each object that a response contains.
type projection struct {
	cacheKey string // different for each projection
	omit     []string
	fields   map[string][]string // nil: all; a list: these members of it only
}

// parseProjection parses fields, and the okta-response words. Those are in the
// Content-Type of the request, also of a GET ("List users: omitting credentials").
func parseProjection(r *http.Request) projection {
	fields := r.URL.Query().Get("fields")
	p := projection{cacheKey: fields}
	_, words, _ := strings.Cut(r.Header.Get("Content-Type"), "okta-response=")
	words, _, _ = strings.Cut(words, ";")
	for word := range strings.SplitSeq(strings.Trim(words, `"`), ",") {
		switch strings.TrimSpace(word) {
		case "omitCredentials":
			p.omit = append(p.omit, "credentials")
		case "omitTransitioningToStatus":
			p.omit = append(p.omit, "transitioningToStatus")
		}
	}
	p.cacheKey += "\x00" + strings.Join(p.omit, ",")
	if fields == "" {
		return p
	}
	p.fields = map[string][]string{"id": nil}
	for fields != "" {
		var name, inner string
		end := strings.IndexAny(fields, ",:")
		if end < 0 {
			end = len(fields)
		}
		name, fields = fields[:end], fields[end:]
		if rest, ok := strings.CutPrefix(fields, ":("); ok {
			inner, fields, _ = strings.Cut(rest, ")")
			p.fields[name] = strings.Split(inner, ",")
		} else {
			p.fields[name] = nil
		}
		fields = strings.TrimPrefix(fields, ",")
	}
	return p
}

// apply returns the projection of an object.
func (p projection) apply(json []byte) []byte {
	for _, name := range p.omit {
		json = without(json, name)
	}
	if p.fields == nil {
		return json
	}
	return project(json, func(name string) ([]string, bool) {
		inner, ok := p.fields[name]
		return inner, ok
	})
}

// project returns the members that keep selects. If keep returns a list for an
// object, project returns only the members of the object in that list.
func project(obj []byte, keep func(string) ([]string, bool)) []byte {
	w := writer("{")
	for m := range members(obj) {
		inner, ok := keep(m.name())
		if !ok {
			continue
		}
		value := obj[m.value:m.end]
		if inner != nil && value[0] == '{' {
			value = project(value, func(name string) ([]string, bool) { return nil, slices.Contains(inner, name) })
		}
		w.raw(m.name(), string(value))
	}
	w.close()
	return w
}

package oktaclient

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf8"
)

const (
	maxUser  = 1 << 20 // bytes of one user's JSON
	maxDepth = 64      // levels of nesting, the page's array being the first
)

// cutter cuts a page of users without decoding it: one pass that checks that
// the page is JSON (RFC 8259) from its first byte to its last, finds where each
// user begins and ends, and picks the three members that a reader needs. It
// keeps its memory from page to page.
type cutter struct {
	found []found
	users []Record
}

// found is where in a page a user is, and its members without their quotes.
type found struct{ json, id, status, lastUpdated []byte }

// errAt is where a page is broken; what stands there may be about a person.
type errAt int

func (at errAt) Error() string { return fmt.Sprintf("broken JSON at byte %d", int(at)) }

// cut returns the users of a page, in parts of page and valid as long as it is,
// or until the next cut.
func (c *cutter) cut(page []byte, hasStatus bool) ([]Record, error) {
	c.found = c.found[:0]
	i := skipSpace(page, 0)
	if !is(page, i, '[') {
		return nil, errAt(i)
	}
	i = skipSpace(page, i+1)
	for !is(page, i, ']') || len(c.found) > 0 {
		user, end, ok := findUser(page, i, hasStatus)
		switch {
		case !ok:
			return nil, errAt(end)
		case len(user.json) > maxUser:
			return nil, &rejection{class: "too large", final: true, err: fmt.Errorf("user %d of the page is over %d bytes", len(c.found)+1, maxUser)}
		}
		c.found = append(c.found, user)
		if i = skipSpace(page, end); !is(page, i, ',') {
			break
		}
		i = skipSpace(page, i+1)
	}
	if !is(page, i, ']') {
		return nil, errAt(i)
	}
	if i = skipSpace(page, i+1); i != len(page) {
		return nil, errAt(i)
	}
	if !utf8.Valid(page) { // RFC 8259, section 8.1
		return nil, fmt.Errorf("broken JSON: not UTF-8")
	}
	return c.name(), nil
}

// name makes users of what was found. All their strings are parts of one, which
// is what keeps a user free of allocations.
func (c *cutter) name() []Record {
	var all strings.Builder
	size := 0
	for _, f := range c.found {
		size += len(f.id) + len(f.status) + len(f.lastUpdated)
	}
	all.Grow(size)
	for _, f := range c.found {
		all.Write(f.id)
		all.Write(f.status)
		all.Write(f.lastUpdated)
	}
	rest := all.String()
	take := func(n int) (s string) {
		s, rest = rest[:n], rest[n:]
		return s
	}
	c.users = c.users[:0]
	for _, f := range c.found {
		c.users = append(c.users, Record{ID: take(len(f.id)), Status: take(len(f.status)), LastUpdated: take(len(f.lastUpdated)), JSON: f.json})
	}
	return c.users
}

// findUser finds the user that begins at i and returns where it ends, or where
// it is broken: an object with the strings id and status, each once and not
// empty, and perhaps lastUpdated, a string or null.
func findUser(b []byte, i int, hasStatus bool) (u found, end int, ok bool) {
	start := i
	if !is(b, i, '{') {
		return u, i, false
	}
	for i = skipSpace(b, i+1); ; i = skipSpace(b, i+1) {
		key, end, ok := findString(b, i)
		if !ok {
			return u, end, false
		}
		if i = skipSpace(b, end); !is(b, i, ':') {
			return u, i, false
		}
		i = skipSpace(b, i+1)
		if i, ok = u.member(key, b, i); !ok {
			return u, i, false
		}
		if i = skipSpace(b, i); !is(b, i, ',') {
			break
		}
	}
	if !is(b, i, '}') || len(u.id) == 0 || hasStatus && len(u.status) == 0 {
		return u, i, false
	}
	u.json = b[start : i+1 : i+1]
	return u, i + 1, true
}

// member takes the value of a member, at i, and returns where it ends.
func (u *found) member(key, b []byte, i int) (end int, ok bool) {
	var field *[]byte
	switch string(key) {
	case "id":
		field = &u.id
	case "status":
		field = &u.status
	case "lastUpdated":
		field = &u.lastUpdated
	default:
		return skipValue(b, i, 2) // within the page's array and the user
	}
	switch {
	case *field != nil:
		return i, false // twice
	case field == &u.lastUpdated && is(b, i, 'n'):
		*field = b[i:i]
		return skipValue(b, i, 2)
	}
	*field, end, ok = findString(b, i)
	return end, ok
}

// findString returns the text of the string at i and where it ends, or where
// it is broken.
func findString(b []byte, i int) (text []byte, end int, ok bool) {
	if !is(b, i, '"') {
		return nil, i, false
	}
	end, escaped, ok := skipString(b, i)
	if !ok {
		return nil, end, false
	}
	text = b[i+1 : end-1]
	if escaped {
		var s string
		if json.Unmarshal(b[i:end], &s) != nil {
			return nil, i, false
		}
		text = []byte(s)
	}
	return text, end, true
}

// is tells whether b has c at i.
func is(b []byte, i int, c byte) bool { return i < len(b) && b[i] == c }

func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipValue returns where the value that begins at i ends, or where it is
// broken. depth is the number of arrays and objects that it is in.
func skipValue(b []byte, i, depth int) (end int, ok bool) {
	switch {
	case i == len(b):
		return i, false
	case b[i] == '"':
		end, _, ok = skipString(b, i)
		return end, ok
	case b[i] == '{' || b[i] == '[':
		return skipNested(b, i, depth+1)
	default:
		return skipScalar(b, i)
	}
}

// skipNested is skipValue for an array or object, itself included in depth.
func skipNested(b []byte, i, depth int) (end int, ok bool) {
	if depth > maxDepth {
		return i, false
	}
	object, closing := b[i] == '{', b[i]+2 // as ASCII has it
	if i = skipSpace(b, i+1); is(b, i, closing) {
		return i + 1, true
	}
	for {
		if object {
			if i, ok = skipKey(b, i); !ok {
				return i, false
			}
		}
		if i, ok = skipValue(b, i, depth); !ok {
			return i, false
		}
		if i = skipSpace(b, i); !is(b, i, ',') {
			break
		}
		i = skipSpace(b, i+1)
	}
	if !is(b, i, closing) {
		return i, false
	}
	return i + 1, true
}

// skipKey returns where the value of the member at i begins.
func skipKey(b []byte, i int) (value int, ok bool) {
	if !is(b, i, '"') {
		return i, false
	}
	if i, _, ok = skipString(b, i); !ok {
		return i, false
	}
	if i = skipSpace(b, i); !is(b, i, ':') {
		return i, false
	}
	return skipSpace(b, i+1), true
}

// skipString returns where the string that begins at i ends, after its quote,
// and whether it has escapes. It looks at eight bytes at a time.
func skipString(b []byte, i int) (end int, escaped, ok bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for i++; ; {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^('"'*ones), w^('\\'*ones)
			// The high bit of each byte that is a control, a quote or a
			// backslash, and perhaps of some after the first such.
			stop := ((w - ' '*ones) &^ w) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)
			if stop &= highs; stop != 0 {
				i += bits.TrailingZeros64(stop) / 8
				break
			}
			i += 8
		}
		for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
			i++ // the last few bytes of a page
		}
		switch {
		case is(b, i, '"'):
			return i + 1, escaped, true
		case !is(b, i, '\\') || i+1 == len(b):
			return i, escaped, false
		}
		escaped = true
		switch b[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			if i+6 > len(b) || !hex(b[i+2]) || !hex(b[i+3]) || !hex(b[i+4]) || !hex(b[i+5]) {
				return i, escaped, false
			}
			i += 6
		default:
			return i, escaped, false
		}
	}
}

func hex(c byte) bool { return digit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func digit(c byte) bool { return '0' <= c && c <= '9' }

// skipScalar returns where the number, true, false or null that begins at i
// ends.
func skipScalar(b []byte, i int) (end int, ok bool) {
	for _, literal := range [...]string{"null", "true", "false"} {
		if b[i] == literal[0] {
			end = i + len(literal)
			return end, end <= len(b) && string(b[i:end]) == literal
		}
	}
	if is(b, i, '-') {
		i++
	}
	if is(b, i, '0') {
		i++
	} else if i, ok = skipDigits(b, i); !ok {
		return i, false
	}
	if is(b, i, '.') {
		if i, ok = skipDigits(b, i+1); !ok {
			return i, false
		}
	}
	if is(b, i, 'e') || is(b, i, 'E') {
		if i++; is(b, i, '+') || is(b, i, '-') {
			i++
		}
		if i, ok = skipDigits(b, i); !ok {
			return i, false
		}
	}
	return i, true
}

// skipDigits skips digits, at least one.
func skipDigits(b []byte, i int) (end int, ok bool) {
	for end = i; end < len(b) && digit(b[end]); {
		end++
	}
	return end, end > i
}

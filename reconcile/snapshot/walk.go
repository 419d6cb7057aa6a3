package snapshot

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

var errNotCanonical = errors.New("not a user in canonical form")

// members walks over the members of an object in canonical form, decoding
// nothing. What is not canonical ends the walk with an error; it is found
// only as far as the walk has to look.
type members struct {
	rest  []byte // begins with { or , before a member
	name  []byte // as it stands between its quotes
	value []byte
	err   error
}

func membersOf(object []byte) *members {
	m := &members{rest: object}
	if !isObject(object) {
		m.err = errNotCanonical
	}
	return m
}

// next moves to the next member and reports whether there is one.
func (m *members) next() bool {
	if m.err != nil || len(m.rest) == 1 || len(m.rest) == 2 && m.rest[0] == '{' {
		return false
	}
	colon := stringEnd(m.rest, 1)
	if colon < 0 || colon >= len(m.rest) || m.rest[colon] != ':' {
		m.err = errNotCanonical
		return false
	}
	end := valueEnd(m.rest, colon+1)
	if end <= colon+1 || end >= len(m.rest) || m.rest[end] != ',' && end != len(m.rest)-1 {
		m.err = errNotCanonical
		return false
	}
	m.name, m.value, m.rest = m.rest[2:colon-1], m.rest[colon+1:end], m.rest[end:]
	return true
}

// find returns the value of a member of object, nil where there is none.
func find(object []byte, name string) ([]byte, error) {
	m := membersOf(object)
	for m.next() {
		if string(m.name) == name {
			return m.value, nil
		}
	}
	return nil, m.err
}

// valueEnd returns the index after the value that begins at b[i], or -1.
func valueEnd(b []byte, i int) int {
	depth := 0
	for i >= 0 && i < len(b) {
		switch b[i] {
		case '"':
			if i = stringEnd(b, i); depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return -1
}

// stringEnd returns the index after the string that begins at b[i], or -1.
func stringEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}

func isObject(value []byte) bool {
	return len(value) >= 2 && value[0] == '{' && value[len(value)-1] == '}'
}

func isNull(value []byte) bool { return string(value) == "null" }

// appendText appends to dst what a canonical string says; inside is what
// stands between its quotes.
func appendText(dst, inside []byte) []byte {
	if bytes.IndexByte(inside, '\\') < 0 {
		return append(dst, inside...)
	}
	quoted := append(append([]byte{'"'}, inside...), '"')
	dst, _ = jsontext.AppendUnquote(dst, quoted) // canonical, so it is valid
	return dst
}

// compareNames compares two names, as they stand between their quotes in
// canonical JSON, in the order of RFC 8785, section 3.2.3.
func compareNames(a, b []byte) int {
	if bytes.IndexByte(a, '\\') >= 0 || bytes.IndexByte(b, '\\') >= 0 {
		a, b = appendText(nil, a), appendText(nil, b)
	}
	return compareUTF16(a, b)
}

// compareUTF16 compares UTF-8 texts by their UTF-16 code units. That is the
// order of their bytes, except that what takes four bytes and a pair of
// surrogates (U+10000 and above) comes before U+E000 to U+FFFF.
func compareUTF16(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return unit(a[i]) - unit(b[i])
		}
	}
	return len(a) - len(b)
}

// unit maps the first byte of a character to its place in UTF-16's order.
func unit(b byte) int {
	if b == 0xEE || b == 0xEF { // U+E000 to U+FFFF
		return 0x100 + int(b)
	}
	return int(b)
}

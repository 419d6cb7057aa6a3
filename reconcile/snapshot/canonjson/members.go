package canonjson

import (
	"errors"
	"strings"
)

// ErrNotCanonical means that the input isn't JSON in canonical form.
var ErrNotCanonical = errors.New("not canonical JSON")

// Members iterates over the members of an object in canonical form without
// decoding them. It finds errors only in the part that it has to read.
type Members struct {
	Name  []byte // the text between the quotes
	Value []byte
	Err   error // why the iteration ended early; nil at the end of the object

	rest []byte // begins with { or , before a member
}

// MembersOf returns an iterator over the members of object.
func MembersOf(object []byte) *Members {
	m := &Members{rest: object}
	if !IsObject(object) {
		m.Err = ErrNotCanonical
	}
	return m
}

// Next moves to the next member and reports whether there is one.
func (m *Members) Next() bool {
	if m.Err != nil || len(m.rest) == 1 || len(m.rest) == 2 && m.rest[0] == '{' {
		return false
	}
	colon := stringEnd(m.rest, 1)
	if colon < 0 || colon >= len(m.rest) || m.rest[colon] != ':' {
		m.Err = ErrNotCanonical
		return false
	}
	end := ValueEnd(m.rest, colon+1)
	if end <= colon+1 || end >= len(m.rest) || m.rest[end] != ',' && end != len(m.rest)-1 {
		m.Err = ErrNotCanonical
		return false
	}
	m.Name, m.Value, m.rest = m.rest[2:colon-1], m.rest[colon+1:end], m.rest[end:]
	return true
}

// Find returns the value of the member of object with this name, or nil if there is none.
func Find(object []byte, name string) ([]byte, error) {
	m := MembersOf(object)
	for m.Next() {
		if string(m.Name) == name {
			return m.Value, nil
		}
	}
	return nil, m.Err
}

// FindRaw appends the value of the first member of object with this name to dst, in
// canonical form, or nothing if there is none. object can have any form of JSON. FindRaw
// reads no further than this member. If it fails, it returns dst unchanged.
func FindRaw(dst, object []byte, name string) ([]byte, error) {
	c := canonicalizers.Get().(*canonicalizer)
	defer canonicalizers.Put(c)
	c.src, c.dst, c.pos, c.members = object, dst, 0, c.members[:0]
	found, err := c.find(name)
	out := c.dst
	c.src, c.dst = nil, nil
	if err != nil || !found {
		return dst, err
	}
	return out, nil
}

// find appends the value of a member of the object that follows.
func (c *canonicalizer) find(name string) (found bool, err error) {
	start := len(c.dst)
	if c.space(); c.peek() != '{' {
		return false, c.fail("expected an object")
	}
	c.pos++
	for first := true; ; first = false {
		if more, err := c.more('}', first); !more || err != nil {
			return false, err
		}
		c.dst = c.dst[:start]
		if c.space(); c.peek() != '"' {
			return false, c.fail("expected a member name")
		}
		if err := c.string(); err != nil {
			return false, err
		}
		found := string(c.dst[start+1:len(c.dst)-1]) == name
		c.dst = c.dst[:start]
		if c.space(); c.peek() != ':' {
			return false, c.fail("expected a colon")
		}
		c.pos++
		if err := c.value(1); found || err != nil {
			return found, err
		}
	}
}

// ValueEnd returns the index after the value that begins at b[i], or -1.
func ValueEnd(b []byte, i int) int {
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

// IsObject reports whether value is an object.
func IsObject(value []byte) bool {
	return len(value) >= 2 && value[0] == '{' && value[len(value)-1] == '}'
}

// IsNull reports whether value is null.
func IsNull(value []byte) bool { return string(value) == "null" }

// FindPath returns the value at path, a list of member names joined by dots, in an
// object in canonical form, or nil if there is none.
func FindPath(object []byte, path string) ([]byte, error) {
	for {
		name, rest, more := strings.Cut(path, ".")
		value, err := Find(object, name)
		switch {
		case err != nil || !more:
			return value, err
		case !IsObject(value):
			return nil, nil
		}
		object, path = value, rest
	}
}

// Text returns the string at path, see FindPath, or "" if there is no string.
func Text(object []byte, path string) (string, error) {
	value, err := FindPath(object, path)
	return Unquote(value), err
}

package snapshot

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// A shape reads users in canonical form, and finds everything that is not
// canonical: it is as strict as Canonical, of which it decides without a copy
// whether that would give the same bytes again. Objects of one kind have the
// same members in the same order, so it remembers which member followed which,
// and needs one comparison where that is so once more. It is used by one
// goroutine at a time.
type shape struct {
	root       object
	src        []byte // ends in a line feed, which nothing else has: no need to look for the end
	id, status []byte // of the user at hand, as values; nil: it has none

	columns *Columns // get what belongs into them; nil where nothing is open
	err     error    // what columns say; nil where the user is not canonical
	kept    int      // places that are remembered
}

// An object is what is known of the objects that stand in one place.
type object struct {
	first   *place            // what came first the last time
	members map[string]*place // by key
	path    []byte            // with a dot after it, where columns look inside
	open    bool              // columns look inside
}

// A place is a member of an object.
type place struct {
	key    []byte // the name in its quotes and the colon
	next   *place // what followed the last time
	inside *object
	column int
}

const (
	noColumn      = -1 // nobody wants the value
	columnUnknown = -2 // all its values have been null so far
)

// mostPlaces are how many places are remembered. All others are looked at
// afresh each time.
const mostPlaces = 1 << 16

// read reads a line of users.
func (s *shape) read(line []byte) error {
	s.src, s.id, s.status, s.err = line, nil, nil, nil
	if s.columns != nil {
		clear(s.columns.cells)
	}
	if line[0] == '{' && s.object(0, &s.root, 0) == len(line)-1 {
		return nil
	}
	if s.err != nil {
		return s.err
	}
	return errNotCanonical
}

// The methods below are given the index at which something begins, and return
// the one after its end, or -1 where it is not canonical.

func (s *shape) value(i int, p *place, depth int) int {
	switch s.src[i] {
	case '"':
		return s.string(i)
	case '{':
		if p.inside == nil {
			p.inside = new(object)
		}
		return s.object(i, p.inside, depth)
	case '[':
		return s.list(i, p, depth)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	}
	return s.number(i)
}

func (s *shape) object(i int, o *object, depth int) int {
	if depth == MaxDepth {
		return -1
	}
	if s.src[i+1] == '}' {
		return i + 2
	}
	var last *place
	guess := &o.first
	for {
		i++
		p := *guess
		if p == nil || !bytes.HasPrefix(s.src[i:], p.key) {
			if p = s.member(i, o, last); p == nil {
				return -1
			}
			*guess = p
		}
		start := i + len(p.key)
		if i = s.value(start, p, depth+1); i < 0 || !s.took(o, p, s.src[start:i]) {
			return -1
		}
		switch s.src[i] {
		case ',':
		case '}':
			return i + 1
		default:
			return -1
		}
		last, guess = p, &p.next
	}
}

// member returns the place of the member that begins at i, after last. It is
// nil where that is none, or none that may follow.
func (s *shape) member(i int, o *object, last *place) *place {
	colon := s.string(i)
	if colon < 0 || s.src[colon] != ':' {
		return nil
	}
	key := s.src[i : colon+1]
	if last != nil && compareNames(last.key[1:len(last.key)-2], key[1:len(key)-2]) >= 0 {
		return nil
	}
	if p := o.members[string(key)]; p != nil {
		return p
	}
	p := &place{key: bytes.Clone(key), column: noColumn}
	if o.open {
		s.columns.place(o, p)
	}
	if o.members == nil {
		o.members = make(map[string]*place)
	}
	if s.kept < mostPlaces {
		s.kept++
		o.members[string(key)] = p
	}
	return p
}

// took hands on the value of a member, and reports whether that went well.
func (s *shape) took(o *object, p *place, value []byte) bool {
	if o == &s.root {
		switch string(p.key) {
		case `"id":`:
			s.id = value
		case `"status":`:
			s.status = value
		}
	}
	if p.column == noColumn {
		return true
	}
	s.err = s.columns.take(o, p, value)
	return s.err == nil
}

func (s *shape) list(i int, p *place, depth int) int {
	if depth == MaxDepth {
		return -1
	}
	if s.src[i+1] == ']' {
		return i + 2
	}
	in := place{inside: p.inside} // objects in a list have no columns
	if in.inside == nil || in.inside.open {
		in.inside = new(object)
	}
	if p.inside == nil {
		p.inside = in.inside
	}
	for {
		if i = s.value(i+1, &in, depth+1); i < 0 {
			return -1
		}
		switch s.src[i] {
		case ',':
		case ']':
			return i + 1
		default:
			return -1
		}
	}
}

func (s *shape) literal(i int, text string) int {
	if !bytes.HasPrefix(s.src[i:], []byte(text)) {
		return -1
	}
	return i + len(text)
}

// number is the grammar of RFC 8259, section 6.
func (s *shape) number(i int) int {
	if s.src[i] == '-' {
		i++
	}
	if s.src[i] == '0' {
		i++
	} else if i = s.digits(i); i < 0 {
		return -1
	}
	if s.src[i] == '.' {
		if i = s.digits(i + 1); i < 0 {
			return -1
		}
	}
	if s.src[i]|0x20 == 'e' {
		if i++; s.src[i] == '+' || s.src[i] == '-' {
			i++
		}
		i = s.digits(i)
	}
	return i
}

func (s *shape) digits(i int) int {
	start := i
	for '0' <= s.src[i] && s.src[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

func (s *shape) string(i int) int {
	if s.src[i] != '"' {
		return -1
	}
	i++
	for {
		for i+8 <= len(s.src) {
			n := plainBytes(binary.LittleEndian.Uint64(s.src[i:]))
			if i += n; n < 8 {
				break
			}
		}
		for plain[s.src[i]] {
			i++
		}
		switch b := s.src[i]; {
		case b == '"':
			return i + 1
		case b == '\\':
			if i = s.escape(i); i < 0 {
				return -1
			}
		case b >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(s.src[i:])
			if r == utf8.RuneError && size == 1 {
				return -1
			}
			i += size
		default:
			return -1
		}
	}
}

// plainBytes returns how many of the eight bytes of x, the lowest first, stand
// for themselves in a string.
func plainBytes(x uint64) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	zeros := func(x uint64) uint64 { return (x - ones) &^ x } // the top bit of the first byte that is 0, and of none before
	stops := x | (x-' '*ones)&^x | zeros(x^'"'*ones) | zeros(x^'\\'*ones)
	return bits.TrailingZeros64(stops&tops) / 8
}

// escape is an escape sequence as RFC 8785, section 3.2.2.2, wants it: the
// short form where there is one, and none for what needs none.
func (s *shape) escape(i int) int {
	b := s.src[i+1]
	if bytes.IndexByte([]byte(`"\bfnrt`), b) >= 0 {
		return i + 2
	}
	if b != 'u' || !bytes.HasPrefix(s.src[i:], []byte(`\u00`)) || len(s.src) < i+7 {
		return -1
	}
	high, low := s.src[i+4], bytes.IndexByte([]byte("0123456789abcdef"), s.src[i+5])
	if high != '0' && high != '1' || low < 0 || high == '0' && bytes.IndexByte([]byte("\b\t\n\f\r"), byte(low)) >= 0 {
		return -1
	}
	return i + 6
}

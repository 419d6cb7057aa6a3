package canonjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// A Scanner checks that records are objects in canonical form, as strictly as
// [Canonical] but without a copy, and passes the values of members to a
// [Collector]. It isn't safe for concurrent use.
//
// Records of one resource have the same members in the same order. So a Scanner
// stores which member followed which, and needs one comparison per member. This
// makes it more than twice as fast as Canonical (BenchmarkScan). Package verify
// scans every record of a store.
type Scanner struct {
	Values [][]byte // of the watched members of the current record; nil: the member is absent

	watch     []string
	collector Collector // nil: values aren't collected
	root      object
	src       []byte // the record and a line feed, so that no index needs a check
	err       error  // of the collector; nil if the record isn't canonical
	kept      int    // number of stored members
}

// A Collector receives the values of some members of each record.
type Collector interface {
	// Member decides about a member when it is first seen: it sets Number to
	// receive the values, and calls Open to receive the members of the object at m.
	Member(m *Member)
	// Value receives the value of a member with a Number. An error ends the scan.
	Value(m *Member, value []byte) error
}

// A Member is a member of the objects at one path.
type Member struct {
	Number int // chosen by the Collector; NoNumber: no values are passed

	key     []byte // the name in its quotes and the colon
	parent  *object
	next    *Member // the member that followed the last time
	inside  *object
	watched int // index in Values; -1: none
}

// NoNumber is the Number of a member whose values the Collector doesn't receive.
const NoNumber = -1

// An object describes the objects at one path.
type object struct {
	first   *Member            // the first member of the last object
	members map[string]*Member // by key
	path    []byte             // with a dot at its end; only if open
	open    bool               // members are passed to the collector
}

// maxMembers is the most members that a Scanner stores. It parses others each time.
const maxMembers = 1 << 16

// NewScanner returns a Scanner that stores the values of the top-level members
// named in watch in Values, in that order, and passes all other values to
// collector, which may be nil.
func NewScanner(watch []string, collector Collector) *Scanner {
	s := &Scanner{Values: make([][]byte, len(watch)), watch: watch, collector: collector}
	s.root.open = collector != nil
	return s
}

// Path returns the path of m: names joined by dots.
func (m *Member) Path() string {
	return string(AppendText(bytes.Clone(m.parent.path), m.key[1:len(m.key)-2]))
}

// Open makes the Scanner pass the members of the object at m to the Collector.
func (m *Member) Open() { m.inside = &object{open: true, path: []byte(m.Path() + ".")} }

// IsOpen reports whether Open was called.
func (m *Member) IsOpen() bool { return m.inside != nil && m.inside.open }

// Scan checks a record, which must be followed by a line feed. The error is
// [ErrNotCanonical] or an error of the collector.
func (s *Scanner) Scan(line []byte) error {
	s.src, s.err = line, nil
	clear(s.Values)
	if line[0] == '{' && s.object(0, &s.root, 0) == len(line)-1 {
		return nil
	}
	if s.err != nil {
		return s.err
	}
	return ErrNotCanonical
}

// Each of the following methods takes the index of the first byte of a part of
// src, and returns the index after its end, or -1 if it isn't canonical.

func (s *Scanner) value(i int, p *Member, depth int) int {
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

func (s *Scanner) object(i int, o *object, depth int) int {
	if depth == MaxDepth {
		return -1
	}
	if s.src[i+1] == '}' {
		return i + 2
	}
	var last *Member
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
		if i = s.value(start, p, depth+1); i < 0 || !s.passed(p, s.src[start:i]) {
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

// member returns the member that begins at i and follows last. It returns nil if
// there is none, or if it is out of order.
func (s *Scanner) member(i int, o *object, last *Member) *Member {
	colon := s.string(i)
	if colon < 0 || s.src[colon] != ':' {
		return nil
	}
	key := s.src[i : colon+1]
	if last != nil && CompareNames(last.key[1:len(last.key)-2], key[1:len(key)-2]) >= 0 {
		return nil
	}
	if p := o.members[string(key)]; p != nil {
		return p
	}
	p := &Member{Number: NoNumber, key: bytes.Clone(key), parent: o, watched: -1}
	if o == &s.root {
		p.watched = slices.Index(s.watch, Unquote(key[:len(key)-1]))
	}
	if o.open {
		s.collector.Member(p)
	}
	if o.members == nil {
		o.members = make(map[string]*Member)
	}
	if s.kept < maxMembers {
		s.kept++
		o.members[string(key)] = p
	}
	return p
}

// passed passes the value of a member to the collector, and reports whether the
// collector accepted it.
func (s *Scanner) passed(p *Member, value []byte) bool {
	if p.watched >= 0 {
		s.Values[p.watched] = value
	}
	if p.Number == NoNumber {
		return true
	}
	s.err = s.collector.Value(p, value)
	return s.err == nil
}

func (s *Scanner) list(i int, p *Member, depth int) int {
	if depth == MaxDepth {
		return -1
	}
	if s.src[i+1] == ']' {
		return i + 2
	}
	in := Member{inside: p.inside} // objects in a list aren't passed to the collector
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

func (s *Scanner) literal(i int, text string) int {
	if !bytes.HasPrefix(s.src[i:], []byte(text)) {
		return -1
	}
	return i + len(text)
}

// number is the grammar of RFC 8259, section 6.
func (s *Scanner) number(i int) int {
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

func (s *Scanner) digits(i int) int {
	start := i
	for '0' <= s.src[i] && s.src[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

func (s *Scanner) string(i int) int {
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

// plainBytes returns how many of the eight bytes of x, from the lowest on, are plain
// before the first that isn't.
func plainBytes(x uint64) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	zeros := func(x uint64) uint64 { return (x - ones) &^ x } // the top bit of the first byte that is 0, and of none before
	stops := x | (x-' '*ones)&^x | zeros(x^'"'*ones) | zeros(x^'\\'*ones)
	return bits.TrailingZeros64(stops&tops) / 8
}

// escape is an escape sequence of RFC 8785, section 3.2.2.2: the short form if there
// is one, and no escape of a character that doesn't need it.
func (s *Scanner) escape(i int) int {
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

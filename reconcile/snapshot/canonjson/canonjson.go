// Package canonjson makes JSON canonical, compares it, and selects parts of it by
// path. Canonical JSON is as in RFC 8785, except that numbers keep their text.
//
// The packages of the store use it for records, manifests and journals, and package
// reconcile for records. Start reading at [Canonical]. The files: scanner.go (one
// pass over a record), members.go (the members of an object), attributes.go (paths
// that are kept or removed).
package canonjson

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is the most levels to which lists and objects may be nested.
const MaxDepth = 100

// Canonical appends the canonical form of the JSON value src to dst: the order of
// members and the escapes in strings of RFC 8785, no white space, and the text of
// each number unchanged. A duplicate member, invalid UTF-8, unpaired surrogate,
// text after the value, and more than MaxDepth levels are errors. After an error,
// it returns dst unchanged. An error contains a position, and no part of src. dst
// and src must not overlap.
//
// Canonical takes 16 % of the CPU of apply (profile of BenchmarkApply, 100,000
// users). jsontext.Value.Format returns the same form in 2.5 to 3 times the time,
// so that apply would exceed its limit of 3 floors.
func Canonical(dst, src []byte) ([]byte, error) {
	c := canonicalizers.Get().(*canonicalizer)
	defer canonicalizers.Put(c)
	c.src, c.dst, c.pos, c.members = src, dst, 0, c.members[:0]
	err := c.value(0)
	if c.space(); err == nil && c.pos < len(src) {
		err = c.fail("unexpected text after the value")
	}
	out := c.dst
	c.src, c.dst = nil, nil
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Marshal returns v as JSON in the form of RFC 8785, including numbers, without a
// line feed.
func Marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	value := jsontext.Value(b)
	if err := value.Canonicalize(); err != nil {
		return nil, err
	}
	return value, nil
}

var canonicalizers = sync.Pool{New: func() any { return new(canonicalizer) }}

// A canonicalizer reads src from pos on and appends to dst.
type canonicalizer struct {
	src     []byte
	pos     int
	dst     []byte
	members []member  // of the objects being read, the innermost last
	orders  [64][]int // by number of members: the order of the last such object
	scratch []byte
}

// A member is the position of a member of an object in dst.
type member struct{ start, colon, end int }

func (c *canonicalizer) fail(problem string) error {
	return fmt.Errorf("invalid JSON at byte %d: %s", c.pos, problem)
}

// peek returns the next byte, or 0 at the end. JSON contains no byte 0.
func (c *canonicalizer) peek() byte {
	if c.pos < len(c.src) {
		return c.src[c.pos]
	}
	return 0
}

func (c *canonicalizer) space() {
	for c.pos < len(c.src) {
		switch c.src[c.pos] {
		case ' ', '\n', '\r', '\t':
			c.pos++
		default:
			return
		}
	}
}

func (c *canonicalizer) value(depth int) error {
	c.space()
	switch b := c.peek(); b {
	case '{', '[':
		if depth == MaxDepth {
			return c.fail(fmt.Sprintf("nested deeper than %d levels", MaxDepth))
		}
		c.pos++
		c.dst = append(c.dst, b)
		if b == '{' {
			return c.object(depth + 1)
		}
		return c.list(depth + 1)
	case '"':
		return c.string()
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	}
	return c.number()
}

func (c *canonicalizer) list(depth int) error {
	for first := true; ; first = false {
		if more, err := c.more(']', first); !more {
			return err
		}
		if err := c.value(depth); err != nil {
			return err
		}
	}
}

func (c *canonicalizer) object(depth int) error {
	base, escaped := len(c.members), false
	for first := true; ; first = false {
		if more, err := c.more('}', first); err != nil {
			return err
		} else if !more {
			break
		}
		m := member{start: len(c.dst)}
		if c.space(); c.peek() != '"' {
			return c.fail("expected a member name")
		}
		if err := c.string(); err != nil {
			return err
		}
		m.colon = len(c.dst)
		escaped = escaped || bytes.IndexByte(c.dst[m.start:], '\\') >= 0
		if c.space(); c.peek() != ':' {
			return c.fail("expected a colon")
		}
		c.pos++
		c.dst = append(c.dst, ':')
		if err := c.value(depth); err != nil {
			return err
		}
		m.end = len(c.dst)
		c.members = append(c.members, m)
	}
	err := c.sort(c.members[base:], escaped)
	c.members = c.members[:base]
	return err
}

// more skips a comma, or the closing byte of a list or object. It reports whether
// an element follows.
func (c *canonicalizer) more(closing byte, first bool) (bool, error) {
	c.space()
	switch b := c.peek(); {
	case b == closing:
		c.pos++
		c.dst = append(c.dst, closing)
		return false, nil
	case first:
		return true, nil
	case b == ',':
		c.pos++
		c.dst = append(c.dst, ',')
		return true, nil
	}
	return false, c.fail("expected a comma or the end")
}

// sort sorts the members of one object in dst. Records of one resource have the
// same members in the same order. So sort first tries the permutation that sorted
// the last object with as many members, which takes n-1 comparisons.
func (c *canonicalizer) sort(members []member, escaped bool) error {
	n := len(members)
	if n < 2 {
		return nil
	}
	compare := compareUTF16
	if escaped {
		compare = CompareNames
	}
	byName := func(i, j int) int {
		a, b := members[i], members[j]
		return compare(c.dst[a.start+1:a.colon-1], c.dst[b.start+1:b.colon-1])
	}
	sorted := func(order []int) bool {
		for k := 1; k < n; k++ {
			if byName(order[k-1], order[k]) >= 0 {
				return false
			}
		}
		return true
	}
	var order []int
	if n < len(c.orders) {
		order = c.orders[n]
	}
	if order == nil || !sorted(order) {
		order = make([]int, n)
		for i := range order {
			order[i] = i
		}
		if slices.SortFunc(order, byName); !sorted(order) {
			return c.fail("duplicate member name")
		}
		if n < len(c.orders) {
			c.orders[n] = order
		}
	}
	c.permute(members, order)
	return nil
}

// permute rewrites members, which are adjacent in dst, in order.
func (c *canonicalizer) permute(members []member, order []int) {
	if slices.IsSorted(order) {
		return
	}
	to := members[0].start
	c.scratch = append(c.scratch[:0], c.dst[to:members[len(members)-1].end]...)
	for k, i := range order {
		if k > 0 {
			c.dst[to] = ','
			to++
		}
		m, from := members[i], members[0].start
		to += copy(c.dst[to:], c.scratch[m.start-from:m.end-from])
	}
}

func (c *canonicalizer) literal(text string) error {
	if !bytes.HasPrefix(c.src[c.pos:], []byte(text)) {
		return c.fail("expected a value")
	}
	c.pos += len(text)
	c.dst = append(c.dst, text...)
	return nil
}

// number copies a number. RFC 8259, section 6, has its grammar.
func (c *canonicalizer) number() error {
	start := c.pos
	if c.peek() == '-' {
		c.pos++
	}
	if c.peek() == '0' {
		c.pos++
	} else if !c.digits() {
		return c.fail("expected a value")
	}
	if c.peek() == '.' {
		c.pos++
		if !c.digits() {
			return c.fail("expected a digit")
		}
	}
	if b := c.peek(); b == 'e' || b == 'E' {
		c.pos++
		if b := c.peek(); b == '+' || b == '-' {
			c.pos++
		}
		if !c.digits() {
			return c.fail("expected a digit")
		}
	}
	c.dst = append(c.dst, c.src[start:c.pos]...)
	return nil
}

// digits skips digits, and reports whether there were any.
func (c *canonicalizer) digits() bool {
	start := c.pos
	for b := c.peek(); '0' <= b && b <= '9'; b = c.peek() {
		c.pos++
	}
	return c.pos > start
}

// plain marks the ASCII bytes that a string contains unescaped.
var plain = func() (set [256]bool) {
	for b := ' '; b < utf8.RuneSelf; b++ {
		set[b] = b != '"' && b != '\\'
	}
	return set
}()

// string copies a string, in runs of bytes without an escape.
func (c *canonicalizer) string() error {
	start := c.pos // of a run; the first one includes the opening quote
	c.pos++
	for {
		for c.pos < len(c.src) && plain[c.src[c.pos]] {
			c.pos++
		}
		switch b := c.peek(); {
		case b == '"':
			c.pos++
			c.dst = append(c.dst, c.src[start:c.pos]...)
			return nil
		case b == '\\':
			c.dst = append(c.dst, c.src[start:c.pos]...)
			r, err := c.escape()
			if err != nil {
				return err
			}
			c.dst = appendEscaped(c.dst, r)
			start = c.pos
		case b >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(c.src[c.pos:])
			if r == utf8.RuneError && size == 1 {
				return c.fail("invalid UTF-8")
			}
			c.pos += size
		case c.pos == len(c.src):
			return c.fail("unterminated string")
		default:
			return c.fail("control character in a string")
		}
	}
}

// escape reads an escape sequence, or two that are a pair of surrogates.
func (c *canonicalizer) escape() (rune, error) {
	if c.pos+1 < len(c.src) {
		if i := bytes.IndexByte([]byte(`"\/bfnrt`), c.src[c.pos+1]); i >= 0 {
			c.pos += 2
			return rune("\"\\/\b\f\n\r\t"[i]), nil
		}
	}
	r, ok := c.hex(c.pos)
	switch {
	case !ok:
		return 0, c.fail("invalid escape")
	case !utf16.IsSurrogate(r):
		c.pos += 6
		return r, nil
	}
	low, ok := c.hex(c.pos + 6)
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, c.fail("unpaired surrogate")
	}
	c.pos += 12
	return r, nil
}

// hex returns the UTF-16 code unit of the escape sequence \uXXXX at src[i:].
func (c *canonicalizer) hex(i int) (rune, bool) {
	if i+6 > len(c.src) || c.src[i] != '\\' || c.src[i+1] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(string(c.src[i+2:i+6]), 16, 16)
	return rune(r), err == nil
}

// appendEscaped appends r to a string, see RFC 8785, section 3.2.2.2.
func appendEscaped(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if r < ' ' {
		return fmt.Appendf(dst, `\u%04x`, r)
	}
	return utf8.AppendRune(dst, r)
}

package diff

import (
	"bytes"
	"slices"

	"oktasync/reconcile/snapshot/canonjson"
)

// A pair compares two states of one record. The result is in paths, before and
// after until the next comparison. A null equals an absent member, at any depth,
// because Okta omits null members inconsistently.
type pair struct {
	ignore        []string // paths whose change doesn't count
	path          []byte   // of the current member; of an object, with a dot after it
	paths         []string
	before, after []byte // objects that contain only the differences
}

// compare compares two records in canonical form.
func (p *pair) compare(before, after []byte) error {
	p.path, p.paths = p.path[:0], p.paths[:0]
	p.before, p.after = append(p.before[:0], '{'), append(p.after[:0], '{')
	if err := p.objects(before, after); err != nil {
		return err
	}
	p.before, p.after = append(p.before, '}'), append(p.after, '}')
	slices.Sort(p.paths)
	return nil
}

// objects compares two objects whose path, with a dot after it, is p.path. It
// merges their members, which are sorted.
func (p *pair) objects(before, after []byte) error {
	prefix := len(p.path)
	a, b := canonjson.MembersOf(orEmpty(before)), canonjson.MembersOf(orEmpty(after))
	inA, inB := a.Next(), b.Next()
	for inA || inB {
		order := 0
		switch {
		case !inB:
			order = -1
		case !inA:
			order = 1
		default:
			order = canonjson.CompareNames(a.Name, b.Name)
		}
		name := a.Name
		var was, is []byte
		if order <= 0 {
			was = present(a.Value)
		}
		if order >= 0 {
			name, is = b.Name, present(b.Value)
		}
		p.path = canonjson.AppendText(p.path[:prefix], name)
		if err := p.values(name, was, is); err != nil {
			return err
		}
		if order <= 0 {
			inA = a.Next()
		}
		if order >= 0 {
			inB = b.Next()
		}
	}
	p.path = p.path[:prefix]
	if a.Err != nil {
		return a.Err
	}
	return b.Err
}

// values compares the values of one member at p.path. An absent value is nil.
func (p *pair) values(name, was, is []byte) error {
	switch {
	case bytes.Equal(was, is) || p.ignored():
		return nil
	case canonjson.IsObject(was) && canonjson.IsObject(is) || was == nil && hasMembers(is) || is == nil && hasMembers(was):
		return p.nested(name, was, is)
	case sameValue(was, is):
		return nil
	}
	p.paths = append(p.paths, string(p.path))
	p.before = appendMember(p.before, name, was)
	p.after = appendMember(p.after, name, is)
	return nil
}

// nested compares two objects, the values of the member name, and keeps only the
// differences. One of them can be absent.
func (p *pair) nested(name, was, is []byte) error {
	before, after := len(p.before), len(p.after)
	p.before, p.after = appendMember(p.before, name, []byte("{")), appendMember(p.after, name, []byte("{"))
	insideBefore, insideAfter := len(p.before), len(p.after)
	p.path = append(p.path, '.')
	if err := p.objects(was, is); err != nil {
		return err
	}
	p.before = closeObject(p.before, before, insideBefore)
	p.after = closeObject(p.after, after, insideAfter)
	return nil
}

func (p *pair) ignored() bool { return canonjson.CoversAny(p.ignore, string(p.path)) }

// closeObject ends an object whose first member would be at inside. If it is empty,
// closeObject removes it from start on.
func closeObject(dst []byte, start, inside int) []byte {
	if len(dst) == inside {
		return dst[:start]
	}
	return append(dst, '}')
}

// appendMember appends a member to the object at the end of dst, unless value is
// nil.
func appendMember(dst, name, value []byte) []byte {
	if value == nil {
		return dst
	}
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(append(append(dst, '"'), name...), `":`...)
	return append(dst, value...)
}

// orEmpty returns object, or an empty one if it is absent.
func orEmpty(object []byte) []byte {
	if object == nil {
		return []byte("{}")
	}
	return object
}

// hasMembers reports whether value is an object with a member that is not null.
// Otherwise, only the path of the object itself can differ.
func hasMembers(value []byte) bool {
	return canonjson.IsObject(value) && !sameValue(value, []byte("{}"))
}

// present returns value, or nil if it is null.
func present(value []byte) []byte {
	if canonjson.IsNull(value) {
		return nil
	}
	return value
}

// sameValue reports whether two values are equal without members that are null.
func sameValue(a, b []byte) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return bytes.Equal(a, b) || bytes.Equal(withoutNulls(nil, a), withoutNulls(nil, b))
}

// withoutNulls appends a canonical value to dst without members that are null, at
// any depth. It keeps null elements of lists.
func withoutNulls(dst, value []byte) []byte {
	switch {
	case !bytes.Contains(value, []byte("null")):
		return append(dst, value...)
	case canonjson.IsObject(value):
		dst = append(dst, '{')
		for m := canonjson.MembersOf(value); m.Next(); {
			if !canonjson.IsNull(m.Value) {
				dst = withoutNulls(appendMember(dst, m.Name, []byte{}), m.Value)
			}
		}
		return append(dst, '}')
	case value[0] == '[':
		dst = append(dst, '[')
		for rest := value[1:]; len(rest) > 1; {
			end := canonjson.ValueEnd(rest, 0)
			if end < 0 || end >= len(rest) {
				return append(dst, rest...) // not canonical: compared unchanged
			}
			dst = append(withoutNulls(dst, rest[:end]), rest[end])
			rest = rest[end+1:]
		}
		return append(bytes.TrimSuffix(dst, []byte("]")), ']')
	}
	return append(dst, value...)
}

package filter

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"oktasync/reconcile/snapshot/canonjson"
)

// A node is a part of an expression.
type node interface {
	match(record []byte) bool
}

type (
	or  []node
	and []node
	not struct{ node }
)

// A comparison compares the values at a path with a value.
type comparison struct {
	path     string
	operator string // in lower case
	value    value  // of an operator other than pr
}

// Has reports whether a record in canonical form has an attribute, which may be null.
func Has(record []byte, path string) bool {
	return anyValue(record, path, func([]byte) bool { return true })
}

func (o or) match(record []byte) bool {
	return slices.ContainsFunc(o, func(n node) bool { return n.match(record) })
}

func (a and) match(record []byte) bool {
	return !slices.ContainsFunc(a, func(n node) bool { return !n.match(record) })
}

func (n not) match(record []byte) bool { return !n.node.match(record) }

func (c comparison) match(record []byte) bool {
	switch {
	case c.operator == "pr":
		return anyValue(record, c.path, isPresent)
	case c.value.kind == nullValue:
		return (c.operator == "eq") != anyValue(record, c.path, isPresent)
	case c.operator == "ne":
		return !anyValue(record, c.path, func(v []byte) bool { return c.value.accepts("eq", v) })
	}
	return anyValue(record, c.path, func(v []byte) bool { return c.value.accepts(c.operator, v) })
}

// anyValue reports whether is returns true for a value at path. An element of a list is
// a value, and a path continues in each element.
func anyValue(object []byte, path string, is func(value []byte) bool) bool {
	name, rest, more := strings.Cut(path, ".")
	value, err := canonjson.Find(object, name)
	if err != nil || value == nil {
		return false
	}
	return anyElement(value, func(v []byte) bool {
		if more {
			return canonjson.IsObject(v) && anyValue(v, rest, is)
		}
		return is(v)
	})
}

// anyElement calls is for value, or for the elements of value if it is a list.
func anyElement(value []byte, is func([]byte) bool) bool {
	if value[0] != '[' {
		return is(value)
	}
	for rest := value[1:]; len(rest) > 1; {
		end := canonjson.ValueEnd(rest, 0)
		if end <= 0 || end >= len(rest) {
			return false
		}
		if anyElement(rest[:end], is) {
			return true
		}
		rest = rest[end+1:]
	}
	return false
}

// isPresent reports whether a value isn't null, "" or an empty object.
func isPresent(v []byte) bool { return !canonjson.IsNull(v) && string(v) != `""` && string(v) != "{}" }

// A value is the right side of a comparison.
type value struct {
	kind   kind
	text   string  // folded; of a number or a bool: as written
	number float64 // of a numberValue
	time   time.Time
	isTime bool // the text of a textValue is a time
}

type kind int

const (
	textValue kind = iota
	timeValue      // relative to now
	numberValue
	boolValue
	nullValue
)

// fold returns text for a comparison that ignores case, as Okta's search does.
func fold(text string) string { return strings.ToLower(text) }

func newText(text string) value {
	v := value{kind: textValue, text: fold(text)}
	t, err := time.Parse(time.RFC3339, text)
	v.time, v.isTime = t, err == nil
	return v
}

// problem returns why an operator can't be used with v, or "".
func (v value) problem(operator string) string {
	switch operator {
	case "co", "sw":
		if v.kind != textValue {
			return operator + " needs a text in double quotes"
		}
	case "gt", "ge", "lt", "le":
		if v.kind == boolValue || v.kind == nullValue {
			return operator + " needs a text, a time or a number"
		}
	}
	return ""
}

// accepts compares a value of a record, other than a list, with v.
func (v value) accepts(operator string, found []byte) bool {
	switch operator {
	case "co":
		return isText(found) && strings.Contains(fold(canonjson.Unquote(found)), v.text)
	case "sw":
		return isText(found) && strings.HasPrefix(fold(canonjson.Unquote(found)), v.text)
	}
	order, ok := v.compare(found)
	if !ok {
		return false
	}
	switch operator {
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	case "lt":
		return order < 0
	case "le":
		return order <= 0
	}
	return order == 0 // eq
}

// compare compares a value of a record with v. ok is false if they have different types.
func (v value) compare(found []byte) (order int, ok bool) {
	switch v.kind {
	case boolValue:
		return bytes.Compare(found, []byte(v.text)), found[0] == 't' || found[0] == 'f'
	case numberValue:
		if string(found) == v.text {
			return 0, true // also a number that float64 can't represent
		}
		number, err := strconv.ParseFloat(string(found), 64)
		return cmp.Compare(number, v.number), err == nil && found[0] != '"'
	}
	text := canonjson.Unquote(found)
	if v.kind == timeValue || v.isTime {
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t.Compare(v.time), true
		}
	}
	return strings.Compare(fold(text), v.text), v.kind == textValue && isText(found)
}

func isText(v []byte) bool { return v[0] == '"' }

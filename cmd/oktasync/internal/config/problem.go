package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const isEmpty = "is empty" // a problem of several fields

// Error contains the problems of a configuration file, by position.
type Error struct {
	File     string
	Problems []Problem
	cause    error // of a single problem; nil if it is only text
}

// A Problem is a problem at a position of a file.
type Problem struct {
	Position
	Text string
}

// Position is a line and a column, both from 1.
type Position struct{ Line, Column int }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("%s:%d:%d: %s", e.File, p.Line, p.Column, p.Text)
	}
	return strings.Join(lines, "\n")
}

func (e *Error) Unwrap() error { return e.cause }

// decoder decodes a YAML document into a struct such as Config. It continues after
// an error, so that it reports all errors at once. It records the position of every
// field, for later checks.
//
// It is stricter than yaml.v3, which ignores unknown keys, accepts 0x10 and 1_000
// as numbers, and decodes 5 as five nanoseconds.
type decoder struct {
	file     string
	getenv   func(string) (string, bool) // nil: ${ is not expanded
	root     reflect.Type                // of the document
	skip     []string                    // fields to ignore
	at       map[string]Position         // of each field
	bad      map[string]bool             // fields with a problem
	problems []Problem
}

// err returns the problems, or nil.
func (d *decoder) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return &Error{File: d.file, Problems: d.problems}
}

func (d *decoder) note(at Position, text string) {
	d.problems = append(d.problems, Problem{at, text})
}

// fail notes a problem that leaves field without a value. Further problems of the
// field are not reported.
func (d *decoder) fail(field string, at Position, text string) {
	d.bad[field] = true
	d.note(at, text)
}

// failValue is fail for the value at n.
func (d *decoder) failValue(n *yaml.Node, field, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if field != "" {
		text = field + ": " + text
	}
	d.fail(field, place(n), text)
}

func place(n *yaml.Node) Position { return Position{n.Line, n.Column} }

// invalid notes a problem with the value of a field, at the position of the field or
// of its nearest parent, unless one of them has failed.
func (d *decoder) invalid(field, text string) {
	if _, exists := d.at[field]; !exists && text == isEmpty {
		text = "is missing"
	}
	at, found := Position{}, false
	for up := field; ; up = parent(up) {
		if d.bad[up] {
			return
		}
		if position, ok := d.at[up]; ok && !found {
			at, found = position, true
		}
		if up == "" {
			break
		}
	}
	d.note(at, field+": "+text)
}

// parent returns the field that contains field: "a.b[1]", "a.b", "a", "".
func parent(field string) string {
	return field[:max(0, strings.LastIndexAny(field, ".["))]
}

func child(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

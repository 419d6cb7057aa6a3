package canonjson

import (
	"bytes"
	"slices"
	"strings"
)

// Texts copies the strings at some paths of a record to variables. It reads each record once.
// It isn't safe for concurrent use.
type Texts struct {
	paths   []string
	targets []*string
	values  [][]byte // in the current record; nil: it has none at the path
	scanner *Scanner
	line    []byte
}

// NewTexts returns Texts with these targets, by path: names joined by dots.
func NewTexts(targets map[string]*string) *Texts {
	t := &Texts{values: make([][]byte, len(targets))}
	for path, target := range targets {
		t.paths, t.targets = append(t.paths, path), append(t.targets, target)
	}
	t.scanner = NewScanner(nil, t)
	return t
}

// Read sets each target to the string at its path in record, or to "" if there is none. It
// returns [ErrNotCanonical] if record isn't an object in canonical form.
func (t *Texts) Read(record []byte) error {
	clear(t.values)
	t.line = append(append(t.line[:0], record...), '\n')
	if err := t.scanner.Scan(t.line); err != nil {
		return err
	}
	for i, value := range t.values {
		// Records often have the same text as the record before, so it isn't copied again.
		if n := len(value); n < 2 || value[0] != '"' || string(value[1:n-1]) != *t.targets[i] || bytes.IndexByte(value, '\\') >= 0 {
			*t.targets[i] = Unquote(value)
		}
	}
	return nil
}

// Member implements [Collector].
func (t *Texts) Member(m *Member) {
	if bytes.IndexByte(m.key, '.') >= 0 {
		return // another member can have the same path
	}
	path := m.Path()
	if i := slices.Index(t.paths, path); i >= 0 {
		m.Number = i
	}
	if slices.ContainsFunc(t.paths, func(other string) bool { return strings.HasPrefix(other, path+".") }) {
		m.Open()
	}
}

// Value implements [Collector].
func (t *Texts) Value(m *Member, value []byte) error {
	t.values[m.Number] = value
	return nil
}

package snapshot

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// shortNames are the columns that have a name of their own, in their order,
// with the path that each stands for. All others are headed by their path.
var shortNames = []struct{ name, path string }{
	{"login", "profile.login"},
	{"email", "profile.email"},
	{"firstName", "profile.firstName"},
	{"lastName", "profile.lastName"},
	{"status", "status"},
	{"title", "profile.title"},
	{"department", "profile.department"},
	{"manager", "profile.manager"},
	{"employeeNumber", "profile.employeeNumber"},
	{"userType", "profile.userType"},
	{"created", "created"},
	{"activated", "activated"},
	{"lastLogin", "lastLogin"},
	{"statusChanged", "statusChanged"},
	{"passwordChanged", "passwordChanged"},
	{"id", "id"},
}

// columnName returns the head of the column for path.
func columnName(path string) string {
	for _, short := range shortNames {
		switch path {
		case short.path:
			return short.name
		case short.name: // taken, by an attribute of the profile
			return "." + path
		}
	}
	return path
}

// Columns are the columns of a CSV file: the attributes included, in their
// order. Where none are included by name they are the well-known ones that
// are not excluded, then what else the users have, by name: a column for each
// attribute of the profile and for each other member that is not null
// throughout. Columns are used by one goroutine at a time.
type Columns struct {
	learn  bool            // rest comes from the users
	fixed  []string        // paths of the first columns
	rest   []string        // paths of the others, in no order
	known  map[string]bool // paths in fixed and rest
	opened map[string]bool // paths of objects that have columns inside
	path   []byte          // of the member at hand, or, with a dot after it, of the object
}

// NewColumns returns the columns for users cut down to attrs. Where attrs
// includes no paths by name, each user that will be written has to be shown
// to Add first.
func NewColumns(attrs Attributes) *Columns {
	c := &Columns{
		learn:  len(attrs.Include) == 0,
		fixed:  attrs.Include,
		known:  make(map[string]bool),
		opened: make(map[string]bool),
	}
	if c.learn {
		c.opened["profile"] = true
		for _, short := range shortNames {
			if attrs.keeps(short.path) {
				c.fixed = append(c.fixed, short.path)
			}
		}
	}
	for _, path := range c.fixed {
		c.known[path] = true
		for dot := strings.LastIndexByte(path, '.'); dot > 0; dot = strings.LastIndexByte(path, '.') {
			path = path[:dot]
			c.opened[path] = true
		}
	}
	return c
}

// LearnColumns returns the columns for users, all of which it reads.
func LearnColumns(users UserReader, attrs Attributes) (*Columns, error) {
	c := NewColumns(attrs)
	for {
		user, err := users.Next()
		if err == io.EOF {
			return c, nil
		}
		if err == nil {
			err = c.Add(user.JSON)
		}
		if err != nil {
			return nil, err
		}
	}
}

// Add adds the columns that user, in canonical form, needs.
func (c *Columns) Add(user []byte) error {
	if !c.learn {
		return nil
	}
	c.path = c.path[:0]
	return c.walk(user, func(path, _ []byte) error {
		if !c.known[string(path)] {
			c.known[string(path)] = true
			c.rest = append(c.rest, string(path))
		}
		return nil
	})
}

// paths returns the path of each column.
func (c *Columns) paths() []string {
	slices.SortFunc(c.rest, func(a, b string) int {
		return strings.Compare(columnName(a), columnName(b))
	})
	return slices.Concat(c.fixed, c.rest)
}

// walk calls visit for each value that may have a column in an object whose
// path, with a dot after it, is c.path.
func (c *Columns) walk(object []byte, visit func(path, value []byte) error) error {
	prefix := len(c.path)
	m := membersOf(object)
	for m.next() {
		c.path = appendText(c.path[:prefix], m.name)
		open := c.opened[string(c.path)] && isObject(m.value)
		if !isNull(m.value) && !(open && c.learn) {
			if err := visit(c.path, m.value); err != nil {
				return err
			}
		}
		if open {
			c.path = append(c.path, '.')
			if err := c.walk(m.value, visit); err != nil {
				return err
			}
		}
	}
	c.path = c.path[:prefix]
	return m.err
}

// WriteCSV writes a header and users as CSV (RFC 4180, with CRLF). A list or
// an object is a cell of JSON; null is an empty cell, like an absent value and
// an empty string. A string that a spreadsheet would take for a formula, or
// that begins with an apostrophe, has an apostrophe before it: whoever reads
// the file takes one away from each cell that begins with one.
func WriteCSV(w io.Writer, users UserReader, columns *Columns) error {
	paths := columns.paths()
	index := make(map[string]int, len(paths))
	cells := make([][]byte, len(paths)) // JSON; nil: empty
	for i, path := range paths {
		index[path] = i
		cells[i], _ = jsontext.AppendQuote(nil, columnName(path)) // valid UTF-8
	}
	row := appendRow(nil, cells)
	if _, err := w.Write(row); err != nil {
		return err
	}
	fill := func(path, value []byte) error {
		i, ok := index[string(path)]
		if ok {
			cells[i] = value
		} else if columns.learn {
			return fmt.Errorf("no column for %q", path)
		}
		return nil
	}
	return each(w, users, func(out *bufio.Writer, user User) error {
		clear(cells)
		columns.path = columns.path[:0]
		if err := columns.walk(user.JSON, fill); err != nil {
			return fmt.Errorf("write user %q: %w", user.ID, err)
		}
		row = appendRow(row[:0], cells)
		_, err := out.Write(row)
		return err
	})
}

// appendRow appends a line of cells.
func appendRow(dst []byte, cells [][]byte) []byte {
	start := len(dst)
	for i, value := range cells {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCell(dst, value)
	}
	if len(dst) == start {
		dst = append(dst, `""`...) // else many readers would take the line for no row at all
	}
	return append(dst, '\r', '\n')
}

// appendCell appends what a JSON value says, in quotes where it needs them.
func appendCell(dst, value []byte) []byte {
	start := len(dst)
	if len(value) > 0 && value[0] == '"' {
		if dst = appendText(dst, value[1:len(value)-1]); needsApostrophe(dst[start:]) {
			dst = slices.Insert(dst, start, '\'')
		}
	} else {
		dst = append(dst, value...)
	}
	if !bytes.ContainsAny(dst[start:], ",\"\r\n") {
		return dst
	}
	end := len(dst) // the quoted cell is built here and moved into place
	dst = append(dst, '"')
	for _, b := range dst[start:end] {
		if b == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, b)
	}
	dst = append(dst, '"')
	return append(dst[:start], dst[end:]...)
}

// needsApostrophe reports whether text needs an apostrophe: to keep a spreadsheet from
// running it, perhaps after it has dropped what can't be seen, or since it
// begins with one already.
func needsApostrophe(text []byte) bool {
	if len(text) > 0 && bytes.IndexByte([]byte("'\t\r\n"), text[0]) >= 0 {
		return true
	}
	seen := bytes.TrimLeftFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf)
	})
	first, _ := utf8.DecodeRune(seen)
	return strings.ContainsRune("=+-@＝＋－＠", first)
}

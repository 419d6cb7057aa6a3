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
	learn  bool           // further ones come from the users
	closed bool           // no more of them do
	fixed  int            // so many of paths come first, in their order
	paths  []string       // by number; those that were learned in the order of their coming
	number map[string]int // by path
	opened map[string]bool
	shape  shape
	cells  [][]byte // by number, values of the user at hand; nil: empty
	line   []byte
}

// NewColumns returns the columns for users cut down to attrs. Where attrs
// includes no paths by name, each user that will be written has to be shown
// to Add first.
func NewColumns(attrs Attributes) *Columns {
	c := &Columns{learn: len(attrs.Include) == 0, number: make(map[string]int), opened: make(map[string]bool)}
	c.shape.columns, c.shape.root.open = c, true
	fixed := slices.Clip(attrs.Include)
	if c.learn {
		c.opened["profile"] = true
		for _, short := range shortNames {
			if attrs.keeps(short.path) {
				fixed = append(fixed, short.path)
			}
		}
	}
	for _, path := range fixed {
		c.add(path)
		for dot := strings.LastIndexByte(path, '.'); dot > 0; dot = strings.LastIndexByte(path, '.') {
			path = path[:dot]
			c.opened[path] = true
		}
	}
	c.fixed = len(c.paths)
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
	return c.read(user)
}

// read fills the cells from a user.
func (c *Columns) read(user []byte) error {
	c.line = append(append(c.line[:0], user...), '\n')
	return c.shape.read(c.line)
}

func (c *Columns) add(path string) int {
	n := len(c.paths)
	c.paths, c.cells, c.number[path] = append(c.paths, path), append(c.cells, nil), n
	return n
}

// pathOf returns the path of a member of o.
func pathOf(o *object, p *place) string {
	return string(appendText(bytes.Clone(o.path), p.key[1:len(p.key)-2]))
}

// place says what is wanted of a member of o.
func (c *Columns) place(o *object, p *place) {
	path := pathOf(o, p)
	if c.opened[path] {
		p.inside = &object{open: true, path: []byte(path + ".")}
	}
	if n, ok := c.number[path]; ok {
		p.column = n
	} else if c.learn {
		p.column = columnUnknown
	}
}

// take takes the value of a member of o.
func (c *Columns) take(o *object, p *place, value []byte) error {
	if value[0] == 'n' || c.learn && value[0] == '{' && p.inside.open {
		return nil // null, or its members have columns of their own
	}
	if p.column == columnUnknown {
		path := pathOf(o, p)
		n, ok := c.number[path] // a name with a dot in it may stand for the same
		if !ok && c.closed {
			return fmt.Errorf("no column for %q", path)
		}
		if !ok {
			n = c.add(path)
		}
		p.column = n
	}
	c.cells[p.column] = value
	return nil
}

// order returns the numbers of the columns as they stand in a row.
func (c *Columns) order() []int {
	order := make([]int, len(c.paths))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order[c.fixed:], func(a, b int) int {
		return strings.Compare(columnName(c.paths[a]), columnName(c.paths[b]))
	})
	return order
}

// header returns the first row.
func (c *Columns) header(order []int) []byte {
	names := make([][]byte, len(c.paths))
	for n := range names {
		names[n] = c.head(n)
	}
	return appendRow(nil, names, order)
}

// head returns the JSON of the name of a column.
func (c *Columns) head(n int) []byte {
	name, _ := jsontext.AppendQuote(nil, columnName(c.paths[n])) // valid UTF-8
	return name
}

// WriteCSV writes a header and users as CSV (RFC 4180, with CRLF). A list or
// an object is a cell of JSON; null is an empty cell, like an absent value and
// an empty string. A string that a spreadsheet would take for a formula, or
// that begins with an apostrophe, has an apostrophe before it: whoever reads
// the file takes one away from each cell that begins with one.
func WriteCSV(w io.Writer, users UserReader, columns *Columns) error {
	order := columns.order()
	row := columns.header(order)
	if _, err := w.Write(row); err != nil {
		return err
	}
	columns.closed = true
	return each(w, users, func(out *bufio.Writer, user User) error {
		if err := columns.read(user.JSON); err != nil {
			return fmt.Errorf("write user %q: %w", user.ID, err)
		}
		row = appendRow(row[:0], columns.cells, order)
		_, err := out.Write(row)
		return err
	})
}

// appendRow appends a line of cells, in their order.
func appendRow(dst []byte, cells [][]byte, order []int) []byte {
	start := len(dst)
	for i, n := range order {
		if i > 0 {
			dst = append(dst, ',')
		}
		if n >= 0 {
			dst = appendCell(dst, cells[n])
		}
	}
	if len(dst) == start {
		dst = append(dst, `""`...) // else many readers would take the line for no row at all
	}
	return append(dst, '\r', '\n')
}

// appendCell appends what a JSON value says, in quotes where it needs them.
func appendCell(dst, value []byte) []byte {
	start := len(dst)
	if len(value) > 2 && value[0] == '"' && harmless[value[1]] && bytes.IndexByte(value, '\\') < 0 {
		if dst = append(dst, value[1:len(value)-1]...); bytes.IndexByte(dst[start:], ',') < 0 {
			return dst
		}
	} else if len(value) > 0 && value[0] == '"' {
		if dst = appendText(dst, value[1:len(value)-1]); needsApostrophe(dst[start:]) {
			dst = slices.Insert(dst, start, '\'')
		}
	} else if dst = append(dst, value...); len(value) > 0 && value[0] != '[' && value[0] != '{' {
		return dst
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

// harmless marks the bytes with which most texts begin, and after which
// needsApostrophe would not look further.
var harmless = func() (set [256]bool) {
	for b := range byte(utf8.RuneSelf) {
		set[b] = b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
	}
	return set
}()

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

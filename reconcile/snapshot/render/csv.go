package render

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"oktasync/reconcile/snapshot/canonjson"
)

// A Column is a well-known column: the attribute at Path has the header Name.
// The header of every other column is its path.
type Column struct{ Name, Path string }

// Schema describes the columns of one resource.
type Schema struct {
	Known  []Column // in their order
	Open   []string // objects whose members have their own columns
	Always []string // paths that every record has, whatever attributes are selected
}

// columnName returns the header of the column for path.
func (s Schema) columnName(path string) string {
	for _, known := range s.Known {
		switch path {
		case known.Path:
			return known.Name
		case known.Name: // this header is used by another path
			return "." + path
		}
	}
	return path
}

// Columns are the columns of a CSV file. If the attributes are included by name,
// these are the columns, in their order. Otherwise the known columns that aren't
// excluded come first, followed by all other attributes of the records, by name:
// a column for each member of an open object, and for each other member that is
// not null in all records. Columns aren't safe for concurrent use.
type Columns struct {
	schema  Schema
	learn   bool           // more columns come from the records
	closed  bool           // the header is written, so no more columns can follow
	fixed   int            // number of paths that come first, in their order
	paths   []string       // by number; learned ones in the order in which they appeared
	number  map[string]int // by path
	opened  map[string]bool
	scanner *canonjson.Scanner
	cells   [][]byte // by number: the values of the current record; nil: empty
	line    []byte
}

// laterNumber is the number of a member whose values were all null so far.
const laterNumber = -2

// NewColumns returns the columns for records reduced to attrs. Unless attrs
// includes paths by name, each record that will be written must be passed to Add
// first.
func NewColumns(schema Schema, attrs canonjson.Attributes) *Columns {
	c := &Columns{schema: schema, learn: len(attrs.Include) == 0, number: make(map[string]int), opened: make(map[string]bool)}
	c.scanner = canonjson.NewScanner(nil, c)
	fixed := slices.Clip(attrs.Include)
	if c.learn {
		for _, path := range schema.Open {
			c.opened[path] = true
		}
		for _, known := range schema.Known {
			if attrs.Keeps(known.Path, schema.Always) {
				fixed = append(fixed, known.Path)
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

// LearnColumns returns the columns for records, all of which it reads.
func LearnColumns(records iter.Seq2[[]byte, error], schema Schema, attrs canonjson.Attributes) (*Columns, error) {
	c := NewColumns(schema, attrs)
	for record, err := range records {
		if err == nil {
			err = c.Add(record)
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Add adds the columns that record, in canonical form, needs.
func (c *Columns) Add(record []byte) error {
	if !c.learn {
		return nil
	}
	return c.read(record)
}

// read fills the cells from a record.
func (c *Columns) read(record []byte) error {
	c.line = append(append(c.line[:0], record...), '\n')
	clear(c.cells)
	return c.scanner.Scan(c.line)
}

func (c *Columns) add(path string) int {
	n := len(c.paths)
	c.paths, c.cells, c.number[path] = append(c.paths, path), append(c.cells, nil), n
	return n
}

// Member implements [canonjson.Collector].
func (c *Columns) Member(m *canonjson.Member) {
	path := m.Path()
	if c.opened[path] {
		m.Open()
	}
	if n, ok := c.number[path]; ok {
		m.Number = n
	} else if c.learn {
		m.Number = laterNumber
	}
}

// Value implements [canonjson.Collector].
func (c *Columns) Value(m *canonjson.Member, value []byte) error {
	if value[0] == 'n' || c.learn && value[0] == '{' && m.IsOpen() {
		return nil // null, or its members have their own columns
	}
	if m.Number == laterNumber {
		path := m.Path()
		n, ok := c.number[path] // a name with a dot can stand for the same path
		if !ok && c.closed {
			return fmt.Errorf("no column for %q", path)
		}
		if !ok {
			n = c.add(path)
		}
		m.Number = n
	}
	c.cells[m.Number] = value
	return nil
}

// order returns the numbers of the columns in the order of a row.
func (c *Columns) order() []int {
	order := make([]int, len(c.paths))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order[c.fixed:], func(a, b int) int {
		return strings.Compare(c.schema.columnName(c.paths[a]), c.schema.columnName(c.paths[b]))
	})
	return order
}

// header returns the first row.
func (c *Columns) header(order []int) []byte {
	names := make([][]byte, len(c.paths))
	for n := range names {
		names[n] = c.headerCell(n)
	}
	return appendRow(nil, names, order)
}

// headerCell returns the header of a column as JSON.
func (c *Columns) headerCell(n int) []byte {
	name, _ := jsontext.AppendQuote(nil, c.schema.columnName(c.paths[n])) // valid UTF-8
	return name
}

// WriteCSV writes a header and records as CSV (RFC 4180, with CRLF). A list or an
// object is a cell of JSON. null, absent and "" are empty cells. A string that a
// spreadsheet would run as a formula, or that begins with an apostrophe, gets a
// leading apostrophe, so a reader can remove one from each cell that begins with
// one.
func WriteCSV(w io.Writer, records iter.Seq2[[]byte, error], columns *Columns) error {
	order := columns.order()
	row := columns.header(order)
	if _, err := w.Write(row); err != nil {
		return err
	}
	columns.closed = true
	return each(w, records, func(out *bufio.Writer, record []byte) error {
		if err := columns.read(record); err != nil {
			return err
		}
		row = appendRow(row[:0], columns.cells, order)
		_, err := out.Write(row)
		return err
	})
}

// AppendRow appends a CSV row of cells to dst. Each cell is a JSON value, or nil
// for an empty cell.
func AppendRow(dst []byte, cells ...[]byte) []byte {
	order := make([]int, len(cells))
	for i := range order {
		order[i] = i
	}
	return appendRow(dst, cells, order)
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
		if dst = canonjson.AppendText(dst, value[1:len(value)-1]); needsApostrophe(dst[start:]) {
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

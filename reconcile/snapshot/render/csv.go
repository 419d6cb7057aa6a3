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
	Names  []string // paths that are added to every record that is written; they come first, whatever attributes are selected
}

// columnName returns the header of the column for path.
func (s Schema) columnName(path string) string {
	if path == otherName {
		return "." + path
	}
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

// maxColumns is the most columns of a CSV file. If the records have more paths,
// the last column is other, with an object of all values that have no column of
// their own, by path. So the size of the file is linear in that of the records.
const (
	maxColumns = 500
	otherName  = "other"
)

const maxHeader = 4 << 20

// Columns are the columns of a CSV file. If the attributes are included by name,
// these are the columns, in their order. Otherwise the known columns that aren't
// excluded come first, followed by all other attributes of the records, by name:
// a column for each member of an open object, and for each other member that is
// not null in all records. If there are too many, those that appear first in the
// records have a column. Columns aren't safe for concurrent use.
type Columns struct {
	schema  Schema
	learn   bool           // more columns come from the records
	closed  bool           // the header is written, so no more columns can follow
	fixed   int            // number of paths that come first, in their order
	paths   []string       // by number; those of the records in the order in which they appeared
	number  map[string]int // by path
	opened  map[string]bool
	scanner *canonjson.Scanner
	cells   [][]byte // by number: the values of the current record; nil: empty
	other   int      // number of the column other; 0: none
	rest    []byte   // the value of other for the current record, without its end
	line    []byte
}

const (
	laterNumber = -2 // of a member whose values were all null so far
	otherNumber = -3 // of a member without a column of its own
)

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
			if attrs.Keeps(known.Path, slices.Concat(schema.Always, schema.Names)) {
				fixed = append(fixed, known.Path)
			}
		}
	} else {
		fixed = slices.DeleteFunc(slices.Clone(fixed), func(path string) bool { return slices.Contains(schema.Names, path) })
		fixed = slices.Concat(schema.Names, fixed)
	}
	for _, path := range fixed {
		c.number[path] = c.add(path)
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
	c.begin()
	return c.scanner.Scan(c.line)
}

// begin must be called before a record is scanned.
func (c *Columns) begin() {
	clear(c.cells)
	c.rest = c.rest[:0]
}

// row returns the cells of the record that was scanned last.
func (c *Columns) row() [][]byte {
	if len(c.rest) > 0 {
		c.cells[c.other] = append(c.rest, '}')
	}
	return c.cells
}

// add returns the number for members at path. It adds a column, if there is room.
func (c *Columns) add(path string) int {
	if len(c.paths) < maxColumns-1 {
		c.number[path] = len(c.paths)
		return c.addColumn(path)
	}
	if c.other == 0 {
		c.other = c.addColumn(otherName)
	}
	return otherNumber
}

func (c *Columns) addColumn(path string) int {
	c.paths, c.cells = append(c.paths, path), append(c.cells, nil)
	return len(c.paths) - 1
}

// addRest adds a value to the column other.
func (c *Columns) addRest(path string, value []byte) {
	c.rest = append(c.rest, "{,"[min(len(c.rest), 1)])
	c.rest, _ = jsontext.AppendQuote(c.rest, path) // valid UTF-8
	c.rest = append(append(c.rest, ':'), value...)
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
		if !ok && c.closed && c.other == 0 {
			return fmt.Errorf("no column for %.60q", path)
		}
		if !ok {
			n = c.add(path)
		}
		m.Number = n
	}
	if m.Number == otherNumber {
		c.addRest(m.Path(), value)
		return nil
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
	found := order[c.fixed:]
	if c.other > c.fixed { // it is the last column
		found = order[c.fixed:c.other]
	}
	slices.SortStableFunc(found, func(a, b int) int {
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
	name := otherName
	if c.other == 0 || n != c.other {
		name = c.schema.columnName(c.paths[n])
	}
	cell, _ := jsontext.AppendQuote(nil, name) // valid UTF-8
	return cell
}

// WriteCSV writes a header and records as CSV (RFC 4180, with CRLF). A list or an
// object is a cell of JSON. null, absent and "" are empty cells. A string that a
// spreadsheet would run as a formula, or that begins with an apostrophe, gets a
// leading apostrophe, so a reader can remove one from each cell that begins with
// one.
func WriteCSV(w io.Writer, records iter.Seq2[[]byte, error], columns *Columns) error {
	order := columns.order()
	row := columns.header(order)
	if len(row) > maxHeader {
		return fmt.Errorf("the header has %d bytes, the limit is %d", len(row), maxHeader)
	}
	if _, err := w.Write(row); err != nil {
		return err
	}
	columns.closed = true
	return each(w, records, func(out *bufio.Writer, record []byte) error {
		if err := columns.read(record); err != nil {
			return err
		}
		row = appendRow(row[:0], columns.row(), order)
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

// appendRow appends a row of cells in the given order.
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
		dst = append(dst, `""`...) // many readers ignore an empty line
	}
	return append(dst, '\r', '\n')
}

// separators marks the bytes that a spreadsheet can read as the end of a cell. A cell
// that contains one is quoted.
var separators = [256]bool{',': true, ';': true, '\t': true, '"': true, '\r': true, '\n': true}

// appendCell appends the text of a JSON value, in quotes if it needs them.
func appendCell(dst, value []byte) []byte {
	start := len(dst)
	if len(value) > 2 && value[0] == '"' && harmless[value[1]] && bytes.IndexByte(value, '\\') < 0 {
		dst = append(dst, value[1:len(value)-1]...)
	} else if len(value) > 0 && value[0] == '"' {
		if dst = canonjson.AppendText(dst, value[1:len(value)-1]); needsApostrophe(dst[start:]) {
			dst = slices.Insert(dst, start, '\'')
		}
	} else if dst = append(dst, value...); len(value) > 0 && value[0] != '[' && value[0] != '{' {
		return dst
	}
	return quote(dst, start)
}

// AppendTexts appends a CSV row of texts to dst.
func AppendTexts(dst []byte, texts []string) []byte {
	for i, text := range texts {
		if i > 0 {
			dst = append(dst, ',')
		}
		start := len(dst)
		dst = append(dst, text...)
		if text != "" && !harmless[text[0]] && needsApostrophe(dst[start:]) {
			dst = slices.Insert(dst, start, '\'')
		}
		dst = quote(dst, start)
	}
	return append(dst, '\r', '\n')
}

// quote quotes the cell that begins at dst[start], if it needs quotes.
func quote(dst []byte, start int) []byte {
	if !slices.ContainsFunc(dst[start:], func(b byte) bool { return separators[b] }) {
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

// harmless marks the first bytes of most texts. A text with such a first byte needs
// no apostrophe.
var harmless = func() (set [256]bool) {
	for b := range byte(utf8.RuneSelf) {
		set[b] = b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
	}
	return set
}()

// needsApostrophe reports whether a spreadsheet could run text as a formula, perhaps
// after it has removed invisible characters, or whether text begins with an
// apostrophe.
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

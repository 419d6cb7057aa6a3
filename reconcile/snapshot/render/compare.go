package render

import (
	"bufio"
	"bytes"
	"io"

	"oktasync/reconcile/snapshot/canonjson"
)

// A CSVChecker renders records and compares the rows with a CSV file, in one pass. It
// takes the place of each column from the header of the file, and checks the header at
// the end.
type CSVChecker struct {
	columns *Columns
	file    *bufio.Reader
	header  []byte
	indexes map[string][]int // of header cells whose columns no record has had yet
	order   []int            // the numbers of columns in the order of a row
	placed  int              // number of columns whose index is known
	rows    []byte           // not compared yet
	differs bool
}

// NewCSVChecker returns a checker that compares file with the records passed to
// Add. They must have been scanned by a scanner from Scanner.
func NewCSVChecker(schema Schema, attrs canonjson.Attributes, file io.Reader) *CSVChecker {
	c := &CSVChecker{columns: NewColumns(schema, attrs), file: bufio.NewReaderSize(file, 128<<10), indexes: make(map[string][]int)}
	c.differs = !c.readHeader()
	return c
}

// Scanner returns the scanner through which each record must pass before Add. It
// stores the top-level members named in watch.
func (c *CSVChecker) Scanner(watch []string) *canonjson.Scanner {
	c.columns.scanner = canonjson.NewScanner(watch, c.columns)
	return c.columns.scanner
}

// readHeader reads the first row, and reports whether there is one. A line break
// in quotes doesn't end it.
func (c *CSVChecker) readHeader() bool {
	start, quoted := 0, false
	for len(c.header) < maxHeader {
		b, err := c.file.ReadByte()
		if err != nil {
			return false
		}
		c.header = append(c.header, b)
		switch {
		case b == '"':
			quoted = !quoted
		case !quoted && (b == ',' || b == '\n'):
			cell := string(bytes.TrimSuffix(c.header[start:len(c.header)-1], []byte("\r")))
			c.indexes[cell] = append(c.indexes[cell], len(c.order))
			c.order = append(c.order, noColumn)
			start = len(c.header)
			if b == '\n' {
				return true
			}
		}
	}
	return false
}

// Begin must be called before each record is scanned.
func (c *CSVChecker) Begin() { c.columns.begin() }

// Add compares the row of the record that was scanned last.
func (c *CSVChecker) Add() {
	for ; c.placed < len(c.columns.paths) && !c.differs; c.placed++ {
		c.place()
	}
	if c.differs {
		return
	}
	if c.rows = appendRow(c.rows, c.columns.row(), c.order); len(c.rows) >= 64<<10 {
		c.compare()
	}
}

// place finds the index of the next column. If several columns have the same
// header, the one that was found first comes first.
func (c *CSVChecker) place() {
	cell := string(appendCell(nil, c.columns.headerCell(c.placed)))
	at := c.indexes[cell]
	if len(at) == 0 {
		c.differs = true
		return
	}
	c.order[at[0]], c.indexes[cell] = c.placed, at[1:]
}

// compare compares the pending rows with as many bytes of the file.
func (c *CSVChecker) compare() {
	for rows := c.rows; len(rows) > 0 && !c.differs; {
		n := min(len(rows), c.file.Size())
		there, _ := c.file.Peek(n) // if it is short, the following read returns the error
		c.differs = !bytes.Equal(there, rows[:n])
		c.file.Discard(len(there))
		rows = rows[n:]
	}
	c.rows = c.rows[:0]
}

// Close reads the file to its end, and reports whether it equals the rendered
// records.
func (c *CSVChecker) Close() (equal bool, err error) {
	c.compare()
	more, err := io.Copy(io.Discard, c.file)
	return !c.differs && more == 0 && bytes.Equal(c.header, c.columns.header(c.columns.order())), err
}

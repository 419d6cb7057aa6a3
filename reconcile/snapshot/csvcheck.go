package snapshot

import (
	"bufio"
	"bytes"
	"io"
)

// A csvCheck renders users and holds the rows against a CSV file, in the pass
// that its columns are learned in: the file's header says already where they
// stand, and is held against them at the end.
type csvCheck struct {
	columns *Columns
	file    *bufio.Reader
	header  []byte
	places  map[string][]int // of cells of the header whose columns no user has had yet
	order   []int            // the numbers of columns as they stand in a row
	placed  int              // so many columns have their place
	rows    []byte           // that are not compared yet
	differs bool
}

const maxHeader = 4 << 20

func newCSVCheck(columns *Columns, file io.Reader) *csvCheck {
	c := &csvCheck{columns: columns, file: bufio.NewReaderSize(file, 128<<10), places: make(map[string][]int)}
	c.differs = !c.readHeader()
	return c
}

// readHeader reads the first row, and reports whether there is one. A line break
// in quotes does not end it.
func (c *csvCheck) readHeader() bool {
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
			c.places[cell] = append(c.places[cell], len(c.order))
			c.order = append(c.order, noColumn)
			start = len(c.header)
			if b == '\n' {
				return true
			}
		}
	}
	return false
}

// add compares the row of the user that the columns have read last.
func (c *csvCheck) add() {
	for ; c.placed < len(c.columns.paths) && !c.differs; c.placed++ {
		c.place()
	}
	if c.differs {
		return
	}
	if c.rows = appendRow(c.rows, c.columns.cells, c.order); len(c.rows) >= 64<<10 {
		c.compare()
	}
}

// place finds the place of the next column. Of columns that are headed alike
// the one that was learned first stands first.
func (c *csvCheck) place() {
	cell := string(appendCell(nil, c.columns.head(c.placed)))
	at := c.places[cell]
	if len(at) == 0 {
		c.differs = true
		return
	}
	c.order[at[0]], c.places[cell] = c.placed, at[1:]
}

// compare holds the rows that there are against as many bytes of the file.
func (c *csvCheck) compare() {
	for rows := c.rows; len(rows) > 0 && !c.differs; {
		n := min(len(rows), c.file.Size())
		there, _ := c.file.Peek(n) // cut short by an error, which comes again at the end
		c.differs = !bytes.Equal(there, rows[:n])
		c.file.Discard(len(there))
		rows = rows[n:]
	}
	c.rows = c.rows[:0]
}

// end reads the file to its end, and reports whether it is what all users
// render to.
func (c *csvCheck) end() (same bool, err error) {
	c.compare()
	more, err := io.Copy(io.Discard, c.file)
	return !c.differs && more == 0 && bytes.Equal(c.header, c.columns.header(c.columns.order())), err
}

// Package document writes a report for people: a cover, and sections with tables.
//
// The commands report and review use it. Start reading at [Document], then [WriteHTML] and
// [WriteXLSX]. A writer reads the rows of a section one by one, so that memory doesn't
// grow with them. It reads them twice, because it writes their number first.
package document

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Document is a report. Its texts can be hostile: a writer escapes them.
type Document struct {
	Title    string
	Cover    []Fact
	Sections []Section
}

// A Fact is a named text of the cover.
type Fact struct {
	Name string
	Text []string // paragraphs
}

// A Section is a table with a title.
type Section struct {
	ID      string   // unique; a-z, 0-9 and hyphens: the anchor
	Title   string   // the name of the sheet is its start
	Method  []string // how the rows were computed, and what they don't show
	Gaps    []string // reasons why rows can be missing, as sentences
	Columns []Column
	Missing string // why the rows can't be computed, as a sentence; "": Rows is set

	// Rows are the rows in their order. They can be read several times, and are the same
	// each time. A row is valid until the following one.
	Rows iter.Seq2[Row, error]
}

// A Column is a column of a table.
type Column struct {
	Name    string
	Choices []string // the values that a person may enter; nil: the column isn't for input
}

// A Row is a row of a table.
type Row struct {
	Key   string   // identifies the row in its section, and is the same in each report
	Cells []string // one for each column
	Link  string   // the https address of the first cell's page in the Admin Console; "": none
}

// The names of the columns that a writer adds to those of each section.
const (
	KeyColumn  = "key"
	LinkColumn = "link" // only in XLSX, and only if rows have addresses
)

// maxLinks is the greatest number of hyperlinks in a workbook. excelize keeps them in
// memory; the other rows have only the text of their address.
const maxLinks = 10_000

// size is what a writer states or needs before it writes the rows of a section.
type size struct {
	rows   int
	widths []int    // of the cells and the key: the greatest number of characters
	linked bool     // rows have addresses
	links  []string // of the rows; nil if there are more than maxLinks
}

// measure reads the rows of a section, and checks them.
func measure(s *Section) (size, error) {
	m := size{widths: make([]int, len(s.Columns)+1)}
	if s.Missing != "" {
		return m, nil
	}
	for row, err := range s.Rows {
		switch {
		case err != nil:
			return m, err
		case row.Link != "" && !strings.HasPrefix(row.Link, "https://"):
			return m, fmt.Errorf("section %s: row %q has the address %q, want https", s.ID, row.Key, row.Link)
		case len(row.Cells) != len(s.Columns):
			return m, fmt.Errorf("section %s: row %q has %d cells, want %d", s.ID, row.Key, len(row.Cells), len(s.Columns))
		}
		for i, cell := range row.Cells {
			m.widths[i] = max(m.widths[i], utf8.RuneCountInString(cell))
		}
		m.widths[len(row.Cells)] = max(m.widths[len(row.Cells)], len(row.Key))
		m.linked = m.linked || row.Link != ""
		if m.rows++; m.rows <= maxLinks {
			m.links = append(m.links, row.Link)
		}
	}
	if m.rows > maxLinks {
		m.links = nil
	}
	return m, nil
}

// compare returns an error if a section had another number of rows when they were written.
func (s *Section) compare(measured, written int) error {
	if measured == written {
		return nil
	}
	return fmt.Errorf("section %s: %d rows when they were counted, %d when they were written", s.ID, measured, written)
}

// check returns an error if the IDs of the sections can't be anchors.
func check(d *Document) error {
	seen := make(map[string]bool)
	for _, s := range d.Sections {
		if !isID(s.ID) || seen[s.ID] {
			return fmt.Errorf("section ID %q is empty, repeated, or has other characters than a-z, 0-9 and hyphens", s.ID)
		}
		seen[s.ID] = true
	}
	return nil
}

func isID(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return id != ""
}

// number returns the number of rows of s as text.
func (s *Section) number(rows int) string {
	switch {
	case s.Missing != "":
		return "not computed"
	case len(s.Gaps) > 0:
		return count(rows) + ", with gaps"
	}
	return count(rows)
}

// count returns a number of rows as text.
func count(n int) string {
	switch n {
	case 0:
		return "none"
	case 1:
		return "1 row"
	}
	return strconv.Itoa(n) + " rows"
}

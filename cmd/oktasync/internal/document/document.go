// Package document writes a report for people: a cover, and sections with tables.
//
// The commands report and review use it. Start with [Document]. A writer reads the rows of
// a section one by one, so that memory doesn't grow with them.
package document

import "iter"

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
	ID      string // a-z and hyphens: the anchor, and the name of the sheet
	Title   string
	Method  []string // how the rows were computed, and what they don't show
	Columns []Column
	Missing string // why the rows can't be computed, such as an attribute that isn't recorded; "": Rows is set

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
	Link  string   // the address of the first cell's page in the Admin Console; "": none
}

package document

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/xuri/excelize/v2"

	"oktasync/cmd/oktasync/internal/term"
)

// WriteXLSX writes d as an Excel workbook: a cover, and a sheet for each section. All
// cells are text. There are no formulas, and no temporary files.
func WriteXLSX(w io.Writer, d *Document) error { return writeXLSX(w, d, excelize.TotalRows-1) }

// writeXLSX puts at most limit rows of a section into a sheet.
func writeXLSX(w io.Writer, d *Document, limit int) error {
	if err := check(d); err != nil {
		return err
	}
	b, err := newWorkbook(d.Title)
	if err != nil {
		return err
	}
	defer b.file.Close()
	lines := coverLines(d)
	names := sheetNames{fold(coverName): true, fold("History"): true} // Excel reserves the second
	for i := range d.Sections {
		s := &d.Sections[i]
		m, err := measure(s)
		if err != nil {
			return err
		}
		sheets := split(s, &m, limit, names)
		lines = append(lines, describe(s, &m, sheets)...)
		for _, sheet := range sheets {
			if err := b.addTable(sheet); err != nil {
				return fmt.Errorf("section %s: %w", s.ID, err)
			}
		}
	}
	if err := b.addCover(lines); err != nil {
		return err
	}
	return b.write(w)
}

// coverLines returns the lines of the cover above the list of the sheets.
func coverLines(d *Document) []line {
	lines := []line{{cells: []string{d.Title}, style: styleTitle}, {}}
	for _, fact := range d.Cover {
		name := fact.Name
		for _, paragraph := range fact.Text {
			lines = append(lines, line{cells: []string{name, paragraph}})
			name = ""
		}
	}
	return append(lines, line{}, line{cells: []string{"Sheets"}, style: styleTitle})
}

// describe returns the lines of the cover about a section.
func describe(s *Section, m *size, sheets []*sheet) []line {
	number := s.number(m.rows)
	switch {
	case s.Missing != "":
		number = s.Missing
	case len(sheets) > 1:
		number += fmt.Sprintf(", in %d sheets", len(sheets))
	}
	lines := []line{{cells: []string{s.Title, number}, target: sheets[0].name}}
	for _, m := range slices.Concat(s.Method, s.Gaps) {
		lines = append(lines, line{cells: []string{"", m}})
	}
	return lines
}

// split returns the sheets of a section. A sheet has at most limit rows.
func split(s *Section, m *size, limit int, names sheetNames) []*sheet {
	var sheets []*sheet
	for first := 0; first == 0 || first < m.rows; first += limit {
		end := min(first+limit, m.rows)
		sheets = append(sheets, &sheet{
			name: names.add(s.Title), columns: s.Columns, widths: m.widths, linked: m.linked, links: m.links,
			rows: end - first, lines: s.lines(first, end, m.rows),
		})
	}
	return sheets
}

// lines returns the rows of s from first to end, of all its rows.
func (s *Section) lines(first, end, all int) lines {
	return func(yield func(line, error) bool) {
		switch {
		case s.Missing != "":
			yield(line{cells: []string{s.Missing}}, nil)
			return
		case all == 0:
			yield(line{cells: []string{s.number(0)}}, nil)
			return
		}
		i := 0
		for row, err := range s.Rows {
			if err != nil {
				yield(line{}, err)
				return
			}
			if i >= first && i < end && !yield(line{cells: append(slices.Clip(row.Cells), row.Key, row.Link), linked: row.Link != ""}, nil) {
				return
			}
			i++
		}
		if err := s.compare(all, i); err != nil {
			yield(line{}, err)
		}
	}
}

// sheetNames contains the names of sheets, as fold returns them.
type sheetNames map[string]bool

// fold returns the same text for all names that strings.EqualFold reports as equal. To
// excelize, these are one sheet.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		first := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			first = min(first, next)
		}
		return first
	}, name)
}

// add returns a name for a sheet that begins as title and differs from all others.
func (n sheetNames) add(title string) string {
	title = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`[]:*?/\'`, r) {
			return ' '
		}
		return r
	}, term.Safe(title))
	title = strings.TrimSpace(title)
	if title == "" {
		title = "Sheet"
	}
	name := cut(title, excelize.MaxSheetNameLength, "…")
	for i := 2; n[fold(name)]; i++ {
		end := fmt.Sprintf(" (%d)", i)
		name = cut(title, excelize.MaxSheetNameLength-len(end), "…") + end
	}
	n[fold(name)] = true
	return name
}

package document

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"oktasync/cmd/oktasync/internal/term"
)

// A line is a row of a sheet.
type line struct {
	cells  []string
	style  int    // of the first cell
	linked bool   // the first cell has a hyperlink, if its sheet has hyperlinks
	target string // the sheet that a line of the cover links to
}

type lines = iter.Seq2[line, error]

// The styles of cells.
const (
	styleText = iota
	styleHeader
	styleTitle
	styleLink
	styleCount
)

// sheetLines are the lines of a sheet that excelize doesn't write.
type sheetLines struct {
	first  int             // the row number of the first line
	linked bool            // lines can have hyperlinks
	widths []float64       // of the columns, in characters
	styles [styleCount]int // excelize's numbers
	lines  lines
}

// An archive is a ZIP archive that adds the lines of each sheet to its file.
type archive struct {
	*zip.Writer
	lines map[string]sheetLines // by the name of the file; an entry is removed when it is used
	err   error                 // of a sheet; excelize ignores it unless the sheet is the last file
}

// Create returns a writer for a file of the archive.
func (a *archive) Create(name string) (io.Writer, error) {
	if a.err != nil {
		return nil, a.err
	}
	w, err := a.Writer.Create(name)
	if err != nil {
		return nil, err
	}
	l, ok := a.lines[name]
	if !ok {
		return w, nil
	}
	delete(a.lines, name)
	return &sheetWriter{w, l, &a.err}, nil
}

// sheetWriter adds lines to the file of a sheet, which is written in one piece.
type sheetWriter struct {
	w     io.Writer
	lines sheetLines
	err   *error
}

func (s *sheetWriter) Write(file []byte) (int, error) {
	*s.err = s.write(file)
	return len(file), *s.err
}

func (s *sheetWriter) write(file []byte) error {
	end := bytes.Index(file, []byte("</sheetData>"))
	if end < 0 {
		return errors.New("write XLSX: a sheet has no place for rows")
	}
	w := bufio.NewWriterSize(s.w, 64<<10)
	w.Write(file[:end])
	number := s.lines.first
	for l, err := range s.lines.lines {
		if err != nil {
			return err
		}
		s.line(w, number, &l)
		number++
	}
	w.Write(file[end:])
	return w.Flush() // the first error of all writes
}

// line writes a row with text cells.
func (s *sheetWriter) line(w *bufio.Writer, number int, l *line) {
	row := strconv.Itoa(number)
	w.WriteString(`<row r="` + row + `"`)
	if n := s.lines.textLines(l); n > 1 {
		// LibreOffice doesn't adapt the height to wrapped text.
		w.WriteString(` ht="` + strconv.Itoa(min(n*lineHeight, excelize.MaxRowHeight)) + `" customHeight="1"`)
	}
	w.WriteString(">")
	style := s.lines.styles[l.style]
	if l.linked && s.lines.linked {
		style = s.lines.styles[styleLink]
	}
	for i, cell := range l.cells {
		if cell != "" {
			column, _ := excelize.ColumnNumberToName(i + 1) // the header has the same columns
			w.WriteString(`<c r="` + column + row + `" s="` + strconv.Itoa(style) + `" t="inlineStr"><is><t xml:space="preserve">`)
			xml.EscapeText(w, []byte(cellText(cell)))
			w.WriteString(`</t></is></c>`)
		}
		style = s.lines.styles[styleText]
	}
	w.WriteString("</row>")
}

// lineHeight is the height of a line of text in points.
const lineHeight = 15

// textLines returns how many lines of text the tallest cell of l has.
func (s *sheetLines) textLines(l *line) int {
	most := 1
	if l.style == styleTitle {
		return most // a title isn't wrapped
	}
	for i, cell := range l.cells {
		if i < len(s.widths) {
			most = max(most, wrap(cell, int(0.9*s.widths[i]))) // wide letters need more
		}
	}
	return most
}

// wrap returns how many lines of width characters a text has that breaks between words.
func wrap(text string, width int) int {
	if len(text) <= width {
		return 1
	}
	lines, used := 1, 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > width {
			lines, used = lines+1, 0
		} else if used > 0 {
			used++
		}
		used += n
		for ; used > width; used -= width { // the word doesn't fit into a line
			lines++
		}
	}
	return lines
}

// cellText returns a text as a cell can contain it.
func cellText(s string) string {
	s = term.Safe(s)
	if n := utf16Len(s); n > excelize.TotalCellChars {
		mark := fmt.Sprintf("… [cut: %d characters]", n)
		s = cut(s, excelize.TotalCellChars-utf16Len(mark), "") + mark
	}
	// Readers decode _x0041_ as A (ECMA-376, ST_Xstring).
	return strings.ReplaceAll(s, "_x", "_x005F_x")
}

// cut returns s with at most n UTF-16 code units, as Excel counts. If s is longer, the
// result ends with mark.
func cut(s string, n int, mark string) string {
	if utf16Len(s) <= n {
		return s
	}
	n -= utf16Len(mark)
	for i, r := range s {
		if n -= utf16.RuneLen(r); n < 0 {
			return s[:i] + mark
		}
	}
	return s
}

// utf16Len returns the number of UTF-16 code units of s.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

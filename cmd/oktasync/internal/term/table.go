package term

import (
	"io"
	"strings"
	"unicode/utf8"
)

// maxCell is the widest cell that widens its column, so that a long text doesn't add
// spaces to each row.
const maxCell = 80

// A Table aligns columns of text, and keeps only their widths in memory. Pass each row
// to Measure, and then each row to Write. An empty cell is printed as a hyphen, and
// control characters are escaped. The zero Table is empty.
type Table struct {
	widths []int // in characters
	line   strings.Builder
}

// Measure makes the columns wide enough for the cells of a row.
func (t *Table) Measure(cells []string) {
	for i, text := range cells {
		if i == len(t.widths) {
			t.widths = append(t.widths, 0)
		}
		t.widths[i] = max(t.widths[i], min(utf8.RuneCountInString(cell(text)), maxCell))
	}
}

// Write writes a row.
func (t *Table) Write(w io.Writer, cells []string) error {
	t.line.Reset()
	for i, text := range cells {
		text = cell(text)
		t.line.WriteString(text)
		if i < len(cells)-1 {
			t.line.WriteString(strings.Repeat(" ", max(t.widths[i]-utf8.RuneCountInString(text), 0)+2))
		}
	}
	t.line.WriteByte('\n')
	_, err := io.WriteString(w, t.line.String())
	return err
}

func cell(text string) string {
	if text == "" {
		return "-"
	}
	return Safe(text)
}

package document_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/cmd/oktasync/internal/term"
)

// write returns the file, after it has been written and read, with at most limit rows
// in a sheet.
func write(t *testing.T, d *document.Document, limit int) (*excelize.File, []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := document.WriteXLSXLimit(&b, d, limit); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenReader(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, b.Bytes()
}

// column returns the cells of the first column of a sheet, without the header.
func column(t *testing.T, f *excelize.File, sheet string) []string {
	t.Helper()
	rows, err := f.GetRows(sheet)
	if err != nil {
		t.Fatal(err)
	}
	var cells []string
	for _, row := range rows[1:] {
		cells = append(cells, slices.Concat(row, []string{""})[0])
	}
	return cells
}

func FuzzXLSXHasTheTexts(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 30_000 {
			t.Skip("TestXLSXCutsLongCells has longer texts")
		}
		d := &document.Document{Title: text, Sections: []document.Section{section("s", text, "text")}}
		d.Sections[0].Title = text
		file, _ := write(t, d, 10)
		want := strings.NewReplacer("\ufffe", "\ufffd", "\uffff", "\ufffd").Replace(term.Safe(text))
		if got := column(t, file, file.GetSheetName(1)); !slices.Equal(got, []string{want, "text"}) {
			t.Errorf("cells %q, want %q", got, want)
		}
	})
}

func TestXLSXHasOnlyTextCells(t *testing.T) {
	d := everywhere("text")
	d.Sections = append(d.Sections, section("hostile", hostile...))
	_, data := write(t, d, 10)
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range archive.File {
		if file.Modified.Year() >= 1980 { // the first year of the format
			t.Errorf("%s has the time %v", file.Name, file.Modified)
		}
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(file.Name, "docProps/") && (bytes.Contains(text, []byte("creator")) || bytes.Contains(text, []byte("dcterms"))) {
			t.Errorf("%s has an author or a time: %s", file.Name, text)
		}
		if strings.Contains(file.Name, "external") || bytes.Contains(text, []byte("externalLink")) || bytes.Contains(text, []byte("<f")) && strings.Contains(file.Name, "sheets/") {
			t.Errorf("%s has a formula, or a link to another workbook", file.Name)
		}
		if !strings.HasPrefix(file.Name, "xl/worksheets/sheet") {
			continue
		}
		for _, cell := range bytes.SplitAfter(text, []byte("<c "))[1:] {
			if attributes, _, _ := bytes.Cut(cell, []byte(">")); !bytes.Contains(attributes, []byte(`t="inlineStr"`)) && !bytes.Contains(attributes, []byte(`t="s"`)) {
				t.Errorf("%s has a cell that is no text: %s", file.Name, attributes)
			}
		}
	}
}

// excelize compares the names of sheets without case, also those with a long s or a Kelvin sign.
func TestXLSXHasASheetForEachTitle(t *testing.T) {
	titles := []string{"sales", "\u017fales", "Sales", "K", "\u212a", "\u03c3", "\u03c2", "cover", "hi\u017ftory"}
	d := new(document.Document)
	for _, title := range titles {
		s := section(fmt.Sprintf("s%d", len(d.Sections)), title)
		s.Title = title
		d.Sections = append(d.Sections, s)
	}
	f, _ := write(t, d, 10)
	for i, title := range titles {
		if got := column(t, f, f.GetSheetName(i+1)); !slices.Equal(got, []string{title}) {
			t.Errorf("sheet %d has the rows %q, want %q", i+1, got, title)
		}
	}
}

func TestXLSXSplitsLongSections(t *testing.T) {
	d := &document.Document{Sections: []document.Section{section("long", "a", "b", "c", "d", "e", "f", "g"), section("exact", "a", "b", "c"), section("empty")}}
	f, _ := write(t, d, 3)
	for sheet, want := range map[string][]string{
		"Section long": {"a", "b", "c"}, "Section long (2)": {"d", "e", "f"}, "Section long (3)": {"g"},
		"Section exact": {"a", "b", "c"}, "Section empty": {"none"},
	} {
		if got := column(t, f, sheet); !slices.Equal(got, want) {
			t.Errorf("%s has the rows %q, want %q", sheet, got, want)
		}
	}
	if n := f.SheetCount; n != 6 {
		t.Errorf("%d sheets, want the cover and 5 more: %q", n, f.GetSheetList())
	}
}

func TestXLSXCutsLongCells(t *testing.T) {
	long := strings.Repeat("a😀", 11_000) // 33,000 UTF-16 code units
	f, _ := write(t, &document.Document{Sections: []document.Section{section("s", long, strings.Repeat("a", 32_767))}}, 10)
	cells := column(t, f, "Section s")
	if !strings.HasSuffix(cells[0], "… [cut: 33000 characters]") || !strings.HasPrefix(long, cells[0][:30_000]) {
		t.Errorf("the cell ends with %q", cells[0][len(cells[0])-100:])
	}
	if len(cells[1]) != 32_767 {
		t.Errorf("a cell of the greatest length has %d characters", len(cells[1]))
	}
}

func TestXLSXShowsWrappedText(t *testing.T) {
	d := &document.Document{Title: "Listing", Cover: []document.Fact{{Name: "Note", Text: []string{"short", strings.Repeat("word ", 60)}}}, Sections: []document.Section{section("s", "jane", strings.Repeat("key ", 50))}}
	f, _ := write(t, d, 10)
	for _, row := range []struct {
		sheet    string
		n        int
		min, max float64 // points; a line of text has 15
	}{{"Cover", 3, 15, 15}, {"Cover", 4, 45, 60}, {"Section s", 2, 15, 15}, {"Section s", 3, 60, 75}} {
		if height, err := f.GetRowHeight(row.sheet, row.n); err != nil || height < row.min || height > row.max {
			t.Errorf("%s, row %d: height %v, error %v, want %v to %v", row.sheet, row.n, height, err, row.min, row.max)
		}
	}
}

func TestXLSXTables(t *testing.T) {
	s := section("review", "jane@example.com", "joe@example.com")
	s.Columns = append(s.Columns, document.Column{Name: "decision", Choices: []string{"keep", "revoke"}})
	s.Rows = func(yield func(document.Row, error) bool) {
		_ = yield(document.Row{Key: "1", Cells: []string{"jane@example.com", ""}, Link: "https://example.com/1"}, nil) &&
			yield(document.Row{Key: "2", Cells: []string{"joe@example.com", ""}}, nil)
	}
	f, _ := write(t, &document.Document{Sections: []document.Section{s}}, 10)
	const sheet = "Section review"
	rows, err := f.GetRows(sheet)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"login", "decision", "key", "link"}, {"jane@example.com", "", "1", "https://example.com/1"}, {"joe@example.com", "", "2"}}
	if !slices.EqualFunc(rows, want, slices.Equal) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	if tables, err := f.GetTables(sheet); err != nil || len(tables) != 1 || tables[0].Range != "A1:D3" {
		t.Errorf("tables %+v, error %v", tables, err)
	}
	if panes, err := f.GetPanes(sheet); err != nil || !panes.Freeze || panes.YSplit != 1 {
		t.Errorf("panes %+v, error %v", panes, err)
	}
	if v, err := f.GetDataValidations(sheet); err != nil || len(v) != 1 || v[0].Sqref != "B2:B3" || v[0].Formula1 != `"keep,revoke"` {
		t.Errorf("validations %+v, error %v", v, err)
	}
	for cell, want := range map[string]string{"A2": "https://example.com/1", "A3": ""} {
		if _, got, err := f.GetCellHyperLink(sheet, cell); err != nil || got != want {
			t.Errorf("the link of %s = %q, error %v, want %q", cell, got, err, want)
		}
	}
}

func TestXLSXNamesOfSheets(t *testing.T) {
	long := strings.Repeat("a", 40)
	var d document.Document
	for i, title := range []string{"Cover", "history", "", "[a]:*?/\\'b'", long, long + "b", "JOINERS", "joiners", "😀" + long} {
		s := section(string(rune('a' + i)))
		s.Title = title
		d.Sections = append(d.Sections, s)
	}
	f, _ := write(t, &d, 10)
	want := []string{
		"Cover", "Cover (2)", "history (2)", "Sheet", "a       b", long[:30] + "…", long[:26] + "… (2)", "JOINERS", "joiners (2)", "😀" + long[:28] + "…",
	}
	if got := f.GetSheetList(); !slices.Equal(got, want) {
		t.Errorf("sheets %q, want %q", got, want)
	}
}

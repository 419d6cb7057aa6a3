package document

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"

	"github.com/xuri/excelize/v2"

	"oktasync/cmd/oktasync/internal/term"
)

// A workbook is an XLSX file. excelize builds it, except for the rows, which sheetWriter
// adds while excelize writes the file. (excelize's own writer of rows keeps up to 16 MiB
// of each sheet in memory, and more in temporary files with names.)
type workbook struct {
	file   *excelize.File
	styles [styleCount]int
	lines  map[string]sheetLines // by the name of the sheet's file
	links  int                   // how many hyperlinks can be added
}

// A sheet is a table with the rows of a section, or with a part of them.
type sheet struct {
	name    string
	columns []Column
	widths  []int    // of the columns and the key
	linked  bool     // rows have addresses
	links   []string // of the rows; nil: too many
	rows    int
	lines   lines
}

// coverName is the name of the first sheet.
const coverName = "Cover"

func newWorkbook(title string) (*workbook, error) {
	b := &workbook{file: excelize.NewFile(), lines: make(map[string]sheetLines), links: maxLinks}
	const family = "Calibri" // excelize's default
	top := &excelize.Alignment{Vertical: "top", WrapText: true}
	for i, style := range [styleCount]excelize.Style{
		styleText:   {NumFmt: numFmtText, Alignment: top},
		styleHeader: {NumFmt: numFmtText, Alignment: top, Font: &excelize.Font{Family: family, Size: 11, Bold: true}, Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"E4E9F2"}}},
		styleTitle:  {NumFmt: numFmtText, Font: &excelize.Font{Family: family, Size: 14, Bold: true}},
		styleLink:   {NumFmt: numFmtText, Alignment: top, Font: &excelize.Font{Family: family, Size: 11, Color: "1F43B5", Underline: "single"}},
	} {
		var err error
		if b.styles[i], err = b.file.NewStyle(&style); err != nil {
			return nil, err
		}
	}
	// excelize's properties have an author and times.
	var properties bytes.Buffer
	properties.WriteString(xml.Header + `<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"` +
		` xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>`)
	xml.EscapeText(&properties, []byte(term.Safe(title)))
	properties.WriteString(`</dc:title></cp:coreProperties>`)
	b.file.Pkg.Store("docProps/core.xml", properties.Bytes())
	return b, b.file.SetSheetName("Sheet1", coverName)
}

const numFmtText = 49 // the format "@" of Excel: what a person types remains text

// addCover sets the lines of the cover.
func (b *workbook) addCover(cover []line) error {
	for i, l := range cover {
		if l.target == "" || b.links == 0 {
			continue
		}
		if err := b.link(coverName, i+1, "'"+l.target+"'!A1", "Location"); err != nil {
			return err
		}
		cover[i].linked = true
	}
	widths := []float64{34, 110}
	b.lines[sheetFile(0)] = sheetLines{first: 1, linked: true, widths: widths, styles: b.styles, lines: func(yield func(line, error) bool) {
		for _, l := range cover {
			if !yield(l, nil) {
				return
			}
		}
	}}
	return b.layout(coverName, widths...)
}

func (b *workbook) addTable(s *sheet) error {
	index, err := b.file.NewSheet(s.name)
	if err != nil {
		return err
	}
	var header []string
	for _, c := range s.columns {
		header = append(header, c.Name)
	}
	header = append(header, KeyColumn)
	if s.linked {
		header = append(header, LinkColumn)
	}
	widths := make([]float64, len(header))
	for i, name := range header {
		widths[i] = float64(len(name) + 5) // and the button of the filter
		if i < len(s.widths) {
			widths[i] = min(max(widths[i], float64(s.widths[i]+2)), 60)
		}
	}
	if err := b.layout(s.name, widths...); err != nil {
		return err
	}
	if err := b.file.SetSheetRow(s.name, "A1", &header); err != nil {
		return err
	}
	last, err := excelize.ColumnNumberToName(len(header))
	if err != nil {
		return err
	}
	if err := b.file.SetCellStyle(s.name, "A1", last+"1", b.styles[styleHeader]); err != nil {
		return err
	}
	linked, err := b.linkRows(s)
	if err != nil {
		return err
	}
	b.lines[sheetFile(index)] = sheetLines{first: 2, linked: linked, widths: widths, styles: b.styles, lines: s.lines}
	if s.rows == 0 {
		return nil
	}
	if err := b.file.AddTable(s.name, &excelize.Table{Range: fmt.Sprint("A1:", last, s.rows+1), StyleName: "TableStyleLight1"}); err != nil {
		return err
	}
	return b.addDropDowns(s)
}

// layout sets what all sheets have: text cells, widths, and how the sheet is printed.
// A table has a header row that remains visible.
func (b *workbook) layout(name string, widths ...float64) error {
	for i, width := range widths {
		column, err := excelize.ColumnNumberToName(i + 1)
		if err != nil {
			return err
		}
		if err := b.file.SetColWidth(name, column, column, width); err != nil {
			return err
		}
		if err := b.file.SetColStyle(name, column, b.styles[styleText]); err != nil {
			return err
		}
	}
	a4, landscape, one, any, yes := 9, "landscape", 1, 0, true
	if err := b.file.SetPageLayout(name, &excelize.PageLayoutOptions{Size: &a4, Orientation: &landscape, FitToWidth: &one, FitToHeight: &any}); err != nil {
		return err
	}
	if err := b.file.SetSheetProps(name, &excelize.SheetPropsOptions{FitToPage: &yes}); err != nil {
		return err
	}
	if name == coverName {
		return nil
	}
	return b.file.SetPanes(name, &excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"})
}

// addDropDowns adds the choices of columns.
func (b *workbook) addDropDowns(s *sheet) error {
	for i, c := range s.columns {
		if c.Choices == nil {
			continue
		}
		column, err := excelize.ColumnNumberToName(i + 1)
		if err != nil {
			return err
		}
		choices := excelize.NewDataValidation(true)
		choices.Sqref = fmt.Sprint(column, 2, ":", column, s.rows+1)
		if err := choices.SetDropList(c.Choices); err != nil {
			return err
		}
		if err := b.file.AddDataValidation(s.name, choices); err != nil {
			return err
		}
	}
	return nil
}

// linkRows adds the hyperlinks of all rows, or none if there are too many.
func (b *workbook) linkRows(s *sheet) (linked bool, err error) {
	if !s.linked || len(s.links) != s.rows || len(s.links) > b.links {
		return false, nil
	}
	for i, address := range s.links {
		if address == "" {
			continue
		}
		if err := b.link(s.name, i+2, address, "External"); err != nil {
			return false, err
		}
	}
	return true, nil
}

// link makes the first cell of a row a hyperlink.
func (b *workbook) link(sheet string, row int, address, kind string) error {
	b.links--
	return b.file.SetCellHyperLink(sheet, fmt.Sprint("A", row), address, kind)
}

// sheetFile returns the name of the file of a sheet.
func sheetFile(index int) string { return fmt.Sprintf("xl/worksheets/sheet%d.xml", index+1) }

// write writes the file. Its bytes depend only on the document, because the ZIP archive
// has no times.
func (b *workbook) write(w io.Writer) error {
	b.file.SetActiveSheet(0)
	b.file.SetZipWriter(func(io.Writer) excelize.ZipWriter { return &archive{Writer: zip.NewWriter(w), lines: b.lines} })
	if _, err := b.file.WriteToBuffer(); err != nil { // the buffer remains empty
		return err
	}
	for name := range b.lines {
		return fmt.Errorf("write XLSX: %s isn't in the file", name)
	}
	return nil
}

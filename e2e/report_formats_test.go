package e2e

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// newReportSite returns a site whose report has hostile texts, and rows in most sections.
func newReportSite(t *testing.T) *site {
	t.Helper()
	s, users, _ := newAdministrators(t)
	for i, name := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `=HYPERLINK("http://example.com")`, `@SUM(1)`, `_x0041_`, "\u202eevil\u0007",
		"שרה", "'quoted", "00123", "a\nb\tc", strings.Repeat("long ", 100),
	} {
		text, err := json.Marshal(name)
		check(t, err)
		for _, path := range []string{"profile.firstName", "profile.department", "profile.managerId"} {
			check(t, s.org.Set(users[i], path, text))
		}
	}
	s.must(t, 0, "apply")
	return s
}

// report writes a report and returns the path of its file.
func (s *site) report(t *testing.T, format string) string {
	t.Helper()
	name := "report." + format
	s.must(t, 0, "report", "all-users", "--format", format, "--output", name)
	return s.path(name)
}

// tablesOf returns the rows of each table of a report, with a header.
func tablesOf(t *testing.T, path string) map[string][][]string {
	t.Helper()
	needs(t, "python3")
	cmd := exec.Command("python3", "testdata/report.py", path)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	check(t, err)
	var tables map[string][][]string
	check(t, json.Unmarshal(out, &tables))
	return tables
}

// The HTML file is valid. Both formats have the same cells.
func TestReportFormatsAgree(t *testing.T) {
	t.Parallel()
	s := newReportSite(t)
	html, xlsx := tablesOf(t, s.report(t, "html")), tablesOf(t, s.report(t, "xlsx"))
	if len(html) < 5 {
		t.Errorf("only %d tables", len(html))
	}
	for title, want := range html {
		name := sheetNamed(xlsx, title)
		if got, want := trimmed(xlsx[name]), trimmed(want); !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: the sheet %q has the rows\n%q\nwant\n%q", title, name, got, want)
		}
	}
	if cover := fmt.Sprint(xlsx["Cover"]); !strings.Contains(cover, "Okta has no frozen view") {
		t.Errorf("the cover is %s", cover)
	}
}

// trimmed returns rows without empty cells at their end, and without empty rows.
func trimmed(rows [][]string) (trimmed [][]string) {
	for _, row := range rows {
		for len(row) > 0 && row[len(row)-1] == "" {
			row = row[:len(row)-1]
		}
		if len(row) > 0 {
			trimmed = append(trimmed, row)
		}
	}
	return trimmed
}

// sheetNamed returns the name of the sheet of a section.
func sheetNamed(sheets map[string][][]string, title string) string {
	for name := range sheets {
		if start, cut := strings.CutSuffix(name, "…"); name == title || cut && strings.HasPrefix(title, start) {
			return name
		}
	}
	return ""
}

// LibreOffice reads each cell of an XLSX report as it was written.
func TestReportInLibreOffice(t *testing.T) {
	t.Parallel()
	needs(t, "soffice")
	s := newReportSite(t)
	path := s.report(t, "xlsx")
	const eachSheet = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1" // UTF-8, one file for each sheet
	out, err := exec.Command("soffice", "-env:UserInstallation=file://"+t.TempDir(), "--headless", "--convert-to", eachSheet, "--outdir", s.path("csv"), path).CombinedOutput()
	if err != nil {
		t.Fatalf("soffice: %v\n%s", err, out)
	}
	for sheet, want := range tablesOf(t, path) {
		file, err := os.Open(filepath.Join(s.path("csv"), "report-"+sheet+".csv"))
		check(t, err)
		defer file.Close()
		reader := csv.NewReader(file)
		reader.FieldsPerRecord = -1
		got, err := reader.ReadAll()
		check(t, err)
		if got, want := trimmed(got), trimmed(want); !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: LibreOffice has the rows\n%q\nwant\n%q", sheet, got, want)
		}
	}
}

// mediaBox is the size of the paper in a PDF file, in points.
var mediaBox = regexp.MustCompile(`/MediaBox \[[^]]*\]`)

// The HTML report in a browser: no request, landmarks, contrast, and paper.
func TestReportInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := newReportSite(t)
	url := "file://" + s.report(t, "html")
	b.checkLayout(url, "report")

	b.must(b.session, "Emulation.setEmulatedMedia", map[string]any{
		"media": "print", "features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}},
	}, nil)
	b.open(url)
	var printed map[string]string
	b.eval(`Object.fromEntries([["body", "backgroundColor"], ["thead", "display"], ["tbody tr", "breakInside"], [".rows", "overflowX"]].map(
		([selector, property]) => [selector, getComputedStyle(document.querySelector(selector))[property]]))`, &printed)
	if want := map[string]string{"body": "rgb(255, 255, 255)", "thead": "table-header-group", "tbody tr": "avoid", ".rows": "visible"}; !maps.Equal(printed, want) {
		t.Errorf("printed: %v, want %v", printed, want)
	}
	var pdf struct{ Data []byte }
	b.must(b.session, "Page.printToPDF", map[string]any{"preferCSSPageSize": true}, &pdf)
	if box := mediaBox.FindString(string(pdf.Data)); box != "/MediaBox [0 0 841.91998 594.95996]" {
		t.Errorf("the paper is %s, want A4, landscape", box)
	}
	b.checkConsole(url[:strings.LastIndex(url, "/")])
}

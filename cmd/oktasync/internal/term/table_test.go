package term_test

import (
	"strings"
	"testing"

	"oktasync/cmd/oktasync/internal/term"
)

// A column is as wide as its cells, up to a limit, and no cell is cut.
func TestTable(t *testing.T) {
	long := strings.Repeat("x", 1000)
	rows := [][]string{{"login", "title"}, {"zoë", ""}, {"a\x1bb", "c"}, {long, "d"}}
	var table term.Table
	var out strings.Builder
	for _, row := range rows {
		table.Measure(row)
	}
	for _, row := range rows {
		if err := table.Write(&out, row); err != nil {
			t.Fatal(err)
		}
	}
	pad := func(n int) string { return strings.Repeat(" ", n) }
	want := "login" + pad(77) + "title\nzoë" + pad(79) + "-\na\\u001bb" + pad(74) + "c\n" + long + "  d\n"
	if out.String() != want {
		t.Errorf("table:\n%q\nwant\n%q", out.String(), want)
	}
}

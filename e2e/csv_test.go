package e2e

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// A CSV file has at most 500 columns. Values without a column are in the column
// other, so that the size is linear in that of the records. verify and check.py
// render the same file.
func TestCSVOfManyAttributes(t *testing.T) {
	t.Parallel()
	checker(t)
	const users, attributes = 40, 60 // each user has attributes of their own
	s := newSignedSite(t, sandbox.Config{Users: 1, Seed: 136}, "")
	for u := range users {
		profile := fmt.Sprintf(`{"login":"u%d@acme.example","title":"a;b","city":"a\tb","nickName":"a \"b\""`, u)
		for a := range attributes {
			profile += fmt.Sprintf(`,"a%d_%d":"value %d"`, u, a, a)
		}
		check(t, s.putUser(fmt.Sprintf("00u%03d", u), profile+"}", "ACTIVE"))
	}
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
	if r := s.checkStore(t, signers...); r.status != 0 {
		t.Errorf("check.py: %s", r.stderr)
	}

	file := read(t, s.path("snapshots/all-users/latest/users.csv"))
	records := s.must(t, 0, "show", "all-users").stdout
	if most := 2*len(records) + (users+2)*600; len(file) > most {
		t.Errorf("the file has %d bytes, want at most %d for records of %d", len(file), most, len(records))
	}
	for _, cell := range []string{`,"a;b",`, ",\"a\tb\",", `,"a ""b""",`} {
		if !strings.Contains(file, cell) {
			t.Errorf("no cell %s", cell)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	check(t, err)
	if n := len(rows[0]); n != 500 || rows[0][n-1] != "other" {
		t.Fatalf("%d columns, the last is %s; want 500 and other", n, rows[0][n-1])
	}
	values := 0
	for _, row := range rows[1:] {
		var other map[string]any
		if cell := row[len(row)-1]; cell != "" {
			check(t, json.Unmarshal([]byte(cell), &other))
		}
		for name, cell := range other {
			if strings.HasPrefix(name, "profile.a") && strings.HasPrefix(fmt.Sprint(cell), "value ") {
				values++
			}
		}
		for i, cell := range row[:len(row)-1] {
			if strings.HasPrefix(rows[0][i], "profile.a") && strings.HasPrefix(cell, "value ") {
				values++
			}
		}
	}
	if values != users*attributes {
		t.Errorf("the file has %d values, want %d", values, users*attributes)
	}
}

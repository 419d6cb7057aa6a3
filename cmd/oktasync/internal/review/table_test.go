package review_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"oktasync/cmd/oktasync/internal/review"
	"oktasync/reconcile/snapshot/render"
)

func write(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "review.csv")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A file as our CSV, as spreadsheets save it in several countries, and as Okta exports it.
var files = map[string]string{
	"ours":        "key,decision\r\na:b,keep\r\n",
	"mark":        "\ufeffkey,decision\r\na:b,keep\r\n",
	"semicolons":  "key;decision\r\na:b;keep\r\n",
	"tabs":        "key\tdecision\r\na:b\tkeep\r\n",
	"with titles": "Review of Lee,Lee,Lee\n\nkey,decision\n\"a:b\",keep\n,\n",
}

func TestFormsOfFiles(t *testing.T) {
	for name, content := range files {
		rows, _, err := review.ReadFile(write(t, content))
		if want := [][]string{{"a:b", "keep"}}; err != nil || !reflect.DeepEqual(rows, want) {
			t.Errorf("%s: rows = %q, %v, want %q", name, rows, err, want)
		}
	}
}

func TestFilesThatAreRejected(t *testing.T) {
	for content, want := range map[string]string{
		"":                          "no row is a header",
		"name,decision\n":           "no row is a header",
		"Review,\"a; \"\"b\"\"\"\n": "no row is a header with the columns key and decision",
		"key,decision,key\n":        `1: two columns have the name "key"`,
		"key,decision,Decision\n":   `1: two columns have the name "Decision"`,
		"User ID,Resource id,Reviewer email,Decision,Certification\n": `1: the columns "Decision" and "Certification" both have the field decision`,
		"key,decision\n\"a,keep":                                             "2: extraneous or missing \" in quoted-field",
		"key,decision\n\xff,keep":                                            "2: has text that isn't UTF-8",
		"PK\x03\x04":                                                         "is a workbook",
		"Resource id,Other\n0oa,x":                                           "1: lacks the columns user (one of: reviewitem.principaluserd, user id, reviewitem.principaluserid), decision",
		"key,decision\na," + strings.Repeat("x", 40_000):                     "2: has a cell with more than 32767 characters",
		"key,decision\n" + strings.Repeat("a,", 2<<20):                       "has a row with more than 1024 KiB",
		"key,decision\n\"" + strings.Repeat("line\n", 2<<20) + "\",keep\n\n": "has a row with more than 1024 KiB",
	} {
		if _, _, err := review.ReadFile(write(t, content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v, want %q", content, err, want)
		}
	}
	if _, _, err := review.ReadFile(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a folder: %v", err)
	}
}

// Any file is an error, or each of its rows can be read again by its position.
func FuzzFiles(f *testing.F) {
	for _, content := range files {
		f.Add([]byte(content))
	}
	f.Add([]byte("reviewItem.principalUserd,reviewItem.resourceId,reviewItem.reviewerEmail,decision\n00u,0oa,a@b,APPROVE\n"))
	f.Add([]byte("key,decision\n\"a\n\"\"b\",\"k\reep\r\n\"\r\n\r\nc\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		rows, again, err := review.ReadFile(write(t, string(content)))
		if err == nil && !reflect.DeepEqual(rows, again) {
			t.Errorf("rows = %q, and again %q", rows, again)
		}
	})
}

// A text is the same after it was written to a CSV file and read again.
func FuzzTexts(f *testing.F) {
	for _, text := range []string{"", "a", "'", "''", "=1+1", "'=1", "\t=1", "a,b;c\"d\ne", " x ", "\u200b@x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(strings.ReplaceAll(text, "\r", ""), "") // CSV readers convert CR LF in cells
		if len(text) > 30_000 {
			return
		}
		content := append([]byte("key,decision\n"), render.AppendTexts(nil, []string{"k", text})...)
		rows, _, err := review.ReadFile(write(t, string(content)))
		if err != nil || len(rows) != 1 || review.Plain(rows[0][1]) != text {
			t.Errorf("%q: rows = %q, %v", text, rows, err)
		}
	})
}

// Rows are read in any order.
func TestSpool(t *testing.T) {
	var rows [][]string
	for i := range 2000 {
		rows = append(rows, []string{strings.Repeat("x", i*7%300), strings.Repeat("y", i%11*i)})
	}
	read, err := review.Spool(rows)
	if slices.Reverse(read); err != nil || !reflect.DeepEqual(read, rows) {
		t.Errorf("Spool() differs, %v", err)
	}
}

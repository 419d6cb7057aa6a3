package document_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"

	"oktasync/cmd/oktasync/internal/document"
)

// hostile are cells that a reader could interpret instead of showing them.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onclick='x`, `&lt;b&gt;`, `<!-- `, `]]>`,
	`=HYPERLINK("http://example.com")`, `+1`, `-1`, `@SUM(1)`, `_x0041_`, `_x005F_`, `01234567890123456789`, ` space `,
	"a\x00\x07\x1b[31mb", "line\r\nline\ttab", "\u202eright to left\u2066", "\ufffe\uffff", "\xff invalid", "יוסי", "😀", "",
}

// rows returns rows with one cell each.
func rows(cells ...string) iter.Seq2[document.Row, error] {
	return func(yield func(document.Row, error) bool) {
		for i, cell := range cells {
			if !yield(document.Row{Key: fmt.Sprintf("key %d", i), Cells: []string{cell}}, nil) {
				return
			}
		}
	}
}

func section(id string, cells ...string) document.Section {
	return document.Section{ID: id, Title: "Section " + id, Columns: []document.Column{{Name: "login"}}, Rows: rows(cells...)}
}

// everywhere returns a document with text in each place for a text.
func everywhere(text string) *document.Document {
	s := document.Section{ID: "rows", Title: text, Method: []string{text}, Columns: []document.Column{{Name: text}, {Name: "name"}}}
	s.Rows = func(yield func(document.Row, error) bool) {
		yield(document.Row{Key: text, Cells: []string{text, text}, Link: "https://example.com/" + text}, nil)
	}
	return &document.Document{Title: text, Cover: []document.Fact{{Name: text, Text: []string{text}}}, Sections: []document.Section{
		s, {ID: "missing", Title: text, Method: []string{text}, Missing: "Not recorded: " + text},
	}}
}

var writers = map[string]func(io.Writer, *document.Document) error{"HTML": document.WriteHTML, "XLSX": document.WriteXLSX}

func TestInvalidDocuments(t *testing.T) {
	failing := errors.New("read users: input/output error")
	reads := 0
	for name, s := range map[string]document.Section{
		"section ID": section("A b"),
		"repeated":   section("first"),
		"has 2 cells, want 1": {ID: "s", Columns: make([]document.Column, 1), Rows: func(yield func(document.Row, error) bool) {
			yield(document.Row{Key: "k", Cells: make([]string, 2)}, nil)
		}},
		"want https": {ID: "s", Columns: make([]document.Column, 1), Rows: func(yield func(document.Row, error) bool) {
			yield(document.Row{Key: "k", Cells: make([]string, 1), Link: "javascript:alert(1)"}, nil)
		}},
		failing.Error(): {ID: "s", Columns: make([]document.Column, 1), Rows: func(yield func(document.Row, error) bool) {
			yield(document.Row{}, failing)
		}},
		"rows when they were counted": {ID: "s", Columns: []document.Column{{Name: "login"}}, Rows: func(yield func(document.Row, error) bool) {
			reads++
			_ = yield(document.Row{Cells: make([]string, 1)}, nil) && reads%2 == 0 && yield(document.Row{Cells: make([]string, 1)}, nil)
		}},
	} {
		for format, write := range writers {
			err := write(io.Discard, &document.Document{Sections: []document.Section{section("first"), s}})
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: error %v, want one with %q", format, err, name)
			}
		}
	}
}

func TestWriteErrors(t *testing.T) {
	d := &document.Document{Sections: []document.Section{section("s", slices.Repeat([]string{"cell"}, 50_000)...)}}
	for format, write := range writers {
		var whole bytes.Buffer
		if err := write(&whole, d); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, whole.Len() / 2, whole.Len() - 1} {
			if err := write(&limited{n}, d); !errors.Is(err, io.ErrShortWrite) {
				t.Errorf("%s: after %d bytes of %d: error %v, want %v", format, n, whole.Len(), err, io.ErrShortWrite)
			}
		}
	}
}

// limited fails after n bytes.
type limited struct{ n int }

func (l *limited) Write(data []byte) (int, error) {
	if l.n -= len(data); l.n < 0 {
		return 0, io.ErrShortWrite
	}
	return len(data), nil
}

func TestSameBytes(t *testing.T) {
	for format, write := range writers {
		var first, second bytes.Buffer
		for _, w := range []*bytes.Buffer{&first, &second} {
			d := everywhere("text")
			for i := range 20 {
				d.Sections = append(d.Sections, section(fmt.Sprint("s", i), hostile...))
			}
			if err := write(w, d); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: the same document has two representations", format)
		}
	}
}

func TestMemoryDoesNotGrowWithRows(t *testing.T) {
	const n = 200_000
	for format, write := range writers {
		var early, late uint64
		s := document.Section{ID: "s", Title: "s", Columns: []document.Column{{Name: "login"}}, Rows: func(yield func(document.Row, error) bool) {
			for i := range n {
				if !yield(document.Row{Key: fmt.Sprint(i), Link: fmt.Sprint("https://example.com/", i), Cells: []string{fmt.Sprint("user", i)}}, nil) {
					return
				}
				switch i {
				case n / 20:
					early = heap()
				case n - 1:
					late = heap()
				}
			}
		}}
		if err := write(io.Discard, &document.Document{Sections: []document.Section{s}}); err != nil {
			t.Fatal(err)
		}
		if late > early+1<<20 {
			t.Errorf("%s: %d bytes in use after %d rows, %d after %d", format, early, n/20, late, n)
		}
	}
}

// heap returns the number of bytes in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestSample(t *testing.T) {
	keys := []string{"key 3", "key 0", "key 2", "key 1", "key 4"}
	population := fmt.Sprintf("%x", sha256.Sum256([]byte("key 0\nkey 1\nkey 2\nkey 3\nkey 4\n")))
	want := slices.SortedFunc(slices.Values(keys), func(a, b string) int {
		x, y := sha256.Sum256([]byte("seed\n"+population+"\n"+a)), sha256.Sum256([]byte("seed\n"+population+"\n"+b))
		return bytes.Compare(x[:], y[:])
	})
	s := section("leavers")
	s.Rows = func(yield func(document.Row, error) bool) {
		cells := make([]string, 1) // the same for all rows
		for _, key := range keys {
			cells[0] = "cell of " + key
			if !yield(document.Row{Key: key, Cells: cells}, nil) {
				return
			}
		}
	}
	for n := range 7 {
		sample, err := document.Sample(s, n, "seed")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for row := range sample.Rows {
			got = append(got, row.Key)
			if row.Cells[0] != "cell of "+row.Key {
				t.Errorf("row %s has the cell %q", row.Key, row.Cells[0])
			}
		}
		if !slices.Equal(got, want[:min(n, 5)]) {
			t.Errorf("a sample of %d = %q, want the first of %q", n, got, want)
		}
		method := strings.Join(sample.Method, "\n")
		for _, part := range []string{fmt.Sprintf("%d of 5 rows", min(n, 5)), "Seed: seed", population} {
			if !strings.Contains(method, part) {
				t.Errorf("the method doesn't contain %q:\n%s", part, method)
			}
		}
		slices.Reverse(keys) // must not matter
	}
}

func TestSampleRejectsRepeatedKeys(t *testing.T) {
	keys := []string{"same", "same", "other"}
	s := section("leavers")
	s.Rows = func(yield func(document.Row, error) bool) {
		for _, key := range keys {
			if !yield(document.Row{Key: key, Cells: []string{""}}, nil) {
				return
			}
		}
	}
	if _, err := document.Sample(s, 3, ""); err == nil || !strings.Contains(err.Error(), `two rows have the key "same"`) {
		t.Errorf("error %v", err)
	}
}

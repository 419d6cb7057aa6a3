package canonjson_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/canonjson"
)

// checkScan checks that s accepts src exactly if src is an object that Canonical
// returns unchanged, also after other records.
func checkScan(t *testing.T, s *canonjson.Scanner, src []byte) {
	t.Helper()
	form, err := canonjson.Canonical(nil, src)
	want := err == nil && bytes.Equal(form, src) && src[0] == '{'
	for range 2 { // the second time with remembered members
		if err := s.Scan(append(bytes.Clone(src), '\n')); (err == nil) != want {
			t.Fatalf("Scan(%q) = %v, want it accepted: %t", src, err, want)
		}
		if id, _ := canonjson.Find(form, "id"); want && !bytes.Equal(s.Values[0], id) {
			t.Fatalf("Scan(%q) finds the id %s, want %s", src, s.Values[0], id)
		}
	}
}

func FuzzScan(f *testing.F) {
	users := append(recordtest.Users(2), `{"a":1,"b":2}`, `{"b":2,"a":1}`, `{"a":1,"a":2}`, `{"a":[{"b":1,"c":[{}]},{"c":1,"b":2}],"b":{"c":{}}}`,
		`{"\u0000":"\u001f\u0008\b\/\"\\\ud83d\ude00"}`, `{"a":01,"b":-0.10e+05,"c":1.,"d":-}`, `[1]`, `{"a":tru}`, `{`, `{"a`, "{\"\n\":1}",
		"{\"\ufb33\":1,\"😀\":2,\"\u20ac\":3}", "{\"a\":\"\xff\"}", `{"a\"":1,"a!":2}`)
	for i, user := range users {
		f.Add([]byte(user), []byte(users[(i+1)%len(users)]))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := canonjson.NewScanner([]string{"id"}, nil)
		for _, src := range [][]byte{first, second, first} {
			if len(src) == 0 {
				continue // a line is never empty
			}
			checkScan(t, s, src)
			if form, err := canonjson.Canonical(nil, src); err == nil {
				checkScan(t, s, form)
			}
		}
	})
}

// Each byte of a user is replaced by other bytes, and removed.
func TestScanEveryByte(t *testing.T) {
	s := canonjson.NewScanner([]string{"id"}, nil)
	user := recordtest.Canonical(t, `{"id":"00u1","profile":{"login":"zoë \"z\" \u0001\n","n":[-1.50e+3,true,null,{"a":{},"b":[]}]},"status":"ACTIVE"}`)
	for i := range user {
		for _, b := range []byte("\x00\n \"\\,:{}[]0-+.eEtfnu/a\x7f\x80\xc3\xff") {
			other := bytes.Clone(user)
			other[i] = b
			checkScan(t, s, other)
		}
		checkScan(t, s, append(bytes.Clone(user[:i]), user[i+1:]...))
		checkScan(t, s, user[:i+1])
	}
}

// A Scanner remembers a bounded number of members, and checks further members as
// strictly.
func TestScanManyMembers(t *testing.T) {
	s := canonjson.NewScanner([]string{"id"}, nil)
	for n := range 20 {
		var b strings.Builder
		for i := range 5000 {
			fmt.Fprintf(&b, `,"%08d-%d":{"x":%d}`, i, n, i)
		}
		user := []byte("{" + b.String()[1:] + "}")
		checkScan(t, s, user)
		checkScan(t, s, bytes.Replace(user, []byte("00004999"), []byte("00004998"), 1))
	}
	deepest := `{"a":` + strings.Repeat("[", canonjson.MaxDepth-1) + strings.Repeat("]", canonjson.MaxDepth-1) + "}"
	checkScan(t, s, []byte(deepest))
	checkScan(t, s, []byte(`{"a":[`+deepest[5:len(deepest)-1]+`]}`))
}

// BenchmarkScan compares Scan with Canonical and Project, by 1000 users.
func BenchmarkScan(b *testing.B) {
	s := canonjson.NewScanner(nil, nil)
	p := canonjson.Attributes{Exclude: []string{"credentials.emails", "_links"}}.Projector(always)
	var dst []byte
	for name, do := range map[string]func(line []byte) error{
		"Scan":      func(line []byte) error { return s.Scan(line) },
		"Canonical": func(line []byte) (err error) { dst, err = canonjson.Canonical(dst[:0], line); return err },
		"Project":   func(line []byte) (err error) { dst, err = p.Project(dst[:0], line[:len(line)-1]); return err },
	} {
		b.Run(name, func(b *testing.B) {
			var lines [][]byte
			for _, user := range recordtest.Users(1000) {
				lines = append(lines, append(recordtest.Canonical(b, user), '\n'))
			}
			b.SetBytes(int64(len(lines[0]) * len(lines)))
			for b.Loop() {
				for _, line := range lines {
					if err := do(line); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

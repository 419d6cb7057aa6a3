package canonjson_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/canonjson"
)

// checkScan checks that s accepts src exactly if Canonical returns the same bytes, whatever s
// has read before.
func checkScan(t *testing.T, s *canonjson.Scanner, src []byte) {
	t.Helper()
	form, err := canonjson.Canonical(nil, src)
	want := err == nil && bytes.Equal(form, src) && src[0] == '{'
	for range 2 { // the second time, the scanner remembers the members
		if err := s.Scan(append(bytes.Clone(src), '\n')); (err == nil) != want {
			t.Fatalf("Scan(%q) = %v, want it accepted: %t", src, err, want)
		}
	}
}

func FuzzScan(f *testing.F) {
	users := append(recordtest.Org(2), `{"a":1,"b":2}`, `{"b":2,"a":1}`, `{"a":1,"a":2}`, `{"a":[{"b":1,"c":[{}]},{"c":1,"b":2}],"b":{"c":{}}}`,
		`{"\u0000":"\u001f\u0008\b\/\"\\\ud83d\ude00"}`, `{"a":01,"b":-0.10e+05,"c":1.,"d":-}`, `[1]`, `{"a":tru}`, `{`, `{"a`, "{\"\n\":1}",
		"{\"\ufb33\":1,\"😀\":2,\"\u20ac\":3}", "{\"a\":\"\xff\"}", `{"a\"":1,"a!":2}`)
	for i, user := range users {
		f.Add([]byte(user), []byte(users[(i+1)%len(users)]))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := canonjson.NewScanner(nil, nil)
		for _, src := range [][]byte{first, second, first} {
			if len(src) == 0 {
				continue // no line is empty: the reader would have to have found one
			}
			checkScan(t, s, src)
			if form, err := canonjson.Canonical(nil, src); err == nil {
				checkScan(t, s, form)
			}
		}
	})
}

// Each byte of a user replaced by each of some others, and left out.
func TestScanEveryByte(t *testing.T) {
	s := canonjson.NewScanner(nil, nil)
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

// What is read is remembered within bounds, and read no less strictly beyond.
func TestScanManyMembers(t *testing.T) {
	s := canonjson.NewScanner(nil, nil)
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

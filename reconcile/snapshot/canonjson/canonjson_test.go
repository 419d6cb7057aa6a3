package canonjson_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/canonjson"
)

func TestCanonical(t *testing.T) {
	for _, test := range []struct{ name, src, want string }{
		{"scalar", ` true `, `true`},
		{"white space", "\t{ \"a\" : [ 1 ,\r\n2 ] } ", `{"a":[1,2]}`},
		{"order of members", `{"b":1,"a":{"d":2,"c":3}}`, `{"a":{"c":3,"d":2},"b":1}`},
		{"a name that is a prefix of another", `{"ab":1,"a":2,"":3}`, `{"":3,"a":2,"ab":1}`},
		{"order of a list", `[2,1,[3,0]]`, `[2,1,[3,0]]`},
		{"text of numbers", `[12345678901234567890,1.0,1E2,-0,0.10e+05]`, `[12345678901234567890,1.0,1E2,-0,0.10e+05]`},
		{"escapes", `"\u0041\/\"\\\b\f\n\r\t\u0000\u001F\u007f\u2028"`, "\"A/\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\u007f\u2028\""},
		{"pair of surrogates", `"\ud83d\uDE00"`, `"😀"`},
		{"replacement character", `"\ufffd�"`, `"��"`},
		{"order after unescaping", `{"a\u0022":1,"a!":2,"\u0061#":3}`, `{"a!":2,"a\"":1,"a#":3}`},
		{"RFC 8785, 3.2.3", `{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}`,
			"{\"\\r\":2,\"1\":4,\"\u0080\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\ufb33\":3}"},
		{"empty", `[{},[],"",null]`, `[{},[],"",null]`},
		{"same names, other order", `[{"a":1,"b":2,"c":3},{"c":1,"b":2,"a":3},{"b":1,"a":2,"c":3}]`,
			`[{"a":1,"b":2,"c":3},{"a":3,"b":2,"c":1},{"a":2,"b":1,"c":3}]`},
		{"deepest", strings.Repeat("[", canonjson.MaxDepth) + strings.Repeat("]", canonjson.MaxDepth),
			strings.Repeat("[", canonjson.MaxDepth) + strings.Repeat("]", canonjson.MaxDepth)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := canonjson.Canonical([]byte("before"), []byte(test.src))
			if err != nil {
				t.Fatal(err)
			}
			if want := "before" + test.want; string(got) != want {
				t.Errorf("Canonical() = %s, want %s", got, want)
			}
		})
	}
}

func TestCanonicalRejects(t *testing.T) {
	for _, test := range []struct{ name, src, want string }{
		{"nothing", ``, "invalid JSON at byte 0: expected a value"},
		{"only space", ` `, "invalid JSON at byte 1: expected a value"},
		{"duplicate member", `{"a":1,"b":2,"a":3}`, "invalid JSON at byte 19: duplicate member name"},
		{"duplicate by escape", `{"a":1,"\u0061":3}`, "invalid JSON at byte 18: duplicate member name"},
		{"invalid UTF-8", "\"a\xff\"", "invalid JSON at byte 2: invalid UTF-8"},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\"", "invalid JSON at byte 1: invalid UTF-8"},
		{"overlong UTF-8", "\"\xc0\xaf\"", "invalid JSON at byte 1: invalid UTF-8"},
		{"high surrogate only", `"\ud83d"`, "invalid JSON at byte 1: unpaired surrogate"},
		{"low surrogate only", `"\ude00"`, "invalid JSON at byte 1: unpaired surrogate"},
		{"high surrogate and a letter", `"\ud83d\u0041"`, "invalid JSON at byte 1: unpaired surrogate"},
		{"trailing data", `{} x`, "invalid JSON at byte 3: unexpected text after the value"},
		{"second value", `1 2`, "invalid JSON at byte 2: unexpected text after the value"},
		{"incomplete string", `{"a":"b`, "invalid JSON at byte 7: unterminated string"},
		{"incomplete object", `{"a":1`, "invalid JSON at byte 6: expected a comma or the end"},
		{"trailing comma in a list", `[1,]`, "invalid JSON at byte 3: expected a value"},
		{"trailing comma in an object", `{"a":1,}`, "invalid JSON at byte 7: expected a member name"},
		{"no colon", `{"a" 1}`, "invalid JSON at byte 5: expected a colon"},
		{"raw control character", "\"\n\"", "invalid JSON at byte 1: control character in a string"},
		{"unknown escape", `"\x41"`, "invalid JSON at byte 1: invalid escape"},
		{"short escape", `"\u004"`, "invalid JSON at byte 1: invalid escape"},
		{"leading zero", `01`, "invalid JSON at byte 1: unexpected text after the value"},
		{"plus", `+1`, "invalid JSON at byte 0: expected a value"},
		{"no digit after the point", `1.`, "invalid JSON at byte 2: expected a digit"},
		{"no digit in the exponent", `1e+`, "invalid JSON at byte 3: expected a digit"},
		{"wrong literal", `nul`, "invalid JSON at byte 0: expected a value"},
		{"not JSON", `<html>`, "invalid JSON at byte 0: expected a value"},
		{"NUL", "[\x00]", "invalid JSON at byte 1: expected a value"},
		{"byte order mark", "\ufeff{}", "invalid JSON at byte 0: expected a value"},
		{"too deep", strings.Repeat("[", 1e6), "invalid JSON at byte 100: nested deeper than 100 levels"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := canonjson.Canonical([]byte("before"), []byte(test.src))
			if err == nil || err.Error() != test.want {
				t.Errorf("Canonical() error = %v, want %s", err, test.want)
			}
			if string(got) != "before" {
				t.Errorf("Canonical() = %q, want it unchanged", got)
			}
		})
	}
}

// Canonical tries the order of one object on the next object with as many
// members. That must not change a result or miss a duplicate.
func TestCanonicalAfterOtherOrders(t *testing.T) {
	for _, names := range [][]string{{"c", "b", "a"}, {"a", "b", "c"}, {"b", "c", "a"}, {"b", "b", "a"}, {"a", "c", "b"}} {
		src := fmt.Sprintf(`{"%s":1,"%s":1,"%s":1}`, names[0], names[1], names[2])
		got, err := canonjson.Canonical(nil, []byte(src))
		if names[0] == names[1] {
			if err == nil {
				t.Errorf("Canonical(%s) = %s, want an error", src, got)
			}
		} else if want := `{"a":1,"b":1,"c":1}`; err != nil || string(got) != want {
			t.Errorf("Canonical(%s) = %s, %v, want %s", src, got, err, want)
		}
	}
}

func TestMarshal(t *testing.T) {
	v := map[string]any{ // the example of RFC 8785, section 3.2.2
		"numbers":  []float64{333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001},
		"string":   "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"/",
		"literals": []any{nil, true, false},
	}
	got, err := canonjson.Marshal(v)
	want := `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`
	if err != nil || string(got) != want {
		t.Errorf("Marshal() = %s, %v, want %s", got, err, want)
	}
}

// FuzzCanonical compares Canonical with two other libraries. It accepts the same
// input, writes the same form, keeps the text of each number, and a second call
// changes nothing.
func FuzzCanonical(f *testing.F) {
	seeds := append(recordtest.Users(1), `{"b":[1.0,-0E+1,{"\u0000":"\ud83d\ude00"}],"a\"":null,"a!":"\/"}`,
		"{\"\ufb33\":1,\"😀\":2,\"\u20ac\":3}", `{"a":1,"a":2}`, `"\ud800"`, "\"\xff\"", `[1] 2`, `01`, `[[[[]]]]`, ` { } `)
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := canonjson.Canonical(nil, src)
		want, wantErr := jsontext.AppendFormat(nil, src, jsontext.ReorderRawObjects(true),
			jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false))
		if depth(src) > canonjson.MaxDepth {
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("Canonical(%q) error = %v, jsontext's is %v", src, err, wantErr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(got, want) {
			t.Errorf("Canonical(%q) = %s, jsontext's is %s", src, got, want)
		}
		if slow := recordtest.Encode(nil, recordtest.Decode(t, src)); !bytes.Equal(got, slow) {
			t.Errorf("Canonical(%q) = %s, by encoding/json %s", src, got, slow)
		}
		if again := recordtest.Canonical(t, string(got)); !bytes.Equal(again, got) {
			t.Errorf("Canonical(%s) = %s, want the same", got, again)
		}
	})
}

// depth returns at least the depth of nesting in src.
func depth(src []byte) int {
	most, now := 0, 0
	for _, b := range src {
		switch b {
		case '[', '{':
			now++
			most = max(most, now)
		case ']', '}':
			now--
		}
	}
	return most
}

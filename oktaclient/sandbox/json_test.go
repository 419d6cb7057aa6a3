package sandbox_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"oktasync/oktaclient/sandbox"
)

// Reading and editing JSON text has the same result as decoding, changing and
// encoding it.
func FuzzJSON(f *testing.F) {
	seeds := []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":{"b":[1,{"c":"}"}],"d":null}, "e" : "\"\\" , "f":[ ]}`,
		`{"a":"x,y:z","b":{"a":{}},"\u0061b":true}`, `{"profile":{"login":"\u00e9"},"status":"ACTIVE"}`,
	}
	for _, seed := range seeds {
		if !json.Valid([]byte(seed)) {
			f.Fatalf("seed %s is not JSON", seed)
		}
		for _, path := range []string{"a", "a.b", "d", "d.x", "e", "ab", "profile.login", "new.one"} {
			f.Add(seed, path, `{"v":[1.50]}`)
		}
	}
	f.Fuzz(func(t *testing.T, text, path, value string) {
		obj := bytes.TrimSpace([]byte(text))
		var want map[string]any
		if !utf8.ValidString(text+path) || json.Unmarshal(obj, &want) != nil || want == nil || !json.Valid([]byte(value)) ||
			!jsontext.Value(obj).IsValid() { // encoding/json accepts duplicate names
			return
		}
		names := strings.Split(path, ".")
		if got, ok := lookup(want, names); ok {
			if v := sandbox.JSONGet(obj, path); !equalJSON(v, got) {
				t.Errorf("get(%s, %s) = %s, want %v", obj, path, v, got)
			}
		} else if v := sandbox.JSONGet(obj, path); v != nil {
			t.Errorf("get(%s, %s) = %s, want nothing", obj, path, v)
		}
		without := sandbox.JSONWithout(obj, names[0])
		less := map[string]any{}
		for name, v := range want {
			if name != names[0] {
				less[name] = v
			}
		}
		if !equalJSON(without, less) {
			t.Errorf("without(%s, %s) = %s, want %v", obj, names[0], without, less)
		}
		v := bytes.TrimSpace([]byte(value))
		changed := sandbox.JSONSet(obj, path, v)
		if !json.Valid(changed) || !bytes.Equal(sandbox.JSONGet(changed, path), v) {
			t.Errorf("set(%s, %s, %s) = %s", obj, path, v, changed)
		}
		if got := sandbox.JSONWithout(changed, names[0]); len(names) == 1 && !equalJSON(got, less) {
			t.Errorf("set changed more than %s: %s", path, got)
		}
	})
}

func lookup(v any, names []string) (any, bool) {
	for _, name := range names {
		obj, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = obj[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

func equalJSON(text []byte, want any) bool {
	var got any
	return json.Unmarshal(text, &got) == nil && reflect.DeepEqual(got, want)
}

func TestElements(t *testing.T) {
	for text, want := range map[string]int{`[]`: 0, `[ ]`: 0, `[1]`: 1, `[1 , "a,]" ,[2,3],{"x":[]}]`: 4, `"x"`: 1, `12`: 1} {
		if got := sandbox.JSONElements([]byte(text)); len(got) != want {
			t.Errorf("elements of %s = %q, want %d", text, got, want)
		}
	}
}

package canonjson_test

import (
	"errors"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/canonjson"
)

// Texts and Text find the same strings, also after records with other members.
func TestTexts(t *testing.T) {
	found := map[string]*string{"id": new(string), "profile.login": new(string), "profile.manager.id": new(string), "profile": new(string), "a": new(string)}
	texts := canonjson.NewTexts(found)
	for _, src := range []string{
		`{"id":"00u1","profile":{"login":"zoë \"z\" \u0001\n","manager":{"id":"00u2"}}}`,
		`{"a":"zoë \\\"z\\\"","id":"\\","profile":"zoë"}`,
		`{"a":"zoë \"z\"","id":"00u1","profile":{"login":"zoë \"z\"","manager":"00u2"}}`,
		`{"a":["x"],"id":null,"profile":[{"login":"in a list"}]}`,
		`{"a":{"id":"below"},"id":7,"profile":{"login":true}}`,
		`{"a":"ul","id":"23","profile":[]}`,
		`{"a":null,"id":1234,"profile":[]}`,
		`{"profile.login":"a name with a dot","profile":{"manager.id":"another"}}`,
		`{"profile":{"login":"p","login2":"q"},"profile2":{"login":"r"}}`,
		`{}`,
	} {
		record := recordtest.Canonical(t, src)
		if err := texts.Read(record); err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		for path, text := range found {
			if want, err := canonjson.Text(record, path); *text != want || err != nil {
				t.Errorf("%s of %s is %q, not %q, %v", path, src, *text, want, err)
			}
		}
	}
	for _, record := range []string{"", "{", `{"id":"x"} `, `{"profile":{"b":1,"a":2}}`} {
		if err := texts.Read([]byte(record)); !errors.Is(err, canonjson.ErrNotCanonical) {
			t.Errorf("%q: %v", record, err)
		}
	}
}

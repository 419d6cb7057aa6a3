package snapshot_test

import (
	"bytes"
	"testing"

	"oktasync/reconcile/snapshot"
)

func TestWriteJSONAndNDJSON(t *testing.T) {
	for _, test := range []struct {
		name         string
		users        []string
		json, ndjson string
	}{
		{"none", nil, "[]\n", ""},
		{"one", []string{`{"id":"1","b":1.0}`}, "[\n{\"b\":1.0,\"id\":\"1\"}\n]\n", "{\"b\":1.0,\"id\":\"1\"}\n"},
		{"two", []string{`{"id":"1"}`, `{"id":"2"}`}, "[\n{\"id\":\"1\"},\n{\"id\":\"2\"}\n]\n", "{\"id\":\"1\"}\n{\"id\":\"2\"}\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var list, lines bytes.Buffer
			if err := snapshot.WriteJSON(&list, usersOf(t, test.users...)); err != nil {
				t.Fatal(err)
			}
			if err := snapshot.WriteNDJSON(&lines, usersOf(t, test.users...)); err != nil {
				t.Fatal(err)
			}
			if list.String() != test.json {
				t.Errorf("WriteJSON() = %q, want %q", list.String(), test.json)
			}
			if lines.String() != test.ndjson {
				t.Errorf("WriteNDJSON() = %q, want %q", lines.String(), test.ndjson)
			}
			decode(t, list.Bytes())
		})
	}
	for name, write := range map[string]func() error{
		"NDJSON, reader": func() error { return snapshot.WriteNDJSON(new(bytes.Buffer), new(brokenReader)) },
		"JSON, reader":   func() error { return snapshot.WriteJSON(new(bytes.Buffer), new(brokenReader)) },
		"NDJSON, writer": func() error { return snapshot.WriteNDJSON(brokenWriter{}, usersOf(t, `{"id":"1"}`)) },
		"JSON, writer":   func() error { return snapshot.WriteJSON(brokenWriter{}, usersOf(t, `{"id":"1"}`)) },
	} {
		if err := write(); err != errBroken {
			t.Errorf("%s: error = %v, want %v", name, err, errBroken)
		}
	}
}

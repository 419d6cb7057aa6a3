package render_test

import (
	"bytes"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/render"
)

func TestWriteJSONAndNDJSON(t *testing.T) {
	for _, test := range []struct {
		name         string
		records      []string
		json, ndjson string
	}{
		{"none", nil, "[]\n", ""},
		{"one", []string{`{"id":"1","b":1.0}`}, "[\n{\"b\":1.0,\"id\":\"1\"}\n]\n", "{\"b\":1.0,\"id\":\"1\"}\n"},
		{"two", []string{`{"id":"1"}`, `{"id":"2"}`}, "[\n{\"id\":\"1\"},\n{\"id\":\"2\"}\n]\n", "{\"id\":\"1\"}\n{\"id\":\"2\"}\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var list, lines bytes.Buffer
			if err := render.WriteJSON(&list, recordtest.ListOf(t, test.records...).JSON()); err != nil {
				t.Fatal(err)
			}
			if err := render.WriteNDJSON(&lines, recordtest.ListOf(t, test.records...).JSON()); err != nil {
				t.Fatal(err)
			}
			if list.String() != test.json {
				t.Errorf("WriteJSON() = %q, want %q", list.String(), test.json)
			}
			if lines.String() != test.ndjson {
				t.Errorf("WriteNDJSON() = %q, want %q", lines.String(), test.ndjson)
			}
			recordtest.Decode(t, list.Bytes())
		})
	}
	for name, write := range map[string]func() error{
		"NDJSON, reader": func() error { return render.WriteNDJSON(new(bytes.Buffer), recordtest.Broken().JSON()) },
		"JSON, reader":   func() error { return render.WriteJSON(new(bytes.Buffer), recordtest.Broken().JSON()) },
		"NDJSON, writer": func() error { return render.WriteNDJSON(brokenWriter{}, recordtest.ListOf(t, `{"id":"1"}`).JSON()) },
		"JSON, writer":   func() error { return render.WriteJSON(brokenWriter{}, recordtest.ListOf(t, `{"id":"1"}`).JSON()) },
	} {
		if err := write(); err != recordtest.ErrBroken {
			t.Errorf("%s: error = %v, want %v", name, err, recordtest.ErrBroken)
		}
	}
}

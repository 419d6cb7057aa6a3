package jws_test

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"oktasync/dpopauth/verify/internal/jws"
)

// What is read as an object is one for the strictest reader we know.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":{"a":[1,2.5e3,"x",null,true]}}`, `{"a":1,"a":2}`, `{"\u0061":1,"a":2}`,
		`[]`, `null`, `{}{}`, "{\"a\":\"\xff\"}", `{"a":[[[[[[[[1]]]]]]]]}`, `{"a":"[[[[[[[[[["}`, `{"a":1e999}`, ` {"a":"\\\""} `,
	} {
		f.Add([]byte(seed))
	}
	surrogate := regexp.MustCompile(`(?i)\\ud[89a-f]`)
	f.Fuzz(func(t *testing.T, data []byte) {
		object, ok := jws.ReadObject(data)
		if !ok {
			return
		}
		if surrogate.Match(data) { // a lone one is no error in Go's JSON
			return
		}
		decoder := jsontext.NewDecoder(bytes.NewReader(data))
		if _, err := decoder.ReadValue(); err != nil {
			t.Fatalf("jsontext refuses what we read: %v", err)
		}
		if _, err := decoder.ReadToken(); err != io.EOF {
			t.Fatalf("jsontext finds more: %v", err)
		}
		var plain map[string]any
		if err := json.Unmarshal(data, &plain); err != nil || len(plain) != len(object) {
			t.Errorf("encoding/json reads %v, %v; we read %v", plain, err, object)
		}
	})
}

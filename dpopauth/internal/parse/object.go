package parse

import (
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// An Object has the members of a JSON object as they stand.
type Object map[string]json.RawMessage

// JSON reads one JSON object and nothing after it. Unlike encoding/json it takes
// no member twice and no broken UTF-8.
func JSON(data []byte) (Object, error) {
	var o Object
	if !utf8.Valid(data) || json.Unmarshal(data, &o) != nil || o == nil {
		return nil, errors.New("no JSON object")
	}
	if members(data) != len(o) {
		o.Wipe()
		return nil, errors.New("a JSON object with a member twice")
	}
	return o, nil
}

// members counts the members of a well-formed object: each has one colon that is
// neither in a string nor further down. A json.Decoder would keep a copy of data,
// which may be a private key.
func members(data []byte) (n int) {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ':':
			if depth == 1 {
				n++
			}
		case '"': // to the end of the string
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		}
	}
	return n
}

// Wipe overwrites the values of o. Strings that [Object.Text] returned are copies.
func (o Object) Wipe() {
	for _, value := range o {
		clear(value)
	}
}

// Has reports whether there is such a member, and it is not null.
func (o Object) Has(name string) bool {
	v, ok := o[name]
	return ok && string(v) != "null"
}

// Text returns a member that is a string, or "".
func (o Object) Text(name string) string {
	var s string
	_ = json.Unmarshal(o[name], &s)
	return s
}

// Number returns a member that is a number from 0 on, or a string that holds
// one; infinity where it is beyond a float64.
func (o Object) Number(name string) (n float64, ok bool) {
	text := string(o[name])
	if text != "" && text[0] == '"' {
		text = o.Text(name)
	}
	if text == "" || text[0] < '0' || text[0] > '9' || !json.Valid([]byte(text)) {
		return 0, false
	}
	n, _ = strconv.ParseFloat(text, 64)
	return n, true
}

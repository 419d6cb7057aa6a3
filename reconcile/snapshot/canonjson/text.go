package canonjson

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// CompareNames compares two names of canonical JSON, without their quotes, in the
// order of RFC 8785, section 3.2.3.
func CompareNames(a, b []byte) int {
	if bytes.IndexByte(a, '\\') >= 0 || bytes.IndexByte(b, '\\') >= 0 {
		a, b = AppendText(nil, a), AppendText(nil, b)
	}
	return compareUTF16(a, b)
}

// compareUTF16 compares UTF-8 texts by their UTF-16 code units. This is the order
// of their bytes, except that U+10000 and above come before U+E000 to U+FFFF.
func compareUTF16(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return unit(a[i]) - unit(b[i])
		}
	}
	return len(a) - len(b)
}

// unit maps the first byte of a character to a number in the order of UTF-16.
func unit(b byte) int {
	if b == 0xEE || b == 0xEF { // U+E000 to U+FFFF
		return 0x100 + int(b)
	}
	return int(b)
}

// AppendText appends the text of a canonical string to dst. inside is the string
// without its quotes.
func AppendText(dst, inside []byte) []byte {
	if bytes.IndexByte(inside, '\\') < 0 {
		return append(dst, inside...)
	}
	quoted := append(append([]byte{'"'}, inside...), '"')
	dst, _ = jsontext.AppendUnquote(dst, quoted) // canonical, so it is valid
	return dst
}

// Unquote returns the text of a string in canonical form, or "" for any other value.
func Unquote(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	inside := value[1 : len(value)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside)
	}
	return string(AppendText(nil, inside))
}

package term

import (
	"bytes"
	"strings"
	"testing"
)

func TestSafe(t *testing.T) {
	for text, want := range map[string]string{
		"jane@acme.example":            "jane@acme.example",
		"Zoë Nuñez ژاله\u200cهاشمی 山本": "Zoë Nuñez ژاله\u200cهاشمی 山本", // U+200C is part of the spelling
		"a\x1b[2Jb":             `a\u001b[2Jb`,
		"a\r\n  - deleted  ceo": `a\u000d\u000a  - deleted  ceo`,
		"a\u009b31mb\x7f":       `a\u009b31mb\u007f`,
		"gpj.\u202eexe\u2066":   `gpj.\u202eexe\u2066`,
		"a\u2028b\x9bc":         `a\u2028b` + "\ufffdc",
	} {
		if got := Safe(text); got != want {
			t.Errorf("Safe(%q) = %q, want %q", text, got, want)
		}
	}
}

// The sizes of writes don't change the output.
func TestSafeWriter(t *testing.T) {
	const text = "login,title\r\njosé@acme.example,\"a\rb\x1b[31m\"\r\n{\"title\":\"\u009b2J 山\tx\"}\n"
	const want = "login,title\r\njosé@acme.example,\"a\\u000db\\u001b[31m\"\r\n{\"title\":\"\\u009b2J 山\tx\"}\n"
	for size := 1; size <= len(text); size++ {
		var got bytes.Buffer
		w := &safeWriter{w: &got}
		for rest := text; rest != ""; {
			part := rest[:min(size, len(rest))]
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
			rest = strings.TrimPrefix(rest, part)
		}
		if got.String() != want {
			t.Errorf("%d bytes at a time: %q, want %q", size, got.String(), want)
		}
	}
}

package config

import (
	"testing"
)

func TestExpand(t *testing.T) {
	getenv := func(name string) (string, bool) {
		value, ok := map[string]string{"A": "one", "EMPTY": "", "VAR": "${A}"}[name]
		return value, ok
	}
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"plain $A $ {A} }", "plain $A $ {A} }"},
		{"${A}", "one"},
		{"<${A}${A}>", "<oneone>"},
		{"${EMPTY}", ""},
		{"${EMPTY:-two}", "two"},
		{"${GONE:-two words: {a}", "two words: {a"},
		{"${GONE:-}", ""},
		{"${A:-two}", "one"},
		{"$${A}", "${A}"},
		{"$$${A}", "$${A}"},
		{"${A}$${A}", "one${A}"},
		{"${VAR}", "${A}"}, // the value of a variable is not expanded
	} {
		if got, err := expand(test.text, getenv); err != nil || got != test.want {
			t.Errorf("expand(%q) = %q, %v, want %q", test.text, got, err, test.want)
		}
	}
	for _, text := range []string{"${GONE}", "${", "${A", "${}", "${1A}", "${A-b}", "${A:b}", "${A B}", "${A:-${A}}"} {
		if got, err := expand(text, getenv); err == nil {
			t.Errorf("expand(%q) = %q, want an error", text, got)
		}
	}
}

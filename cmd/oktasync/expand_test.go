package main

import "testing"

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
		{"${VAR}", "${A}"}, // what a variable holds is not looked at again
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

func TestNearest(t *testing.T) {
	known := []string{"private_key_file", "private_key_id", "path", "search", "warn", "staff"}
	for word, want := range map[string]string{
		"private-key-file": "private_key_file", "privat_key_id": "private_key_id", "paht": "path", "serach": "search",
		"warning": "warn", "Path": "path", "x": "", "group": "", "pa": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

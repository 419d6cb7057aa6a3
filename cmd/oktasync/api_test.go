package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestEachPageEnds(t *testing.T) {
	for _, test := range []struct {
		name  string
		next  func(page int) int // 0: none
		pages int
		want  string
	}{
		{"three pages", func(page int) int { return (page + 1) % 4 }, 3, ""},
		{"a page that names itself", func(page int) int { return page }, 1, "a loop after 1 pages"},
		{"a circle of two", func(page int) int { return 3 - page }, 2, "a loop after 2 pages"},
		{"no end", func(page int) int { return page + 1 }, maxPages, "does not end: 100000 pages"},
	} {
		requested, shown := 0, 0
		get := func(path string) (page, error) {
			if requested++; requested > maxPages {
				t.Fatalf("%s: requested more than %d pages", test.name, maxPages)
			}
			u, err := url.Parse("https://acme.okta.com")
			if err == nil {
				u, err = u.Parse(path)
			}
			if err != nil {
				return page{}, err
			}
			var number int
			fmt.Sscan(u.Query().Get("after"), &number)
			resp := &http.Response{Header: http.Header{}, Request: &http.Request{URL: u}}
			if next := test.next(number); next != 0 {
				resp.Header.Set("Link", fmt.Sprintf(`<https://acme.okta.com/api/v1/groups?after=%d>; rel="next"`, next))
			}
			return page{Response: resp}, nil
		}
		err := eachPage("/api/v1/groups?after=1", get, func(page) error { shown++; return nil })
		if requested != test.pages || shown != requested {
			t.Errorf("%s: requested %d pages and showed %d, want %d", test.name, requested, shown, test.pages)
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error = %v, want %q", test.name, err, test.want)
		}
	}
}

func TestParseHeaders(t *testing.T) {
	header, err := parseHeaders([]string{"Accept: text/html", "x-a:\tone:two ", "X-Empty:"})
	if err != nil || header.Get("Accept") != "text/html" || header.Get("X-A") != "one:two" || len(header) != 3 {
		t.Errorf("parseHeaders() = %v, %v", header, err)
	}
	for line, want := range map[string]string{
		"Accept":                     "needs 'Name: value'",
		": x":                        "needs 'Name: value'",
		"X A: x":                     "needs 'Name: value'",
		"X-A: secret\r\nX-B: y":      "-H X-A: the value has a line break",
		"X-A: secret\n":              "line break",
		"X-A: secret\x00":            "control character",
		"X-A: secret\x7f":            "control character",
		"Authorization: SSWS secret": "-H Authorization: oktasync sets this header",
		"dpop: secret":               "-H dpop: oktasync sets this header",
	} {
		_, err := parseHeaders([]string{line})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("parseHeaders(%q): error = %v, want %q", line, err, want)
		}
	}
}

package oktaclient

import (
	"net/http"
	"net/url"
)

// ParseLinks returns target and relation of each link.
func ParseLinks(headers []string) (links [][2]string, err error) {
	parsed, err := parseLinks(headers)
	for _, l := range parsed {
		links = append(links, [2]string{l.target, l.rel})
	}
	return links, err
}

// Next is the next link that headers name for a page at base.
func Next(h http.Header, base *url.URL) (*url.URL, error) { return nextPage(h, base) }

// CutUsers cuts a page.
func CutUsers(body []byte) ([]Record, error) { return new(cutter).cut(body, true) }

// NewCutter returns a cutter of pages that keeps its memory from page to page.
func NewCutter() func(page []byte) ([]Record, error) {
	c := new(cutter)
	return func(page []byte) ([]Record, error) { return c.cut(page, true) }
}

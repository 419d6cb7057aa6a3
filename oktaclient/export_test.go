package oktaclient

import (
	"net/http"
	"net/url"
	"time"
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

// Clock is the clock that learns Okta's time.
type Clock struct{ clock }

// Observe takes an answer's Date.
func (c *Clock) Observe(sent, received time.Time, h http.Header) { _ = c.observe(sent, received, h) }

// Offset is ours less Okta's.
func (c *Clock) Offset() (time.Duration, bool) { return c.offset() }

// NewCutter returns a cutter of pages that keeps its memory from page to page.
func NewCutter() func(page []byte) ([]Record, error) {
	c := new(cutter)
	return func(page []byte) ([]Record, error) { return c.cut(page, true) }
}

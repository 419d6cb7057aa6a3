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

// Next returns the next link of a page at base.
func Next(h http.Header, base *url.URL) (*url.URL, error) { return nextPage(h, base) }

// Scan returns the users of a page.
func Scan(body []byte) ([]Record, error) { return new(scanner).scan(body, true) }

// NewScanner returns a Scan that keeps its memory from page to page.
func NewScanner() func(page []byte) ([]Record, error) {
	s := new(scanner)
	return func(page []byte) ([]Record, error) { return s.scan(page, true) }
}

// BucketOf returns the rate-limit bucket of a path.
func BucketOf(path string) string { return bucketOf(path) }

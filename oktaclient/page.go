package oktaclient

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
)

// page is what an answer holds. Its memory is used again for the next one.
type page struct {
	buf     []byte
	cutter  cutter
	records []Record
	next    *url.URL // nil: the last page
}

// parse takes a page of r's records from the response to a request for at, and
// checks all of it.
func (p *page) parse(a *answer, at *url.URL, r *read) (err error) {
	if err := checkJSON(a.resp.Header); err != nil {
		return err
	}
	if p.records, err = p.cutter.cut(a.body, r.query.Resource.hasStatus); err != nil {
		return brokenJSON(err)
	}
	if len(a.resp.Header.Values("Link")) == 0 && len(p.records) >= r.size {
		// Okta's lists always name themselves. Without that, a next link
		// may be missing too, and users with it.
		return &rejection{class: "broken Link", err: errors.New("a full page without a Link header")}
	}
	if p.next, err = nextPage(a.resp.Header, at); err != nil {
		return &rejection{class: "broken Link", err: err}
	}
	if p.next != nil && !sameList(p.next, at) {
		return &rejection{class: "broken Link", err: errors.New("next link is of another list")}
	}
	a.request.Rows = len(p.records)
	return nil
}

// sameList is whether two pages are of one list. Okta's next links repeat the
// query, and have at times forgotten a part of it: without its search, a list
// goes on with people who are not of it.
func sameList(a, b *url.URL) bool {
	p, q := a.Query(), b.Query()
	return p.Get("search") == q.Get("search") && p.Get("filter") == q.Get("filter")
}

// parseRecord takes a single record from a response.
func parseRecord(a *answer, hasStatus bool) (Record, error) {
	if err := checkJSON(a.resp.Header); err != nil {
		return Record{}, err
	}
	var c cutter
	users, err := c.cut(slices.Concat([]byte{'['}, a.body, []byte{']'}), hasStatus)
	if err == nil && len(users) != 1 {
		err = errAt(0)
	}
	if err != nil {
		return Record{}, brokenJSON(err)
	}
	a.request.Rows = 1
	return users[0], nil
}

// brokenJSON is a cutter's error, which may know better what it is.
func brokenJSON(err error) error {
	if r := (*rejection)(nil); errors.As(err, &r) {
		return r
	}
	return &rejection{class: "broken JSON", err: err}
}

// checkJSON refuses what the edge or a proxy answers in Okta's place.
func checkJSON(h http.Header) error {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if kind != "application/json" {
		return &rejection{class: "not JSON", err: fmt.Errorf("answer is not JSON but %q", word(kind))}
	}
	return nil
}

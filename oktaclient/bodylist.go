package oktaclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A bodyList is a list that is read page by page, in order. Its next link can be in the
// body, and can lead to the Admin Console's host. So only the cursor of a link is used,
// and every page is requested from the org.
type bodyList[E any] struct {
	path   string // without a query
	query  string // of all pages, without after: "expand=stats"
	member string // of the body, with the list; "": the body is the list, and has a Link header
	size   int    // most elements per page; 0: as the server decides
	tries  int    // most tries of a slow page; 0: as configured
}

// read passes each page to visit.
func (l bodyList[E]) read(ctx context.Context, r *read, visit func([]E) error) error {
	query, err := url.ParseQuery(l.query)
	if err != nil {
		return err
	}
	if l.size > 0 {
		query.Set("limit", strconv.Itoa(l.size))
	}
	seen := make(map[uint64]bool) // hashes of the cursors
	for {
		var elements []E
		cursor := ""
		a, err := r.fetch(ctx, &call{tries: l.tries, accept: func(a *attempt) (err error) {
			if elements, err = l.parse(a); err == nil {
				cursor, err = l.nextCursor(a)
			}
			return err
		}}, l.path, query)
		if err != nil {
			return err
		}
		if err := visit(elements); err != nil || cursor == "" {
			return err
		}
		hash := maphash.String(r.seed, cursor)
		if seen[hash] || len(seen) == maxPages {
			return &Error{RequestID: a.request.RequestID, Path: l.path, Tries: 1,
				Err: &rejection{class: "endless", final: true, err: errors.New("list does not end")}}
		}
		seen[hash] = true
		query.Set("after", cursor)
	}
}

// parse returns the elements of a page.
func (l bodyList[E]) parse(a *attempt) (elements []E, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(a.body), jsontext.AllowDuplicateNames(true))
	if !json.Valid(a.body) || l.member != "" && !seekMember(d, l.member) {
		return nil, brokenJSON(d.InputOffset())
	}
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return nil, brokenJSON(d.InputOffset())
	}
	for d.PeekKind() == '{' {
		if len(elements) == maxRecords {
			return nil, tooLarge("a page of over %d elements", maxRecords)
		}
		var e E
		value, err := d.ReadValue()
		if err != nil || json.Unmarshal(value, &e) != nil {
			return nil, brokenJSON(d.InputOffset())
		}
		elements = append(elements, e)
	}
	if t, err := d.ReadToken(); err != nil || t.Kind() != ']' {
		return nil, brokenJSON(d.InputOffset())
	}
	if l.size > 0 && len(elements) >= l.size && len(a.resp.Header.Values("Link")) == 0 {
		return nil, &rejection{class: "broken Link", err: errors.New("a full page without a Link header")}
	}
	return elements, nil
}

// seekMember moves d to the value of a member of an object.
func seekMember(d *jsontext.Decoder, name string) bool {
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return false
	}
	for d.PeekKind() == '"' {
		if t, err := d.ReadToken(); err != nil || t.String() == name {
			return err == nil
		}
		if d.SkipValue() != nil {
			return false
		}
	}
	return false
}

// nextCursor returns the cursor of the next page, or "" after the last one.
func (l bodyList[E]) nextCursor(a *attempt) (string, error) {
	var body struct {
		Links struct {
			Next struct{ Href string }
		} `json:"_links"`
	}
	if l.member != "" && json.Unmarshal(a.body, &body) != nil {
		return "", brokenJSON(0)
	}
	target := body.Links.Next.Href
	if headers := a.resp.Header.Values("Link"); target == "" {
		if len(strings.Join(headers, "")) > maxLinks {
			return "", &rejection{class: "broken Link", err: errors.New("too long Link headers")}
		}
		links, err := parseLinks(headers)
		if err != nil {
			return "", &rejection{class: "broken Link", err: err}
		}
		for _, link := range links {
			if link.is("next") {
				target = link.target
			}
		}
	}
	if target == "" {
		return "", nil
	}
	next, err := url.Parse(target)
	if err != nil || len(target) > maxLinks || next.Query().Get("after") == "" {
		return "", &rejection{class: "broken Link", err: errors.New("next link without a cursor")}
	}
	return next.Query().Get("after"), nil
}

// fetch requests a path of the org, and reports the request without rows.
func (r *read) fetch(ctx context.Context, call *call, path string, query url.Values) (*attempt, error) {
	a, err := r.request(ctx, call, path, query)
	if err != nil {
		return a, err
	}
	return a, r.deliver(listing{}, nil, a)
}

// request is fetch without the report of the accepted response.
func (r *read) request(ctx context.Context, call *call, path string, query url.Values) (*attempt, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var err error
	if call.url, err = r.c.org.Parse(path); err != nil {
		return nil, err
	}
	accept := call.accept
	call.record, call.accept = r.report, func(a *attempt) error {
		if err := checkJSON(a.resp.Header); err != nil || accept == nil {
			return err
		}
		return accept(a)
	}
	return r.c.send(ctx, call)
}

// isMissing reports whether err means that Okta has no such object.
func isMissing(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.missing()
}

package oktaclient

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
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
	seen := make(map[string]bool)
	for {
		var elements []E
		cursor := ""
		a, err := r.fetch(ctx, &call{tries: l.tries, accept: func(a *attempt) (err error) {
			if elements, err = l.parse(a); err == nil {
				cursor, err = nextCursor(a)
			}
			return err
		}}, l.path, query)
		if err != nil {
			return err
		}
		if err := visit(elements); err != nil || cursor == "" {
			return err
		}
		if seen[cursor] || len(seen) == maxPages {
			return &Error{RequestID: a.request.RequestID, Path: l.path, Tries: 1,
				Err: &rejection{class: "endless", final: true, err: errors.New("list does not end")}}
		}
		seen[cursor] = true
		query.Set("after", cursor)
	}
}

// parse returns the elements of a page.
func (l bodyList[E]) parse(a *attempt) (elements []E, err error) {
	list := json.RawMessage(a.body)
	if l.member != "" {
		var object map[string]json.RawMessage
		if json.Unmarshal(a.body, &object) != nil || object[l.member] == nil {
			return nil, brokenJSON(0)
		}
		list = object[l.member]
	}
	if json.Unmarshal(list, &elements) != nil || elements == nil {
		return nil, brokenJSON(0)
	}
	if l.size > 0 && len(elements) >= l.size && len(a.resp.Header.Values("Link")) == 0 {
		return nil, &rejection{class: "broken Link", err: errors.New("a full page without a Link header")}
	}
	return elements, nil
}

// nextCursor returns the cursor of the next page, or "" after the last one.
func nextCursor(a *attempt) (string, error) {
	var body struct {
		Links struct {
			Next struct{ Href string }
		} `json:"_links"`
	}
	json.Unmarshal(a.body, &body) // a list has no such member
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
	if err != nil || next.Query().Get("after") == "" {
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

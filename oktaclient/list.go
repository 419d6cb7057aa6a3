package oktaclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// Bounds of a list. Okta gives 200 users a page, so that a list of the most
// pages has twenty million users.
const (
	maxPages = 100_000
	maxEmpty = 10 // pages without users in a row, though each says that more follow
)

// list reads all pages of a list. Where Okta no longer takes a cursor of its
// own, the list is read once more from its beginning: the users come again,
// which a sink must take anyway.
func (r *reading) list(ctx context.Context, l listing) error {
	first, err := r.c.org.Parse(l.path(r.c.cfg.PageSize))
	if err != nil {
		return err
	}
	err = r.follow(ctx, l, first)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "E0000029" {
		r.c.log.WarnContext(ctx, "cursor expired, list will be read again", "path", first.Path, "err", err)
		err = r.follow(ctx, l, first)
	}
	return err
}

// follow reads pages from first to the one that names no next.
func (r *reading) follow(ctx context.Context, l listing, first *url.URL) error {
	seen := map[string]bool{}
	empty := 0
	var page page
	for at := first; at != nil; at = page.next {
		seen[at.RawQuery] = true
		number := r.nextPage()
		a, err := r.c.send(ctx, &call{
			url: at, page: number, buf: page.buf, record: r.record,
			accept: func(a *answer) error { return page.parse(a, at, r.c.cfg.PageSize) },
		})
		if err != nil {
			return err
		}
		page.buf = a.body
		if err := r.deliver(page.users, l.outside, a); err != nil {
			return err
		}
		if empty++; len(page.users) > 0 {
			empty = 0
		}
		switch {
		case page.next == nil:
			// The list's end.
		case seen[page.next.RawQuery]:
			return broken(a, number, "list goes in a circle: its next link came before")
		case empty == maxEmpty:
			return broken(a, number, fmt.Sprintf("list does not end: %d pages without a user", empty))
		case len(seen) == maxPages:
			return broken(a, number, fmt.Sprintf("list does not end: %d pages", maxPages))
		}
	}
	return nil
}

// broken is an error about a list that is wrong as a whole, though each page
// could be read.
func broken(a *answer, page int, what string) error {
	return &Error{RequestID: a.request.RequestID, Path: usersPath, Page: page, Tries: 1,
		Err: &rejection{class: "endless", final: true, err: errors.New(what)}}
}

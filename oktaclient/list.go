package oktaclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Bounds of a list. Okta gives 200 users a page, so that a list of the most
// pages has twenty million users.
const (
	maxPages = 100_000
	maxEmpty = 10 // pages without users in a row, though each says that more follow
)

// reading is a Reading while it goes on.
type reading struct {
	c     *Client
	query Query
	sink  Sink
	time  timeline
	page  page
	pages int // pages read

	Reading
}

// sum is what there is to say of the reading, now that it has ended.
func (r *reading) sum() Reading {
	r.Started, r.Finished, r.Offset = r.time.at(r.time.start), r.time.at(time.Now()), r.time.offset
	return r.Reading
}

// list reads all pages of a list. Where Okta no longer takes a cursor of its
// own, the list is read once more from its beginning: the users come again,
// which a sink must take anyway.
func (r *reading) list(ctx context.Context, path string) error {
	first, err := r.c.org.Parse(path)
	if err != nil {
		return err
	}
	err = r.follow(ctx, first)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "E0000029" {
		r.c.log.WarnContext(ctx, "cursor expired, list will be read again", "path", first.Path, "err", err)
		err = r.follow(ctx, first)
	}
	return err
}

// follow reads pages from first to the one that names no next.
func (r *reading) follow(ctx context.Context, first *url.URL) error {
	seen := map[string]bool{}
	empty := 0
	for at := first; at != nil; at = r.page.next {
		seen[at.RawQuery] = true
		a, err := r.read(ctx, at)
		if err != nil {
			return err
		}
		if empty++; a.request.Rows > 0 {
			empty = 0
		}
		next := r.page.next
		switch {
		case next == nil:
			// The list's end.
		case seen[next.RawQuery]:
			return r.broken(a, "list goes in a circle: its next link came before")
		case empty == maxEmpty:
			return r.broken(a, fmt.Sprintf("list does not end: %d pages without a user", empty))
		case len(seen) == maxPages:
			return r.broken(a, fmt.Sprintf("list does not end: %d pages", maxPages))
		}
	}
	return nil
}

// read reads one page into r.page and hands its users on, and only then tells
// of the request that brought them.
func (r *reading) read(ctx context.Context, at *url.URL) (*answer, error) {
	r.pages++
	a, err := r.c.send(ctx, &call{
		url:  at,
		page: r.pages,
		buf:  r.page.buf,
		accept: func(a *answer) error {
			return r.page.parse(a, at, r.c.cfg.PageSize)
		},
		record: r.record,
	})
	if err != nil {
		return a, err
	}
	r.page.buf = a.body
	r.Rows += len(r.page.users)
	for _, user := range r.page.users {
		if user.Status == deprovisioned && !r.query.IncludeDeprovisioned {
			r.Outside++
			continue
		}
		if err := r.sink.User(user); err != nil {
			return a, err
		}
	}
	return a, r.record(a)
}

// record counts and dates an attempt, and tells the sink of it.
func (r *reading) record(a *answer) error {
	r.Requests++
	r.time.learn(&r.c.clock)
	if r.PeerCertificates == nil && a.resp != nil && a.resp.TLS != nil {
		r.PeerCertificates = a.resp.TLS.PeerCertificates
	}
	a.request.Time = r.time.at(a.sent)
	return r.sink.Request(a.request)
}

// broken is an error about a list that is wrong as a whole, though each page
// could be read.
func (r *reading) broken(a *answer, what string) error {
	return &Error{RequestID: a.request.RequestID, Path: usersPath, Page: r.pages, Tries: 1,
		Err: &rejection{class: "endless", final: true, err: errors.New(what)}}
}

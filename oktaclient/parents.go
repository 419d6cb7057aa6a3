package oktaclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// listParents reads the list of each parent, in their order. Each worker reads one
// list at a time.
func (r *read) listParents(ctx context.Context) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(r.c.cfg.Concurrency, len(r.query.Parents)) {
		g.Go(func() (err error) {
			defer recoverPanic(&err)
			for i := next.Add(1); i <= int64(len(r.query.Parents)); i = next.Add(1) {
				if err := r.listParent(ctx, r.query.Parents[i-1]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (r *read) listParent(ctx context.Context, parent string) error {
	if parent == "" || parent == "." || parent == ".." {
		return errors.New("empty id of a parent")
	}
	err := r.listWhole(ctx, listing{parent: parent})
	if e, ok := errors.AsType[*Error](err); ok {
		if e.missing() {
			return r.end(parent, false)
		}
		return fmt.Errorf("%s of %s: %w", r.query.Resource.Name, url.PathEscape(parent), err)
	}
	if err != nil {
		return err
	}
	return r.end(parent, true)
}

// listWhole reads a list that can't be divided into spans.
func (r *read) listWhole(ctx context.Context, of listing) error {
	smallest := min(r.size, max(r.query.Resource.minPage, 1))
	return r.withSmallerPages(ctx, r.size, smallest, func(size, tries int) error {
		_, err := (&list{r: r, listing: of, size: size, tries: tries}).read(ctx)
		return err
	})
}

// withSmallerPages calls read, which reads a list with pages of this size. If Okta can't
// return a page, it calls read again with half the size, but not less than smallest.
// tries is the most tries of a slow page; 0: as configured.
func (r *read) withSmallerPages(ctx context.Context, size, smallest int, read func(size, tries int) error) error {
	for ; ; size = max(size/2, smallest) {
		tries := 0
		if size > smallest {
			tries = 2
		}
		err := read(size, tries)
		e, ok := errors.AsType[*Error](err)
		if ctx.Err() != nil || size == smallest || !ok || !e.slow() && e.Class() != classTooLarge {
			return err
		}
		r.c.log.WarnContext(ctx, "page failed, list will be read again with smaller pages", "size", size, "err", err)
	}
}

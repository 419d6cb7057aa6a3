package oktaclient

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// partition is a list that is read in spans of lastUpdated, each a list of its
// own, by several workers. A span that turns out to be long can be cut again
// for the workers that have nothing left to do; a page that Okta can't give is
// cut until only the rest of its users are on others.
//
// Whoever changes while the spans are read goes from one to the last of them,
// and may be read twice or not at all: that is for settle to find.
type partition struct {
	r       *read
	list    listing
	workers int

	// paged is whether each span is cut until it is a single page. Nothing that
	// happens between two pages can move users past it, whatever Okta's cursors
	// are made of.
	paged bool

	mu      sync.Mutex
	changed sync.Cond
	waiting []span
	busy    int   // workers that are reading a span
	pages   int   // read so far
	wasted  int   // of these, those of spans that were cut afterwards
	refused int   // spans in a row that Okta could not give
	cause   error // why not, the first of these
}

// Bounds of a partition.
const (
	patient    = 2  // pages that a span may have before it is cut for others
	mostWasted = 10 // percent of all pages that may be for nothing, and as many more
	spread     = 3  // spans that a worker finds on average
	maxRefused = 10 // then it is not a page but Okta
)

func (r *read) partition(of listing, spans []span, workers int) *partition {
	p := &partition{r: r, list: of, workers: workers, waiting: spans}
	p.changed.L = &p.mu
	return p
}

// read reads all spans.
func (p *partition) read(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})
	defer stop()
	for range p.workers {
		g.Go(func() error {
			for s, tries, ok := p.next(ctx); ok; s, tries, ok = p.next(ctx) {
				if err := p.span(ctx, s, tries); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// next waits for a span to read, and says how patiently; false: there are no
// more.
func (p *partition) next(ctx context.Context) (s span, tries int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) == 0 && p.busy > 0 && ctx.Err() == nil {
		p.changed.Wait()
	}
	if len(p.waiting) == 0 || ctx.Err() != nil {
		return span{}, 0, false
	}
	s, p.waiting = p.waiting[0], p.waiting[1:]
	p.busy++
	tries = 0
	if p.refused > 0 {
		tries = 2
	}
	return s, tries, true
}

// span reads one span, or finds out which others are to be read in its place.
func (p *partition) span(ctx context.Context, s span, tries int) error {
	l := &list{r: p.r, listing: s.of(p.list), further: p.further, tries: tries}
	whole, err := l.read(ctx)
	var parts []span
	if err == nil && !whole {
		if parts = p.cut(s, l); len(parts) == 1 { // all of them within a millisecond
			parts, l.further = nil, nil
			_, err = l.read(ctx)
		}
	}
	if tooMuch(err) {
		parts, err = p.halve(s, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	if p.pages += l.pages; l.pages > 0 {
		p.refused = 0
	}
	if len(parts) > 0 {
		p.waiting = slices.Concat(parts, p.waiting)
	}
	p.changed.Broadcast()
	return err
}

// further decides whether to read the next page of a span that has had so many.
func (p *partition) further(pages int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.workers - p.busy
	switch {
	case p.paged:
		return false
	case pages < patient || len(p.waiting) > 0 || 2*idle < p.workers:
		return true
	case p.wasted+pages > mostWasted+p.pages*mostWasted/100:
		return true
	}
	p.wasted += pages
	return false
}

// cut cuts a span by what the pages of it have shown; a single part is the span,
// and all that they have shown is of its first millisecond.
func (p *partition) cut(s span, l *list) []span {
	n := 2
	switch {
	case p.paged:
	case s == always:
		n = spread * p.workers
	default: // for whoever has nothing to do still
		p.mu.Lock()
		n = max(n, p.workers-p.busy+1)
		p.mu.Unlock()
	}
	parts := s.cut(quantiles(l.updated, n))
	if len(parts) == 1 { // or only most of it
		parts = s.cut(quantiles(slices.Compact(l.updated), 2))
	}
	return parts
}

// misfit is Okta's code for a page with a user whose data no longer fit the
// profile schema.
const misfit = "E0000145"

// tooMuch is whether an error means a page with which Okta can't cope, because
// of one user's data or because it takes too long.
func tooMuch(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Err == nil && (e.Code == misfit ||
		e.Status == http.StatusInternalServerError || e.Status == http.StatusGatewayTimeout)
}

// halve cuts a span that Okta did not give. A cursor is bound to its query, so
// that a smaller page takes another query. The error is the end: the span can't
// be cut any more, or it is not the span.
func (p *partition) halve(s span, cause error) ([]span, error) {
	e, _ := errors.AsType[*Error](cause) // it was tooMuch
	halves, ok := s.halve(p.r.oktaTime(time.Now()))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused++; p.refused == 1 {
		p.cause = cause
	}
	switch {
	case !ok:
		bounded := *e
		bounded.From, bounded.To = s.from, s.to
		return nil, &bounded
	case p.refused == maxRefused && e.Code != misfit:
		return nil, p.cause
	}
	return halves, nil
}

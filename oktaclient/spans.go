package oktaclient

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// span is a range of lastUpdated: from from, to before to. Like Okta's times, it
// is precise to the millisecond.
type span struct{ from, to time.Time } // to zero: no end

// always is the span of all records.
var always = span{from: time.Unix(0, 0).UTC()}

// String returns the span as an expression for filter and search.
func (s span) String() string {
	text := `lastUpdated ge "` + s.from.UTC().Format(timeLayout) + `"`
	if !s.to.IsZero() {
		text += ` and lastUpdated lt "` + s.to.UTC().Format(timeLayout) + `"`
	}
	return text
}

// of returns l with only the records of the span.
func (s span) of(l listing) listing {
	if l.search != "" {
		l.search = s.String() + " and (" + l.search + ")"
	} else {
		l.filter = s.String()
	}
	return l
}

// cut divides s at borders, which are ascending. It ignores borders outside of s.
func (s span) cut(borders []time.Time) []span {
	var parts []span
	for _, b := range borders {
		b = b.Truncate(time.Millisecond)
		if b.After(s.from) && (s.to.IsZero() || b.Before(s.to)) {
			parts = append(parts, span{s.from, b})
			s.from = b
		}
	}
	return append(parts, s)
}

// halve divides s in the middle. It treats an open s as if it ended at end. It
// returns false if s is too short.
func (s span) halve(end time.Time) ([]span, bool) {
	to := s.to
	if to.IsZero() {
		to = end
	}
	parts := s.cut([]time.Time{s.from.Add(to.Sub(s.from) / 2)})
	return parts, len(parts) == 2
}

// quantiles returns borders that divide records into n parts of equal size. It
// takes the lastUpdated of some of the records, and sorts it.
func quantiles(updated []int64, n int) (borders []time.Time) {
	slices.Sort(updated)
	for i := 1; i < n && len(updated) > 0; i++ {
		borders = append(borders, time.UnixMilli(updated[i*len(updated)/n]))
	}
	return borders
}

// spanReader reads a list in spans of lastUpdated, with several workers. Each
// span is a list of its own. A long span is cut for idle workers. A span with a
// page that Okta can't return is halved until only the records that cause this
// are left.
//
// A record that changes during the read moves to the newest span, and can be
// read twice or not at all. settle reads it again.
type spanReader struct {
	r           *read
	list        listing
	workers     int
	singlePages bool // cut each span until it is a single page

	mu      sync.Mutex
	changed sync.Cond // waiting or busy
	waiting []span
	busy    int   // workers that read a span
	pages   int   // pages read
	wasted  int   // of these, pages of spans that were cut afterwards
	halved  int   // spans that Okta couldn't return
	failed  int   // consecutive ones
	cause   error // of the first of these
}

const (
	pagesBeforeCut   = 2  // pages of a span that are read before it is cut for idle workers
	maxWastedPercent = 10 // of all pages, and as many pages more
	spansPerWorker   = 3  // on average, if the query has no borders
	maxFailed        = 10 // consecutive failed spans, of which one record can't be the cause
	maxHalved        = 10_000
)

func (r *read) spanReader(of listing, spans []span, workers int) *spanReader {
	p := &spanReader{r: r, list: of, workers: workers, waiting: spans}
	p.changed.L = &p.mu
	return p
}

func (p *spanReader) read(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})
	defer stop()
	for range p.workers {
		g.Go(func() (err error) {
			defer recoverPanic(&err)
			for s, tries, ok := p.next(ctx); ok; s, tries, ok = p.next(ctx) {
				if err := p.readSpan(ctx, s, tries); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// next waits for a span to read, and returns how often its slow pages are tried, 0
// for the configured number. It returns false if no span is left.
func (p *spanReader) next(ctx context.Context) (s span, tries int, ok bool) {
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
	if p.failed > 0 {
		tries = 2
	}
	return s, tries, true
}

// readSpan reads a span, or cuts it into spans for later.
func (p *spanReader) readSpan(ctx context.Context, s span, tries int) error {
	l := &list{r: p.r, listing: s.of(p.list), nextWanted: p.nextWanted, tries: tries}
	complete, err := l.read(ctx)
	var parts []span
	if err == nil && !complete {
		if parts = p.cut(s, l); len(parts) == 1 { // all records are of one millisecond
			parts, l.nextWanted = nil, nil
			_, err = l.read(ctx)
		}
	}
	if pageFailed(err) {
		parts, err = p.halve(s, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	if p.pages += l.pages; l.pages > 0 {
		p.failed = 0
	}
	p.waiting = slices.Concat(parts, p.waiting)
	p.changed.Broadcast()
	return err
}

// nextWanted reports whether to read the next page of a span, after this number
// of pages.
func (p *spanReader) nextWanted(pages int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.workers - p.busy
	switch {
	case p.singlePages:
		return false
	case pages < pagesBeforeCut || len(p.waiting) > 0 || 2*idle < p.workers:
		return true
	case p.wasted+pages > maxWastedPercent+p.pages*maxWastedPercent/100:
		return true
	}
	p.wasted += pages
	return false
}

// cut cuts a span by the lastUpdated of its first pages. If all of these are of
// the first millisecond of the span, it returns one part.
func (p *spanReader) cut(s span, l *list) []span {
	n := 2
	switch {
	case p.singlePages:
	case s == always:
		n = spansPerWorker * p.workers
	default:
		p.mu.Lock()
		n = max(n, p.workers-p.busy+1)
		p.mu.Unlock()
	}
	parts := s.cut(quantiles(l.updated, n))
	if len(parts) == 1 { // most are of the first millisecond
		parts = s.cut(quantiles(slices.Compact(l.updated), 2))
	}
	return parts
}

// codeSchemaMismatch is Okta's code for a page with a user whose data doesn't
// fit the profile schema.
const codeSchemaMismatch = "E0000145"

// pageFailed reports whether Okta can't return a page because of the data of one
// record, because it takes too long, or because it is too large.
func pageFailed(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case e.Err != nil:
		return e.Class() == classTooLarge
	}
	return e.Code == codeSchemaMismatch || e.slow()
}

// halve halves a span that Okta couldn't return. A smaller page needs another
// query, since a cursor is bound to its query. halve returns an error if the span
// is too short, or if the span isn't the cause.
func (p *spanReader) halve(s span, cause error) ([]span, error) {
	e, _ := errors.AsType[*Error](cause)             // pageFailed checked it
	halves, ok := s.halve(p.r.oktaTime(p.r.Started)) // a fixed end, unlike the present
	p.mu.Lock()
	defer p.mu.Unlock()
	p.halved++
	if p.failed++; p.failed == 1 {
		p.cause = cause
	}
	switch {
	case !ok:
		bounded := *e
		bounded.From, bounded.To = s.from, s.to
		return nil, &bounded
	case p.failed == maxFailed && e.Code != codeSchemaMismatch, p.halved == maxHalved:
		return nil, p.cause
	}
	return halves, nil
}

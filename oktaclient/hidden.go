package oktaclient

import (
	"context"
	"slices"
	"time"
)

// hiding watches for what can hide users from a reading: a list of several
// pages whose cursors count users, when somebody leaves it for having changed.
// The others move up by one, and one of them past the next page. Nobody tells
// what Okta's cursors are made of. A span that is a single page hides nobody.
type hiding struct {
	since   string    // whoever changed then or later did so while others were read
	changed bool      // somebody did
	several bool      // there was a list of several pages
	plain   time.Time // by our clock, when the last page was in of a plain list of several

	sample []int64 // lastUpdated of every so-manieth user, in milliseconds: a text would hold on to its page
	stride int
	passed int
}

const (
	maxSample  = 1 << 16
	lateToShow = 5 * time.Second // that an index and clocks cut to seconds have at most
)

// noteLocked looks at a user.
func (h *hiding) noteLocked(u Record) {
	h.changed = h.changed || u.LastUpdated >= h.since
	if h.passed++; h.passed%max(h.stride, 1) > 0 {
		return
	}
	if len(h.sample) == maxSample {
		for i := range maxSample / 2 {
			h.sample[i] = h.sample[2*i]
		}
		h.sample, h.stride = h.sample[:maxSample/2], 2*max(h.stride, 1)
	}
	if at, err := time.Parse(timeLayout, u.LastUpdated); err == nil {
		h.sample = append(h.sample, at.UnixMilli())
	}
}

// paged notes that a list has had a page more.
func (r *read) paged(l *list) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.pages > 1 {
		r.hiding.several = true
		if l.listing == (listing{}) {
			r.hiding.plain = time.Now()
		}
	}
}

// awaitIndex waits until the index shows who left a plain list of several pages,
// in a reading in which nobody is known to have changed yet. Okta's plain list is
// current: who was the only one to leave it, just before its end, would else not
// be seen to have. The other lists are of the index themselves, and it shows at
// once that somebody left one and that they have changed.
func (r *read) awaitIndex(ctx context.Context) error {
	if r.hiding.changed || r.hiding.plain.IsZero() {
		return nil
	}
	return sleep(ctx, time.Until(r.hiding.plain.Add(r.c.cfg.IndexLag)))
}

// unhide reads in single pages those whom a list may have hidden, if there was
// one and somebody changed; false: nobody can be hidden. Of an org that was read
// before these are only the ones who have changed since: whoever else is missing
// is asked for by id (see Find).
func (r *read) unhide(ctx context.Context) (bool, error) {
	if !r.hiding.changed || !r.hiding.several {
		return false, nil
	}
	all := always
	if known := r.query.KnownBefore; known.After(all.from) {
		all.from = known.Truncate(time.Millisecond)
	}
	spans := all.cut(r.sampled())
	r.c.log.DebugContext(ctx, "reading in single pages", "since", all.from, "spans", len(spans))
	l := r.everyone()
	p := r.partition(l[len(l)-1], spans, r.c.cfg.Concurrency)
	p.paged = true
	return true, p.read(ctx)
}

// sampled returns where to cut the org so that each part is likely a page.
func (r *read) sampled() (borders []time.Time) {
	r.mu.Lock()
	sample, users := slices.Sorted(slices.Values(r.hiding.sample)), r.hiding.passed
	r.mu.Unlock()
	parts := users*4/(r.size*3) + 1
	for i := 1; i < parts && len(sample) > 0; i++ {
		borders = append(borders, time.UnixMilli(sample[i*len(sample)/parts]))
	}
	return borders
}

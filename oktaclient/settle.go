package oktaclient

import (
	"context"
	"time"
)

const maxPasses = 10

// settle reads again the records that changed since the read began, in passes,
// until a pass shows no new change. The result then contains the records that moved
// between lists or spans during the read.
//
// Each pass reads all records of the resource, so that records which no longer
// match the query are passed to Sink.Outside. With a search, the records that
// still match it follow, as Records.
//
// After the first pass, settle reads the records that pages may have skipped.
func (r *read) settle(ctx context.Context) error {
	from := r.oktaTime(r.Started).Add(-lookBack)
	for pass := range maxPasses {
		began := time.Now()
		r.changes.added = 0 // no list is being read
		r.enter(PhaseSettle)
		r.c.log.DebugContext(ctx, "settling", "since", from, "changed", len(r.changes.seen))
		for _, l := range r.everything() {
			// In order of time, so that a record that changes during the pass is in a
			// later span.
			p := r.spanReader(l, r.changedSpans(from), 1)
			p.singlePages = true
			if err := p.read(ctx); err != nil {
				return err
			}
		}
		again := pass == 0 && r.changes.during && r.changes.several
		if again {
			if err := r.readSkipped(ctx); err != nil {
				return err
			}
		}
		if r.changes.added == 0 && !again {
			r.Settled = true
			return nil
		}
		if len(r.changes.seen) >= maxChanged {
			return nil
		}
		from = r.oktaTime(began).Add(-lookBack)
	}
	return nil
}

// everything returns the lists that contain all records and can be narrowed to
// spans. The last one decides which records match the query.
func (r *read) everything() []listing {
	if r.query.Search == "" {
		return []listing{{}}
	}
	return []listing{{outside: true}, {search: r.query.Search}}
}

// changedSpans divides the time since from into spans of about a page each.
func (r *read) changedSpans(from time.Time) []span {
	since := span{from: from.Truncate(time.Millisecond)}
	var changed []int64
	for _, at := range r.changes.seen {
		if at >= since.from.UnixMilli() {
			changed = append(changed, at)
		}
	}
	return since.cut(quantiles(changed, 1+len(changed)*4/(r.size*3)))
}

// readSkipped reads, as single pages, the records that other pages may have
// skipped. The caller finds those that were last updated before KnownBefore.
func (r *read) readSkipped(ctx context.Context) error {
	all := always
	if known := r.query.KnownBefore; known.After(all.from) {
		all.from = known.Truncate(time.Millisecond)
	}
	spans := all.cut(quantiles(r.changes.sample, 1+r.changes.count*4/(r.size*3)))
	r.c.log.DebugContext(ctx, "reading in single pages", "since", all.from, "spans", len(spans))
	l := r.everything()
	p := r.spanReader(l[len(l)-1], spans, r.c.cfg.Concurrency)
	p.singlePages = true
	return p.read(ctx)
}

package oktaclient

import (
	"context"
	"hash/maphash"
	"time"
)

const (
	lookBack   = 5 * time.Minute // of each pass, for the lag of the index and of the Date header
	maxPasses  = 10
	maxChanged = 1 << 19         // records in changes.seen
	maxSample  = 1 << 16         // of lastUpdated
	maxLag     = 5 * time.Second // of the index, and of the resolution of Date
)

// changes stores which records changed shortly before a read or during it, and
// whether pages may have skipped records.
//
// A list of several pages can skip records if Okta's cursors count records: when
// a record leaves the list, all later ones move up, and one of them moves past
// the next page. Okta doesn't document its cursors. A list of one page skips
// nothing.
type changes struct {
	since string           // lastUpdated of the oldest record in seen
	seen  map[uint64]int64 // lastUpdated in milliseconds, by a hash of id and lastUpdated
	seed  maphash.Seed
	added int // records added to seen in this pass

	start   string // a record with this lastUpdated or a later one changed during the read
	during  bool   // a record changed during the read
	several bool   // a list had several pages

	sample []int64 // lastUpdated of every strideth record, in milliseconds
	stride int
	count  int // records
}

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

// pageRead records that a page of a list was read.
func (r *read) pageRead(l *list) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.pages > 1 {
		r.changes.several = true
	}
}

// newChanges returns the changes of a read that started at this time of Okta's
// clock.
func newChanges(start time.Time, seed maphash.Seed) changes {
	return changes{
		since: start.Add(-lookBack).UTC().Format(timeLayout), start: start.Add(-maxLag).UTC().Format(timeLayout),
		seen: map[uint64]int64{}, seed: seed, stride: 1,
	}
}

// add records a copy of a record.
func (c *changes) add(record Record) {
	c.during = c.during || record.LastUpdated >= c.start
	if c.count++; c.count%c.stride == 0 {
		c.addSample(record)
	}
	if record.LastUpdated < c.since {
		return
	}
	key := maphash.Comparable(c.seed, [2]string{record.ID, record.LastUpdated})
	if _, seen := c.seen[key]; seen {
		return
	}
	c.added++
	if len(c.seen) < maxChanged {
		c.seen[key], _ = milliseconds(record.LastUpdated)
	}
}

// addSample adds a record to the sample. A full sample keeps every second entry.
func (c *changes) addSample(record Record) {
	if len(c.sample) == maxSample {
		for i := range maxSample / 2 {
			c.sample[i] = c.sample[2*i]
		}
		c.sample, c.stride = c.sample[:maxSample/2], 2*c.stride
	}
	if at, ok := milliseconds(record.LastUpdated); ok {
		c.sample = append(c.sample, at)
	}
}

package oktaclient

import (
	"context"
	"hash/maphash"
	"slices"
	"time"
)

const (
	overlap   = 5 * time.Minute // what settling looks back, for an index and clocks that lag
	maxPasses = 10
	maxRecent = 1 << 19 // users remembered who changed while they were read
)

// settle reads again what has changed since the reading began, and once more,
// until a pass shows nothing new: so everyone who left the part of the org that
// was being read, or came into it, is in the reading after all.
//
// The passes are of the whole org. Whoever changed and is no longer of the
// query is told of as outside; of an export that a search narrows this is
// everybody at first, and those whom the search still finds are told of after.
//
// Whom a list may have hidden is read in single pages after the first pass.
func (r *read) settle(ctx context.Context) error {
	if err := r.awaitIndex(ctx); err != nil {
		return err
	}
	from := r.oktaTime(r.Started).Add(-overlap)
	for pass := range maxPasses {
		began := time.Now()
		r.forget()
		r.enter(PhaseSettle)
		r.c.log.DebugContext(ctx, "settling", "since", from, "changed", len(r.recent))
		for _, l := range r.everyone() {
			p := r.partition(l, r.recentSpans(from), 1)
			p.paged = true // and in order of time: who changes meanwhile is still to come
			if err := p.read(ctx); err != nil {
				return err
			}
		}
		again := false
		if pass == 0 { // and it is known whether somebody changed
			var err error
			if again, err = r.unhide(ctx); err != nil {
				return err
			}
		}
		if r.fresh == 0 && !again {
			r.Settled = true
			return nil
		}
		if len(r.recent) >= maxRecent {
			return nil
		}
		from = r.oktaTime(began).Add(-overlap)
	}
	return nil
}

// everyone are the lists of an org that can be narrowed to spans, in the order
// in which they tell who is of the query.
func (r *read) everyone() []listing {
	if r.query.Search == "" {
		return []listing{{}}
	}
	return []listing{{outside: true}, {search: r.query.Search}}
}

// recentSpans cuts the time since from into spans that are likely to be single
// pages, by what is known of who changed.
func (r *read) recentSpans(from time.Time) []span {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := span{from: from.Truncate(time.Millisecond)}
	var changed []int64
	for _, at := range r.recent {
		if at >= since.from.UnixMilli() {
			changed = append(changed, at)
		}
	}
	slices.Sort(changed)
	var borders []time.Time
	each := max(r.size*3/4, 1)
	for i := each; i < len(changed); i += each {
		borders = append(borders, time.UnixMilli(changed[i]))
	}
	return since.cut(borders)
}

// forget begins a pass.
func (r *read) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fresh = 0
}

// noteLocked remembers a copy of a user who changed not long before the reading
// or during it, as a hash, and counts it if it is new.
func (r *read) noteLocked(u Record) {
	if r.since == "" {
		start := r.oktaTimeLocked(r.Started).UTC()
		r.since, r.hiding.since = start.Add(-overlap).Format(timeLayout), start.Add(-lateToShow).Format(timeLayout)
		r.recent, r.seed = map[uint64]int64{}, maphash.MakeSeed()
	}
	r.hiding.noteLocked(u)
	if u.LastUpdated < r.since {
		return
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(u.ID)
	h.WriteByte(0)
	h.WriteString(u.LastUpdated)
	key := h.Sum64()
	if _, seen := r.recent[key]; seen {
		return
	}
	r.fresh++
	if len(r.recent) < maxRecent {
		at, _ := time.Parse(timeLayout, u.LastUpdated)
		r.recent[key] = at.UnixMilli()
	}
}

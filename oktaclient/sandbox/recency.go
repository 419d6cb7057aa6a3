package sandbox

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// span is a range of lastUpdated in milliseconds, both ends included.
type span struct{ from, to int64 }

var always = span{math.MinInt64, math.MaxInt64}

// spanOf is the range that a comparison of lastUpdated leaves.
func spanOf(op string, at int64) span {
	switch op {
	case "gt":
		return span{at + 1, math.MaxInt64}
	case "ge":
		return span{at, math.MaxInt64}
	case "lt":
		return span{math.MinInt64, at - 1}
	case "le":
		return span{math.MinInt64, at}
	}
	return span{at, at}
}

func (s span) holds(at int64) bool { return s.from <= at && at <= s.to }

// and is the range of what is in both, or what is in either and between.
func (s span) and(t span) span { return span{max(s.from, t.from), min(s.to, t.to)} }
func (s span) or(t span) span  { return span{min(s.from, t.from), max(s.to, t.to)} }

// recency knows when the original people were last updated, so that a page of a
// narrow range costs no look at everybody. Whoever has changed since is not its
// business.
type recency struct {
	once    sync.Once
	at      []int64 // ascending
	numbers []int32 // whose, and of the same moment ascending

	mu     sync.Mutex
	lately map[span][]int32 // what in returned, for the next page of the same range
}

const (
	wide       = 4  // a range with more than this part of the people is no narrow one
	keptRanges = 64 // by lately
)

// in returns the original people in a range, in order of their ids; false where
// the range is not narrow.
func (x *recency) in(p *people, r span) ([]int32, bool) {
	x.once.Do(func() { x.sort(p) })
	from, _ := slices.BinarySearch(x.at, r.from)
	to := sort.Search(len(x.at), func(i int) bool { return x.at[i] > r.to })
	if to-from > p.n/wide {
		return nil, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	found, ok := x.lately[r]
	if !ok {
		if to > from {
			found = slices.Clone(x.numbers[from:to])
			slices.Sort(found)
		}
		if len(x.lately) >= keptRanges || x.lately == nil {
			x.lately = map[span][]int32{}
		}
		x.lately[r] = found
	}
	return found, true
}

func (x *recency) sort(p *people) {
	type moment struct {
		at     int64
		number int32
	}
	moments := make([]moment, p.n)
	for i := range moments {
		moments[i] = moment{p.facts(i).lastUpdated, int32(i)}
	}
	slices.SortFunc(moments, func(a, b moment) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.number, b.number))
	})
	x.at, x.numbers = make([]int64, p.n), make([]int32, p.n)
	for i, m := range moments {
		x.at[i], x.numbers[i] = m.at, m.number
	}
}

// withinLocked is scanLocked without most of those whose lastUpdated was not in
// the range at t.
func (s *store) withinLocked(r span, after string, t time.Time) iter.Seq[*object] {
	if r == always || s.wiped {
		return s.scanLocked(after, t)
	}
	numbers, narrow := s.recency.in(&s.people, r)
	if !narrow {
		return s.scanLocked(after, t)
	}
	others := s.othersWithinLocked(r, after, t)
	slices.SortFunc(others, func(a, b *object) int { return strings.Compare(a.id(), b.id()) })
	start, _ := slices.BinarySearch(numbers, int32(s.people.after(after)))
	return func(yield func(*object) bool) {
		var u object
		var scratch []byte
		for _, i := range numbers[start:] {
			if s.changed[int(i)] != nil {
				continue
			}
			u = object{number: int(i), store: s, facts: s.people.facts(int(i))}
			for len(others) > 0 && others[0].id() < u.id() {
				if !yield(others[0]) {
					return
				}
				others = others[1:]
			}
			if u.scratch = &scratch; !yield(&u) {
				return
			}
		}
		for _, u := range others {
			if !yield(u) {
				return
			}
		}
	}
}

// othersWithinLocked returns everybody after an id whom the store has a record
// of, and whose lastUpdated was in the range at t.
func (s *store) othersWithinLocked(r span, after string, t time.Time) (others []*object) {
	add := func(u *object) {
		if u != nil && r.holds(u.lastUpdated) && u.id() > after {
			copied := *u
			others = append(others, &copied)
		}
	}
	for i, record := range s.changed {
		u, ok := record.asOf(t)
		if !ok {
			u = &object{number: i, store: s, facts: s.people.facts(i)}
		}
		add(u)
	}
	for _, record := range s.added {
		u, _ := record.asOf(t)
		add(u)
	}
	return others
}

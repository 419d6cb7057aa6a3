// Package edges contains the edges between the objects of a sandbox org: the
// members of groups, and the users and groups that are assigned to apps. It keeps
// every version of an edge, with the times of its start and its end. A test can
// therefore read what the org contained at any time.
//
// Package sandbox uses it. Start reading at [Graph] (graph.go), which has a [Table] for each
// kind of edge. All times are nanoseconds since 1970.
package edges

import (
	"cmp"
	"hash/fnv"
	"iter"
	"slices"
	"sort"
	"strings"
	"time"
)

// Edge is one version of an edge, from a parent to a child.
type Edge struct {
	Child       string // id
	Order       int64  // place in the list of the parent; equal values are sorted by Child
	From, Until int64  // Until 0: the edge exists
	Direct      bool   // of a user and an app: not through a group
	Status      uint8  // of a user and an app, as the caller numbers them
}

func (e *Edge) compare(order int64, child string) int {
	return cmp.Or(cmp.Compare(e.Order, order), strings.Compare(e.Child, child))
}

// Table contains the edges of one kind. It is not safe for concurrent use.
type Table struct {
	lag     time.Duration
	version uint64
	parents map[string][]Edge // in the order of lists; several versions of an edge, oldest first
	current map[string]int    // number of edges that exist
}

// NewTable returns an empty table. With a lag, lists show each change after a time
// between 0 and lag, which differs from edge to edge.
func NewTable(lag time.Duration) *Table {
	return &Table{lag: lag, parents: map[string][]Edge{}, current: map[string]int{}}
}

// Load sets the edges of a parent at the start, in any order.
func (t *Table) Load(parent string, list []Edge) {
	slices.SortFunc(list, func(a, b Edge) int { return a.compare(b.Order, b.Child) })
	t.parents[parent], t.current[parent] = list, len(list)
}

// Version grows with each change.
func (t *Table) Version() uint64 { return t.version }

// Count returns the number of edges of a parent.
func (t *Table) Count(parent string) int { return t.current[parent] }

// Parents returns the ids of all parents that have or had edges, ascending.
func (t *Table) Parents() []string {
	all := make([]string, 0, len(t.parents))
	for parent := range t.parents {
		all = append(all, parent)
	}
	slices.Sort(all)
	return all
}

// Find returns the edge, or nil if it doesn't exist now. It is valid until the next
// change.
func (t *Table) Find(parent, child string) *Edge {
	list := t.parents[parent]
	if len(list) > 0 && list[0].Order == list[len(list)-1].Order { // sorted by child
		list = list[sort.Search(len(list), func(i int) bool { return list[i].Child >= child }):]
		list = list[:sort.Search(len(list), func(i int) bool { return list[i].Child > child })]
	}
	for i := range list {
		if e := &list[i]; e.Child == child && e.Until == 0 {
			return e
		}
	}
	return nil
}

// Children returns the ids of the children that a parent has now.
func (t *Table) Children(parent string) map[string]bool {
	children := make(map[string]bool, t.current[parent])
	for i := range t.parents[parent] {
		if e := &t.parents[parent][i]; e.Until == 0 {
			children[e.Child] = true
		}
	}
	return children
}

// Versions returns all versions of the edges of a parent, in the order of lists.
// The caller must not change them.
func (t *Table) Versions(parent string) []Edge { return t.parents[parent] }

// add adds an edge that starts at e.From.
func (t *Table) add(parent string, e Edge) {
	list := t.parents[parent]
	at := sort.Search(len(list), func(i int) bool { return list[i].compare(e.Order, e.Child) > 0 })
	t.parents[parent] = slices.Insert(list, at, e)
	t.current[parent]++
	t.version++
}

// end ends an edge that Find has returned.
func (t *Table) end(parent string, e *Edge, now int64) {
	e.Until = now
	t.current[parent]--
	t.version++
}

// endAll ends the edges of a parent that match.
func (t *Table) endAll(parent string, now int64, match func(*Edge) bool) {
	list := t.parents[parent]
	for i := range list {
		if e := &list[i]; e.Until == 0 && match(e) {
			t.end(parent, e, now)
		}
	}
}

// Position is a place in a list: after the edge with this order and child. The
// zero value is the start.
type Position struct {
	Order int64
	Child string
}

// List yields the edges of a parent that a list shows now, from a position.
func (t *Table) List(parent string, after Position, now int64) iter.Seq[*Edge] {
	list := t.parents[parent]
	at := 0
	if after.Child != "" {
		at = sort.Search(len(list), func(i int) bool { return list[i].compare(after.Order, after.Child) > 0 })
	}
	return func(yield func(*Edge) bool) {
		for i := at; i < len(list); i++ {
			if e := &list[i]; t.shown(e, now) && !yield(e) {
				return
			}
		}
	}
}

// Shows reports whether the list of a parent shows a child now. The list must be
// sorted by child.
func (t *Table) Shows(parent, child string, now int64) bool {
	list := t.parents[parent]
	for i := sort.Search(len(list), func(i int) bool { return list[i].Child >= child }); i < len(list) && list[i].Child == child; i++ {
		if t.shown(&list[i], now) {
			return true
		}
	}
	return false
}

func (t *Table) shown(e *Edge, now int64) bool {
	if t.lag == 0 {
		return e.From <= now && e.Until == 0
	}
	return e.From+t.delay(e, e.From, now) <= now && (e.Until == 0 || now < e.Until+t.delay(e, e.Until, now))
}

// delay returns how much later lists show the change of an edge.
func (t *Table) delay(e *Edge, change, now int64) int64 {
	if change+int64(t.lag) <= now {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(e.Child))
	return int64((h.Sum64() ^ uint64(change)*0x9E3779B97F4A7C15) % uint64(t.lag))
}

// Exists reports whether the version of the edge existed at some time between two
// times, both included.
func (e *Edge) Exists(from, to int64) bool { return e.From <= to && (e.Until == 0 || e.Until >= from) }

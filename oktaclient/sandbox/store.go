package sandbox

import (
	"cmp"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// store holds the org's users. The original people are made when they are
// asked for; only who has changed or come since is kept, with as many of the
// earlier versions as the index can still show.
type store struct {
	resource
	people people
	origin func() string // for the links in a user
	lag    time.Duration // how late the index is; see [Config.IndexLag]

	mu      sync.RWMutex
	changed map[int]*record    // original people who are no longer as they were
	added   map[string]*record // everybody else
	order   []string           // ids of added, ascending
	joined  int                // how many have joined
	picks   int                // how many have been picked for a change
	wiped   bool               // the org answers as if it had nobody
	edition uint64             // grows with each change
	known   map[string]bool    // names of profile attributes

	recency recency
	cache   pageCache

	orders sync.Mutex
	sorted map[string][]int32 // numbers of the original people by a sort attribute
}

// record is the versions of one user, oldest first.
type record struct{ versions []version }

type version struct {
	from time.Time
	user *object // nil: deleted
}

// user is one user at one time.
type object struct {
	facts
	number  int     // among the original people; -1: not one of them
	key     string  // the id, once known
	json    []byte  // nil: as the people make it
	scratch *[]byte // where to make it, for as long as a scan stays with this user
	store   *store
}

// newStore returns a store of the original people; attributes are the names of
// those that a profile can have.
func newStore(of resource, p people, lag time.Duration, origin func() string, attributes []string) *store {
	s := &store{resource: of, people: p, lag: lag, origin: origin, known: map[string]bool{},
		changed: map[int]*record{}, added: map[string]*record{}, sorted: map[string][]int32{}}
	for _, name := range attributes {
		s.known[name] = true
	}
	return s
}

func (u *object) id() string {
	if u.key == "" {
		u.key = u.store.people.id(u.number)
	}
	return u.key
}

// appendJSON appends the user as a list shows it.
func (u *object) appendJSON(dst []byte) []byte {
	if u.json != nil {
		return append(dst, u.json...)
	}
	return u.store.people.appendUser(dst, u.number, u.facts, u.store.origin())
}

// text returns the user's JSON; it must not be changed.
func (u *object) text() []byte {
	if u.json == nil && u.scratch != nil {
		*u.scratch = u.appendJSON((*u.scratch)[:0])
		u.json = *u.scratch
	}
	if u.json == nil {
		u.json = u.appendJSON(nil)
	}
	return u.json
}

// newUser reads what the org needs of a user's JSON.
func (s *store) newObject(json []byte) *object {
	return &object{number: -1, key: text(json, "id"), json: json, store: s, facts: facts{
		status:        text(json, "status"),
		created:       moment(json, "created"),
		activated:     moment(json, "activated"),
		statusChanged: moment(json, "statusChanged"),
		lastLogin:     moment(json, "lastLogin"),
		lastUpdated:   moment(json, "lastUpdated"),
		passwordAt:    moment(json, "passwordChanged"),
		membershipAt:  moment(json, "lastMembershipUpdated"),
	}}
}

func moment(json []byte, name string) int64 {
	t, err := time.Parse(time.RFC3339, text(json, name))
	if err != nil {
		return 0
	}
	return t.UnixMilli()
}

// asOf returns which version was the newest then; the zero time is now. It is
// false before the first one.
func (r *record) asOf(t time.Time) (*object, bool) {
	for i := len(r.versions) - 1; i >= 0; i-- {
		if v := &r.versions[i]; t.IsZero() || !v.from.After(t) {
			return v.user, true
		}
	}
	return nil, false
}

// originalLocked fills u with original person i; false: there is no such person (any more).
func (s *store) originalLocked(u *object, i int, t time.Time) bool {
	if r := s.changed[i]; r != nil {
		if v, ok := r.asOf(t); ok {
			if v != nil {
				*u = *v
			}
			return v != nil
		}
	}
	*u = object{number: i, store: s, facts: s.people.facts(i)}
	return true
}

func (s *store) addedLocked(u *object, id string, t time.Time) bool {
	r := s.added[id]
	if r == nil {
		return false
	}
	v, _ := r.asOf(t)
	if v != nil {
		*u = *v
	}
	return v != nil
}

// findLocked fills u with the user who has the id now.
func (s *store) findLocked(u *object, id string) bool {
	if s.wiped {
		return false
	}
	if i := s.people.find(id); i >= 0 {
		return s.originalLocked(u, i, time.Time{})
	}
	return s.addedLocked(u, id, time.Time{})
}

// scanLocked yields the users after an id in the order of ids, as they were at t.
// What it yields is good until the next.
func (s *store) scanLocked(after string, t time.Time) iter.Seq[*object] {
	return func(yield func(*object) bool) {
		if s.wiped {
			return
		}
		var u object
		var scratch []byte
		i, end := s.people.after(after), 0
		for j := sort.SearchStrings(s.order, after+"\x00"); ; j++ {
			if end = s.people.n; j < len(s.order) {
				end = s.people.after(s.order[j])
			}
			for ; i < end; i++ {
				if !s.originalLocked(&u, i, t) {
					continue
				}
				if u.scratch = &scratch; !yield(&u) {
					return
				}
			}
			if j == len(s.order) || s.addedLocked(&u, s.order[j], t) && !yield(&u) {
				return
			}
		}
	}
}

// putLocked makes u the newest version of the user with that id; a nil u deletes.
func (s *store) putLocked(id string, u *object, now time.Time) {
	var r *record
	if i := s.people.find(id); i >= 0 {
		if r = s.changed[i]; r == nil {
			r = &record{}
			s.changed[i] = r
		}
	} else if r = s.added[id]; r == nil {
		r = &record{}
		s.added[id] = r
		at, _ := slices.BinarySearch(s.order, id)
		s.order = slices.Insert(s.order, at, id)
	}
	r.versions = append(r.versions, version{now, u})
	for len(r.versions) > 1 && !r.versions[1].from.After(now.Add(-s.lag)) {
		r.versions = r.versions[1:] // the index shows a newer one already
	}
	s.edition++
}

// by returns the original people in the order of a sort attribute, ties by id.
func (s *store) by(attr string) []int32 {
	s.orders.Lock()
	defer s.orders.Unlock()
	if order, ok := s.sorted[attr]; ok {
		return order
	}
	order := make([]int32, s.people.n)
	keys := make([]string, s.people.n)
	for i := range order {
		order[i] = int32(i)
		keys[i] = (&object{number: i, store: s, facts: s.people.facts(i)}).sortKey(attr)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return strings.Compare(keys[a], keys[b]) })
	if len(s.sorted) > 3 {
		clear(s.sorted)
	}
	s.sorted[attr] = order
	return order
}

// sortedLocked yields the users after a position in the order of an attribute,
// ties by id, as they were at t.
func (s *store) sortedLocked(attr string, desc bool, from position, t time.Time) iter.Seq[*object] {
	compare := func(key, id, key2, id2 string) int {
		c := cmp.Or(strings.Compare(key, key2), strings.Compare(id, id2))
		if desc {
			return -c
		}
		return c
	}
	behind := func(u *object) bool { return from.id == "" || compare(u.sortKey(attr), u.id(), from.key, from.id) > 0 }
	return func(yield func(*object) bool) {
		if s.wiped {
			return
		}
		order := s.by(attr)
		original := func(k int) *object {
			if desc {
				k = len(order) - 1 - k
			}
			i := int(order[k])
			return &object{number: i, store: s, facts: s.people.facts(i)}
		}
		others := slices.DeleteFunc(s.othersLocked(t), func(u *object) bool { return !behind(u) })
		slices.SortFunc(others, func(a, b *object) int { return compare(a.sortKey(attr), a.id(), b.sortKey(attr), b.id()) })
		for k := sort.Search(len(order), func(k int) bool { return behind(original(k)) }); k < len(order); k++ {
			u := original(k)
			if s.changed[u.number] != nil {
				continue
			}
			for len(others) > 0 && compare(others[0].sortKey(attr), others[0].id(), u.sortKey(attr), u.id()) < 0 {
				if !yield(others[0]) {
					return
				}
				others = others[1:]
			}
			if !yield(u) {
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

// othersLocked returns everybody whom the store has a record of, as they were at t.
func (s *store) othersLocked(t time.Time) (others []*object) {
	for i := range s.changed {
		if u := new(object); s.originalLocked(u, i, t) {
			others = append(others, u)
		}
	}
	for id := range s.added {
		if u := new(object); s.addedLocked(u, id, t) {
			others = append(others, u)
		}
	}
	return others
}

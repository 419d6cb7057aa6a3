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

// store contains the objects of a resource. It generates the original objects on
// demand, and stores only objects that were changed or added, with the earlier
// versions that the index can still show.
type store struct {
	resource
	originals generator
	origin    func() string // of links
	lag       time.Duration // of the index; see [Config.IndexLag]

	mu                sync.RWMutex
	changed           map[int]*history    // of originals, by number
	added             map[string]*history // of all other objects, by id
	additions         int                 // how many objects were added by a number
	picks             int                 // how many objects pickLocked has returned
	wiped             bool                // see [Org.Wipe]
	version           uint64              // grows with each change
	profileAttributes map[string]bool
	cache             pageCache

	orders sync.Mutex
	sorted map[string][]int32 // numbers of the originals by a sort attribute
	spans  map[span][]int32   // numbers of the originals in a narrow span, ascending
}

// history is the versions of one object, oldest first.
type history struct{ versions []version }

type version struct {
	from   time.Time
	object *object // nil: deleted
}

// object is a version of a user or a group.
type object struct {
	lifecycle
	number  int     // among the originals; -1: not one of them
	key     string  // the id; "": not computed yet
	json    []byte  // nil: as generated
	scratch *[]byte // buffer for generated JSON, until the next object of an iteration
	store   *store
}

// newStore returns a store of the generator's users.
func newStore(r resource, originals generator, lag time.Duration, origin func() string) *store {
	s := &store{resource: r, originals: originals, lag: lag, origin: origin, profileAttributes: map[string]bool{},
		changed: map[int]*history{}, added: map[string]*history{}, sorted: map[string][]int32{}, spans: map[span][]int32{}}
	for _, name := range r.profile {
		s.profileAttributes[name] = true
	}
	return s
}

func (s *store) original(number int) object {
	return object{number: number, store: s, lifecycle: s.originals.lifecycle(number)}
}

func (obj *object) id() string {
	if obj.key == "" {
		obj.key = obj.store.originals.id(obj.number)
	}
	return obj.key
}

// appendJSON appends the object as a list shows it.
func (obj *object) appendJSON(dst []byte) []byte {
	if obj.json != nil {
		return append(dst, obj.json...)
	}
	return obj.store.originals.appendUser(dst, obj.number, obj.lifecycle, obj.store.origin())
}

// text returns the object's JSON, which must not be changed.
func (obj *object) text() []byte {
	if obj.json == nil && obj.scratch != nil {
		*obj.scratch = obj.appendJSON((*obj.scratch)[:0])
		obj.json = *obj.scratch
	}
	if obj.json == nil {
		obj.json = obj.appendJSON(nil)
	}
	return obj.json
}

// newObject returns an object with the given JSON.
func (s *store) newObject(json []byte) *object {
	at := func(name string) int64 {
		t, err := time.Parse(time.RFC3339, text(json, name))
		if err != nil {
			return 0
		}
		return t.UnixMilli()
	}
	id := text(json, "id")
	return &object{number: s.originals.find(id), key: id, json: json, store: s, lifecycle: lifecycle{
		status: text(json, "status"), created: at("created"), activated: at("activated"), statusChanged: at("statusChanged"),
		lastLogin: at("lastLogin"), lastUpdated: at("lastUpdated"), passwordChanged: at("passwordChanged"),
		lastMembershipUpdated: at("lastMembershipUpdated"),
	}}
}

// asOf returns the newest version at t; the zero time is now. It is false before
// the first version.
func (h *history) asOf(t time.Time) (*object, bool) {
	for i := len(h.versions) - 1; i >= 0; i-- {
		if v := &h.versions[i]; t.IsZero() || !v.from.After(t) {
			return v.object, true
		}
	}
	return nil, false
}

// loadLocked sets obj to an object as it was at t, and reports whether it
// existed. The number is that among the originals, or negative.
func (s *store) loadLocked(obj *object, number int, id string, t time.Time) bool {
	h := s.changed[number]
	if number < 0 {
		h = s.added[id]
	}
	if h != nil {
		if v, ok := h.asOf(t); ok {
			if v != nil {
				*obj = *v
			}
			return v != nil
		}
	}
	if number < 0 {
		return false
	}
	*obj = s.original(number)
	return true
}

// findLocked sets obj to the object that has the id now.
func (s *store) findLocked(obj *object, id string) bool {
	return !s.wiped && s.loadLocked(obj, s.originals.find(id), id, time.Time{})
}

// putLocked makes obj the newest version of the object with that id; nil deletes.
func (s *store) putLocked(id string, obj *object, now time.Time) {
	number := s.originals.find(id)
	h := s.changed[number]
	if number < 0 {
		h = s.added[id]
	}
	if h == nil {
		h = &history{}
		if number < 0 {
			s.added[id] = h
		} else {
			s.changed[number] = h
		}
	}
	h.versions = append(h.versions, version{now, obj})
	for len(h.versions) > 1 && !h.versions[1].from.After(now.Add(-s.lag)) {
		h.versions = h.versions[1:] // the index shows a newer one already
	}
	if obj != nil {
		if profile := get(obj.json, "profile"); len(profile) > 0 && profile[0] == '{' {
			for m := range members(profile) {
				s.profileAttributes[m.name()] = true
			}
		}
	}
	s.version++
}

func (obj *object) position(sortBy string) position {
	p := position{id: obj.id()}
	if sortBy != "" {
		p.key = obj.sortKey(sortBy)
	}
	return p
}

// selection is a part of a store's objects, in an order.
type selection struct {
	span   span   // of lastUpdated; others are returned as well
	sortBy string // attribute; "": the id. Equal values are sorted by id
	desc   bool
	after  position
	at     time.Time // the version of the objects; zero: now
}

func (q *selection) compare(a, b position) int {
	c := cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.id, b.id))
	if q.desc {
		return -c
	}
	return c
}

// includes reports whether the object is after the selection's start.
func (q *selection) includes(obj *object) bool {
	return q.after.id == "" || q.compare(obj.position(q.sortBy), q.after) > 0
}

// all is the selection of every object, by id.
var all = selection{span: always}

// selectLocked yields the objects of a selection. Each is valid until the next.
func (s *store) selectLocked(q selection) iter.Seq[*object] {
	n, number := s.originals.n, func(k int) int { return k }
	if q.sortBy != "" {
		order := s.by(q.sortBy)
		number = func(k int) int {
			if q.desc {
				k = n - 1 - k
			}
			return int(order[k])
		}
	} else if narrow, ok := s.within(q.span); ok {
		n, number = len(narrow), func(k int) int { return int(narrow[k]) }
	}
	return func(yield func(*object) bool) {
		if s.wiped {
			return
		}
		others := s.storedLocked(q)
		start := sort.Search(n, func(k int) bool {
			obj := s.original(number(k))
			return q.includes(&obj)
		})
		var obj object
		var scratch []byte
		for k := start; k < n; k++ {
			if s.changed[number(k)] != nil {
				continue
			}
			obj = s.original(number(k))
			obj.scratch = &scratch
			for len(others) > 0 && q.compare(others[0].position(q.sortBy), obj.position(q.sortBy)) < 0 {
				if !yield(others[0]) {
					return
				}
				others = others[1:]
			}
			if !yield(&obj) {
				return
			}
		}
		for _, other := range others {
			if !yield(other) {
				return
			}
		}
	}
}

// storedLocked returns the changed and the added objects of a selection, in its order.
func (s *store) storedLocked(q selection) (found []*object) {
	load := func(number int, id string) {
		obj := new(object)
		if s.loadLocked(obj, number, id, q.at) && q.span.contains(obj.lastUpdated) && q.includes(obj) {
			found = append(found, obj)
		}
	}
	for number := range s.changed {
		load(number, "")
	}
	for id := range s.added {
		load(-1, id)
	}
	slices.SortFunc(found, func(a, b *object) int { return q.compare(a.position(q.sortBy), b.position(q.sortBy)) })
	return found
}

// by returns the originals in the order of a sort attribute, ties by id.
func (s *store) by(attr string) []int32 {
	s.orders.Lock()
	defer s.orders.Unlock()
	if order, ok := s.sorted[attr]; ok {
		return order
	}
	n := s.originals.n
	order, keys, times := make([]int32, n), make([]string, n), make([]int64, n)
	isDate := slices.Contains(dateAttributes, attr)
	for i := range order {
		order[i] = int32(i)
		if obj := s.original(i); !isDate {
			keys[i] = obj.sortKey(attr)
		} else if times[i] = obj.date(attr); times[i] == 0 {
			times[i] = math.MaxInt64 // like absentKey
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(times[a], times[b]), strings.Compare(keys[a], keys[b]), cmp.Compare(a, b))
	})
	if len(s.sorted) > 3 {
		clear(s.sorted)
	}
	s.sorted[attr] = order
	return order
}

const (
	narrowPart = 4  // a narrow span has at most this part of the originals
	maxSpans   = 64 // that are cached
)

// within returns the originals in a span, by id. It is false if the span is not
// narrow: then a scan of all originals costs little more.
func (s *store) within(r span) ([]int32, bool) {
	if r == always {
		return nil, false
	}
	order := s.by("lastUpdated")
	updated := func(k int) int64 { return s.originals.lifecycle(int(order[k])).lastUpdated }
	from := sort.Search(len(order), func(k int) bool { return updated(k) >= r.from })
	to := max(from, sort.Search(len(order), func(k int) bool { return updated(k) > r.to }))
	if to-from > len(order)/narrowPart {
		return nil, false
	}
	s.orders.Lock()
	defer s.orders.Unlock()
	numbers, ok := s.spans[r]
	if !ok {
		numbers = slices.Clone(order[from:to])
		slices.Sort(numbers)
		if len(s.spans) >= maxSpans {
			clear(s.spans)
		}
		s.spans[r] = numbers
	}
	return numbers, true
}

func (obj *object) date(attr string) int64 {
	switch attr {
	case "created":
		return obj.created
	case "activated":
		return obj.activated
	case "statusChanged":
		return obj.statusChanged
	case "lastMembershipUpdated":
		return obj.lastMembershipUpdated
	}
	return obj.lastUpdated
}

func (obj *object) present(attr string) bool {
	value := get(obj.text(), attr)
	return value != nil && string(value) != "null"
}

// sortKey returns the value to sort by, case-insensitively like Okta.
func (obj *object) sortKey(attr string) string {
	if slices.Contains(dateAttributes, attr) {
		if obj.date(attr) == 0 {
			return absentKey
		}
		return time.UnixMilli(obj.date(attr)).UTC().Format(timeLayout)
	}
	if s := text(obj.text(), attr); s != "" {
		return strings.ToLower(s)
	}
	if v := get(obj.text(), attr); v != nil && string(v) != "null" {
		return string(v)
	}
	return absentKey
}

// absentKey is the sort key of an absent value: it sorts last. Okta's order is unknown.
const absentKey = "\xff"

// load sets obj to the object that has the id now.
func (s *store) load(obj *object, id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.findLocked(obj, id)
}

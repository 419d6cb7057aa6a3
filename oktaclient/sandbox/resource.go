package sandbox

import (
	"math"
	"sync"
)

// resource describes a kind of object, and how the API lists it.
type resource struct {
	name  string // in errors of the control functions
	kind  string // in E0000007, and as a target in the System Log
	event string // of a changed profile

	minLimit     int // the smallest valid limit
	defaultLimit int // objects per page; 0: maxLimit
	maxLimit     int
	maxFound     int                      // most objects that q returns; it has no pages
	found        []string                 // attributes whose beginning q compares
	listOrder    string                   // attribute that lists are sorted by; "": the id
	department   string                   // attribute that [RoleGroup] compares
	login        string                   // attribute that GET by id also accepts; "": none
	links        func(self string) []byte // the links of GET by id; nil: as in a list

	profile  []string // attributes of a profile
	filter   []string // attributes that filter accepts
	search   []string // attributes that search accepts, besides those of the profile
	contains []string // attributes that co accepts in a search

	oneComparison bool // a filter has one
}

// span is a range of lastUpdated in milliseconds, both ends included.
type span struct{ from, to int64 }

var always = span{math.MinInt64, math.MaxInt64}

// spanOf returns the range that fulfills a comparison of lastUpdated.
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

func (s span) contains(at int64) bool { return s.from <= at && at <= s.to }

// and is the intersection; or is the smallest range with both.
func (s span) and(t span) span { return span{max(s.from, t.from), min(s.to, t.to)} }

func (s span) or(t span) span { return span{min(s.from, t.from), max(s.to, t.to)} }

var dateAttributes = []string{"created", "activated", "statusChanged", "lastUpdated", "lastMembershipUpdated"}

// pageCache contains compressed pages until the next change, so that a benchmark
// measures the client and not the org.
type pageCache struct {
	mu      sync.Mutex
	version uint64
	pages   map[string]cachedPage
}

type cachedPage struct {
	page
	gzipped []byte
}

// page describes the objects of one response.
type page struct {
	rows int
	more bool
	last position // after the last row
}

// A position is a place in a list: after the object with a sort key and an id,
// or, with [Config.OffsetCursors], after a number of objects.
type position struct {
	key, id string
	offset  int
}

// lifecycle is the status and the times of an object. Times are milliseconds
// since 1970; 0 is null.
type lifecycle struct {
	status                            string
	created, activated, statusChanged int64
	lastLogin, lastUpdated            int64
	passwordChanged                   int64
	lastMembershipUpdated             int64
}

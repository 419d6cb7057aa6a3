package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const maxQuery = 4 << 10 // bytes of a query that a Link header repeats; Okta gives no figure

// resource describes a kind of object, and how the API lists it.
type resource struct {
	name  string // in errors of the control functions
	kind  string // in E0000007, and as a target in the System Log
	event string // of a changed profile

	maxLimit   int      // objects per page; also the default
	minLimit   int      // the smallest limit that is no error
	maxFound   int      // objects that q returns; it has no pages
	found      []string // attributes whose beginning q compares
	listOrder  string   // attribute that lists are sorted by; "": the id
	department string   // attribute that [RoleGroup] compares

	filter   []string // attributes that filter accepts
	search   []string // attributes that search accepts, besides those of the profile
	contains []string // attributes that co accepts in a search
}

// notFound is the error for an id that no object has.
func (x *resource) notFound(id string) error {
	e := newError("E0000007")
	e.Summary += ": " + id + " (" + x.kind + ")"
	return e
}

// visible reports whether the client's role includes the object.
func (x *resource) visible(u *object, g *grant) bool {
	department, scoped := strings.CutPrefix(g.role, groupRole)
	return !scoped || text(u.text(), x.department) == department
}

// list is a parsed request for a list of objects.
type list struct {
	*store
	query  url.Values // as sent, without the cursor
	limit  int
	match  predicate
	span   span // of lastUpdated: no object outside of it matches
	index  bool // answered by the index, which lags
	pages  bool
	sortBy string // "": by id
	desc   bool
	view   view
	from   position
	role   string // of the client
}

// list returns the handler of the resource's list.
func (o *Org) list(s *store) handler {
	return func(a *answer, r *http.Request, g *grant) error {
		l, err := o.parseList(s, r, g)
		if err != nil {
			return err
		}
		fault := faultOf(r)
		if fault.Next == NextShort {
			l.limit = max(1, l.limit/2)
		}
		p := o.page(l, a, accepts(r, "gzip"))
		o.link(a, "self", o.self(r))
		next := o.next(r, l.query, p.last)
		switch {
		case fault.Next == NextLoop:
			o.link(a, "next", o.self(r))
		case fault.Next == NextOtherHost:
			o.link(a, "next", "https://"+OtherHost+next)
		case l.pages && (p.more || fault.Next == NextEmpty && p.rows > 0):
			o.link(a, "next", o.URL()+next)
		}
		return nil
	}
}

// parseList parses the query of a list.
func (o *Org) parseList(s *store, r *http.Request, g *grant) (l *list, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, newError("E0000001", "query: could not be parsed")
	}
	if len(r.URL.RawQuery) > maxQuery {
		return nil, newError("E0000256")
	}
	after := query.Get("after")
	query.Del("after")
	l = &list{store: s, query: query, view: viewOf(r, query.Get("fields")), sortBy: s.listOrder, role: g.role}
	l.pages = !query.Has("q")
	if l.limit, err = l.parseLimit(); err != nil {
		return nil, err
	}
	if after != "" {
		if l.from, err = o.position(r, query, after); err != nil {
			return nil, err
		}
	}
	query.Set("limit", strconv.Itoa(l.limit))
	if err := l.parseMatch(); err != nil {
		return nil, err
	}
	matches := l.match
	l.match = func(u *object) bool { return matches(u) && l.visible(u, g) }
	l.pages = l.pages && l.limit > 0
	return l, nil
}

// parseLimit clamps the limit, and rejects one that is too small or no number.
func (l *list) parseLimit() (int, error) {
	most := l.maxLimit
	if l.query.Has("q") {
		most = l.maxFound
	}
	if !l.query.Has("limit") {
		return most, nil
	}
	n, err := strconv.Atoi(l.query.Get("limit"))
	if err != nil || n < l.minLimit {
		return 0, newError("E0000001", fmt.Sprintf("limit: The limit must be a number greater than %d", l.minLimit-1))
	}
	return min(n, most), nil
}

// parseMatch decides which objects match. The plain list and q omit users who
// are DEPROVISIONED, filter and search don't ("List users").
func (l *list) parseMatch() error {
	filter, search, q := l.query.Get("filter"), l.query.Get("search"), strings.ToLower(l.query.Get("q"))
	l.index, l.span = true, always
	var err error
	switch {
	case filter != "" && search != "", q != "" && filter+search != "":
		return newError("E0000033")
	case filter != "":
		err = l.compile(language{resource: &l.resource}, filter)
	case search != "":
		err = l.parseSearch(search)
	case q != "":
		l.match = func(u *object) bool { return u.status != deprovisioned && u.startsWith(q, l.found) }
	default:
		l.index = false
		l.match = func(u *object) bool { return u.status != deprovisioned }
	}
	if err != nil {
		return newError("E0000031", err.Error())
	}
	return nil
}

func (l *list) compile(language language, expression string) error {
	c, err := language.compile(expression)
	l.match, l.span = c.fits, c.span
	return err
}

// parseSearch parses search, and the parameters that only search has: sortBy and
// sortOrder. sortOrder alone is ignored.
func (l *list) parseSearch(search string) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	language := language{resource: &l.resource, search: true, known: l.known}
	if err := l.compile(language, search); err != nil || !l.query.Has("sortBy") {
		return err
	}
	l.sortBy = l.query.Get("sortBy")
	order := l.query.Get("sortOrder")
	if !language.allows(l.sortBy, "eq") || order != "" && order != "asc" && order != "desc" {
		return errQuery
	}
	l.desc = order == "desc"
	return nil
}

// startsWith reports whether a value begins with q, which is in lower case.
func (u *object) startsWith(q string, attributes []string) bool {
	for _, attr := range attributes {
		if strings.HasPrefix(strings.ToLower(text(u.text(), attr)), q) {
			return true
		}
	}
	return false
}

// page describes the objects of one response.
type page struct {
	rows int
	more bool
	last position // after the last row
}

// page writes the objects that l asks for. A cached page that goes out
// compressed costs only the sending.
func (o *Org) page(l *list, a *answer, packed bool) page {
	key := fmt.Sprintf("%s %q %q %d %q %q", l.query.Encode(), l.from.id, l.from.key, l.from.offset, l.view.key, l.role)
	packed = packed && o.cfg.CachePages && o.cfg.IndexLag == 0
	if packed {
		if cached, ok := l.cache.get(key, l.store); ok {
			a.header.Set("Content-Type", "application/json")
			a.packed = cached.packed
			return cached.page
		}
	}
	p, edition := o.render(l, a)
	if packed {
		a.packed = pack(a.body.Bytes())
		l.cache.put(key, edition, cachedPage{p, a.packed})
	}
	return p
}

// render writes the page as JSON.
func (o *Org) render(l *list, a *answer) (p page, edition uint64) {
	var at time.Time
	if l.index && l.lag > 0 {
		at = o.now().Add(-l.lag)
	}
	p.last = l.from
	from, skip := l.from, 0
	if o.cfg.OffsetCursors {
		from, skip = position{}, l.from.offset
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	objects := l.withinLocked(l.span, from.id, at)
	if l.sortBy != "" {
		objects = l.sortedLocked(l.sortBy, l.desc, from, at)
	}
	a.header.Set("Content-Type", "application/json")
	a.body.WriteByte('[')
	for u := range objects {
		if !l.match(u) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if p.rows == l.limit {
			p.more = true
			break
		}
		if p.rows++; p.rows > 1 {
			a.body.WriteByte(',')
		}
		a.body.Write(l.view.apply(u.appendJSON(a.body.AvailableBuffer())))
		p.last = position{id: u.id(), offset: p.last.offset + 1}
		if l.sortBy != "" {
			p.last.key = u.sortKey(l.sortBy)
		}
	}
	a.body.WriteByte(']')
	return p, l.edition
}

package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxLimit = 200     // users a page, also where nothing is said ("List users: limit")
	maxFound = 10      // users that q finds, for it has no pages
	maxQuery = 4 << 10 // bytes of a query that a Link header repeats; Okta gives no figure
)

// list is a request for users, understood.
type list struct {
	query  url.Values // as asked, without the cursor
	limit  int
	match  predicate
	span   span // of lastUpdated: nobody outside of it fits
	index  bool // answered by the index, which lags
	pages  bool
	sortBy string // "": by id
	desc   bool
	view   view
	from   position
	group  string // "": everybody may be seen
}

// listUsers is GET /api/v1/users.
func (o *Org) listUsers(a *answer, r *http.Request, g *grant) error {
	l, err := o.parseList(r, g)
	if err != nil {
		return err
	}
	fault := faultOf(r)
	if fault.Next == NextShort {
		l.limit = max(1, l.limit/2)
	}
	p := o.page(l, a, accepts(r, "gzip"))
	o.link(a, "self", o.self(r))
	next := r.URL.EscapedPath() + "?" + url.Values{"after": {o.cursor(l.query, p.last)}}.Encode() + "&" + l.query.Encode()
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

// parseList reads the query of a list of users.
func (o *Org) parseList(r *http.Request, g *grant) (l *list, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, newError("E0000001", "query: could not be parsed")
	}
	if len(r.URL.RawQuery) > maxQuery {
		return nil, newError("E0000256")
	}
	after := query.Get("after")
	query.Del("after")
	l = &list{query: query, limit: maxLimit, pages: true, view: viewOf(r, query.Get("fields"))}
	if l.limit, err = parseLimit(query); err != nil {
		return nil, err
	}
	if after != "" {
		if l.from, err = o.position(query, after); err != nil {
			return nil, err
		}
	}
	query.Set("limit", strconv.Itoa(l.limit))
	if err := o.parseMatch(l); err != nil {
		return nil, err
	}
	if group, ok := strings.CutPrefix(g.role, groupRole); ok {
		all := l.match
		l.group = group
		l.match = func(u *user) bool { return all(u) && text(u.text(), "profile.department") == group }
	}
	return l, nil
}

// parseLimit clamps what is too much and refuses what is no number of users.
func parseLimit(query url.Values) (int, error) {
	most := maxLimit
	if query.Has("q") {
		most = maxFound
	}
	if !query.Has("limit") {
		return most, nil
	}
	n, err := strconv.Atoi(query.Get("limit"))
	if err != nil || n < 1 {
		return 0, newError("E0000001", "limit: The limit must be a number greater than 0")
	}
	return min(n, most), nil
}

// parseMatch decides who is listed. The plain list and q leave out DEPROVISIONED,
// filter and search don't ("List users").
func (o *Org) parseMatch(l *list) error {
	filter, search, q := l.query.Get("filter"), l.query.Get("search"), l.query.Get("q")
	l.index = true
	var (
		c   condition
		err error
	)
	l.span = always
	switch {
	case filter != "" && search != "", q != "" && filter+search != "":
		return newError("E0000033")
	case filter != "":
		c, err = language{}.compile(filter)
		l.match, l.span = c.fits, c.span
	case search != "":
		err = o.parseSearch(l, search)
	case q != "":
		l.pages = false
		l.match = func(u *user) bool { return u.status != deprovisioned && u.startsWith(strings.ToLower(q)) }
	default:
		l.index = false
		l.match = func(u *user) bool { return u.status != deprovisioned }
	}
	if err != nil {
		return newError("E0000031", err.Error())
	}
	return nil
}

// parseSearch reads search and what goes with it alone: sortBy and sortOrder.
func (o *Org) parseSearch(l *list, search string) (err error) {
	o.store.mu.RLock()
	defer o.store.mu.RUnlock()
	language := language{search: true, known: o.store.known}
	c, err := language.compile(search)
	if err != nil {
		return err
	}
	l.match, l.span = c.fits, c.span
	if l.sortBy = l.query.Get("sortBy"); l.sortBy == "" {
		return nil // sortOrder alone is ignored
	}
	if !language.allows(l.sortBy, "eq") {
		return errQuery
	}
	switch l.query.Get("sortOrder") {
	case "", "asc":
	case "desc":
		l.desc = true
	default:
		return errQuery
	}
	return nil
}

func (u *user) startsWith(q string) bool {
	for _, attr := range []string{"profile.firstName", "profile.lastName", "profile.email"} {
		if strings.HasPrefix(strings.ToLower(text(u.text(), attr)), q) {
			return true
		}
	}
	return false
}

// page is what one answer holds.
type page struct {
	rows int
	more bool
	last position // behind the last row
}

// page writes the users that l asks for. Where pages are cached, an answer that
// goes out compressed costs nothing but its sending.
func (o *Org) page(l *list, a *answer, packed bool) page {
	key := fmt.Sprintf("%s %q %q %d %q %q", l.query.Encode(), l.from.id, l.from.key, l.from.offset, l.view.key, l.group)
	packed = packed && o.cfg.CachePages && o.cfg.IndexLag == 0
	if packed {
		if cached, ok := o.cache.get(key, o.store); ok {
			a.header.Set("Content-Type", "application/json")
			a.packed = cached.packed
			return cached.page
		}
	}
	p, edition := o.render(l, a)
	if packed {
		a.packed = pack(a.body.Bytes())
		o.cache.put(key, edition, cachedPage{p, a.packed})
	}
	return p
}

// render writes the page as JSON.
func (o *Org) render(l *list, a *answer) (p page, edition uint64) {
	s := o.store
	var at time.Time
	if l.index && s.lag > 0 {
		at = o.now().Add(-s.lag)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	users := s.withinLocked(l.span, l.from.id, at)
	skip := 0
	switch {
	case o.cfg.OffsetCursors && l.sortBy != "":
		users, skip = s.sortedLocked(l.sortBy, l.desc, position{}, at), l.from.offset
	case o.cfg.OffsetCursors:
		users, skip = s.withinLocked(l.span, "", at), l.from.offset
	case l.sortBy != "":
		users = s.sortedLocked(l.sortBy, l.desc, l.from, at)
	}
	p.last = l.from
	a.header.Set("Content-Type", "application/json")
	a.body.WriteByte('[')
	for u := range users {
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
	return p, s.edition
}

// getUser is GET /api/v1/users/{id or login}. It is always current.
func (o *Org) getUser(a *answer, r *http.Request, g *grant, name string) error {
	s := o.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	var u user
	found := s.findLocked(&u, name) || strings.Contains(name, "@") && s.findLoginLocked(&u, name)
	group, scoped := strings.CutPrefix(g.role, groupRole)
	if !found || scoped && text(u.text(), "profile.department") != group {
		e := newError("E0000007")
		e.Summary += ": " + name + " (User)"
		return e
	}
	json := u.text()
	if get(json, "_links") != nil {
		json = set(json, "_links", o.links(u.id()))
	}
	a.header.Set("Content-Type", "application/json")
	a.body.Write(viewOf(r, r.URL.Query().Get("fields")).apply(json))
	return nil
}

// findLoginLocked fills u with the user who has the login.
func (s *store) findLoginLocked(u *user, login string) bool {
	for v := range s.scanLocked("", time.Time{}) {
		if strings.EqualFold(text(v.text(), "profile.login"), login) {
			*u = *v
			return true
		}
	}
	return false
}

// links are those of a user read alone; a list has only self.
func (o *Org) links(id string) []byte {
	self := o.URL() + "/api/v1/users/" + id
	w := writer("{")
	for _, name := range []string{"suspend", "resetPassword", "expirePassword", "deactivate"} {
		w.open(name)
		w.text("href", self+"/lifecycle/"+name)
		w.text("method", "POST")
		w.close()
	}
	w.raw("self", `{"href":"`+self+`"}`)
	w.close()
	return w
}

// view is what an answer shows of each user.
type view struct {
	key    string // tells views apart
	omit   []string
	fields map[string][]string // nil: all; a list: these members of it only
}

// viewOf reads the okta-response words, which stand in the Content-Type of the
// request, also of a GET ("List users: omitting credentials"), and fields.
func viewOf(r *http.Request, fields string) view {
	v := view{key: fields}
	_, words, _ := strings.Cut(r.Header.Get("Content-Type"), "okta-response=")
	words, _, _ = strings.Cut(words, ";")
	for word := range strings.SplitSeq(strings.Trim(words, `"`), ",") {
		switch strings.TrimSpace(word) {
		case "omitCredentials":
			v.omit = append(v.omit, "credentials")
		case "omitTransitioningToStatus":
			v.omit = append(v.omit, "transitioningToStatus")
		}
	}
	v.key += "\x00" + strings.Join(v.omit, ",")
	if fields == "" {
		return v
	}
	v.fields = map[string][]string{"id": nil}
	for fields != "" {
		var name, inner string
		end := strings.IndexAny(fields, ",:")
		if end < 0 {
			end = len(fields)
		}
		name, fields = fields[:end], fields[end:]
		if rest, ok := strings.CutPrefix(fields, ":("); ok {
			inner, fields, _ = strings.Cut(rest, ")")
			v.fields[name] = strings.Split(inner, ",")
		} else {
			v.fields[name] = nil
		}
		fields = strings.TrimPrefix(fields, ",")
	}
	return v
}

// apply returns what the view shows of a user.
func (v view) apply(json []byte) []byte {
	for _, name := range v.omit {
		json = without(json, name)
	}
	if v.fields == nil {
		return json
	}
	return only(json, func(name string) ([]string, bool) {
		inner, ok := v.fields[name]
		return inner, ok
	})
}

// only keeps the members that are wanted, and of those with a list only what it names.
func only(obj []byte, wanted func(string) ([]string, bool)) []byte {
	w := writer("{")
	for m := range members(obj) {
		inner, ok := wanted(m.name())
		if !ok {
			continue
		}
		value := obj[m.value:m.end]
		if inner != nil && value[0] == '{' {
			value = only(value, func(name string) ([]string, bool) { return nil, slices.Contains(inner, name) })
		}
		w.raw(m.name(), string(value))
	}
	w.close()
	return w
}

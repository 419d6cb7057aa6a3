package sandbox

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"oktasync/oktaclient/sandbox/internal/edges"
)

const maxQuery = 4 << 10 // bytes of a query that a Link header repeats; Okta gives no figure

// get returns the handler of GET by id. Its response shows changes at once.
func (o *Org) get(s *store, id string) handler {
	return func(resp *response, r *http.Request, token *accessToken) error {
		covered := o.coverage(token)
		s.mu.RLock()
		defer s.mu.RUnlock()
		var obj object
		found := s.findLocked(&obj, id) || strings.Contains(id, "@") && s.findLoginLocked(&obj, id)
		if found && !covered.includes(s, &obj) {
			return newError("E0000006")
		}
		if !found {
			return notFound(id, s.kind)
		}
		body := obj.text()
		if s.links != nil && get(body, "_links") != nil {
			path, _ := strings.CutSuffix(r.URL.Path, id)
			body = set(body, "_links", s.links(o.URL()+path+obj.id()))
		}
		resp.writeRaw(parseProjection(r).apply(body))
		return nil
	}
}

// findLoginLocked sets obj to the object with the login.
func (s *store) findLoginLocked(obj *object, login string) bool {
	for v := range s.selectLocked(all) {
		if strings.EqualFold(text(v.text(), s.login), login) {
			*obj = *v
			return true
		}
	}
	return false
}

// list is a parsed request for a list of objects.
type list struct {
	*store
	query url.Values // as sent, without the cursor
	limit int
	match predicate
	selection
	index      bool // the response comes from the index, which lags
	pages      bool
	projection projection
	role       string // of the client
	stats      bool   // with the counts of each group
}

// list returns the handler of a resource's list.
func (o *Org) list(s *store) handler {
	return func(resp *response, r *http.Request, token *accessToken) error {
		l, err := o.parseList(s, r, token)
		if err != nil {
			return err
		}
		fault := faultOf(r)
		if fault.Next == NextShort {
			l.limit = max(1, l.limit/2)
		}
		p := o.page(l, resp, acceptsGzip(r) && !fault.BrokenJSON)
		if l.stats && !sleep(r.Context(), time.Duration(p.rows)*o.cfg.GroupStats.Delay) {
			panic(http.ErrAbortHandler)
		}
		o.linkPage(resp, r, l.query, p, l.pages)
		return nil
	}
}

func (o *Org) parseList(s *store, r *http.Request, token *accessToken) (l *list, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, newError("E0000001", "query: could not be parsed")
	}
	if len(r.URL.RawQuery) > maxQuery {
		return nil, newError("E0000256")
	}
	after := query.Get("after")
	query.Del("after")
	l = &list{store: s, query: query, selection: selection{span: always, sortBy: s.listOrder}, index: true,
		projection: parseProjection(r), role: token.role}
	l.pages = !query.Has("q")
	l.stats = s == o.lazy.groups() && query.Get("expand") == "stats"
	most, usual := l.maxLimit, cmp.Or(l.defaultLimit, l.maxLimit)
	if query.Has("q") {
		most, usual = l.maxFound, l.maxFound
	}
	if l.limit, err = parseLimit(query, l.minLimit, usual, most); err != nil {
		return nil, err
	}
	if after != "" {
		if l.after, err = o.position(r, query, after); err != nil {
			return nil, err
		}
	}
	if most := o.cfg.GroupStats.Limit; l.stats && most > 0 && l.limit > most {
		return nil, newError("E0000009")
	}
	query.Set("limit", strconv.Itoa(l.limit))
	if err := l.parseMatch(); err != nil {
		return nil, err
	}
	matches, covered := l.match, o.coverage(token)
	l.match = func(obj *object) bool { return matches(obj) && covered.includes(s, obj) }
	l.pages = l.pages && l.limit > 0
	return l, nil
}

// parseLimit clamps the limit, and rejects one that is too small or not a number.
func parseLimit(query url.Values, least, usual, most int) (int, error) {
	if !query.Has("limit") {
		return usual, nil
	}
	n, err := strconv.Atoi(query.Get("limit"))
	if err != nil || n < least {
		return 0, newError("E0000001", fmt.Sprintf("limit: The limit must be a number greater than %d", least-1))
	}
	return min(n, most), nil
}

// parseMatch parses filter, search and q, of which a request can have one. The
// plain list and q omit DEPROVISIONED users; filter and search don't ("List users").
func (l *list) parseMatch() error {
	filter, search, q := l.query.Get("filter"), l.query.Get("search"), strings.ToLower(l.query.Get("q"))
	var err error
	switch {
	case filter != "" && search != "", q != "" && filter+search != "":
		return newError("E0000033")
	case search != "" && l.search == nil:
		return newError("E0000031", string(errQuery))
	case filter != "":
		err = l.compile(language{resource: &l.resource}, filter)
	case search != "":
		err = l.parseSearch(search)
	case q != "":
		l.match = func(obj *object) bool { return obj.status != deprovisioned && obj.startsWith(q, l.found) }
	default:
		l.index = false
		l.match = func(obj *object) bool { return obj.status != deprovisioned }
	}
	if err != nil {
		return newError("E0000031", err.Error())
	}
	return nil
}

func (l *list) compile(language language, expression string) error {
	c, err := language.compile(expression)
	l.match, l.span = c.matches, c.span
	return err
}

// parseSearch parses search, and the parameters that only search has: sortBy and
// sortOrder. sortOrder without sortBy is ignored.
func (l *list) parseSearch(search string) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	language := language{resource: &l.resource, search: true, profileAttributes: l.profileAttributes}
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
func (obj *object) startsWith(q string, attributes []string) bool {
	for _, attr := range attributes {
		if strings.HasPrefix(strings.ToLower(text(obj.text(), attr)), q) {
			return true
		}
	}
	return false
}

// page writes the requested objects. It renders and compresses a cached page only
// once.
func (o *Org) page(l *list, resp *response, compressed bool) page {
	if !compressed || !o.cfg.CachePages || l.lag > 0 || l.stats {
		return o.render(l, resp)
	}
	key := fmt.Sprintf("%s %q %q %d %q %q", l.query.Encode(), l.after.id, l.after.key, l.after.offset, l.projection.cacheKey, l.role)
	l.mu.RLock()
	version := l.version
	l.mu.RUnlock()
	return l.cache.page(resp, key, version, func() page { return o.render(l, resp) })
}

// render writes the page as JSON.
func (o *Org) render(l *list, resp *response) (p page) {
	q, skip := l.selection, 0
	if l.index && l.lag > 0 {
		q.at = o.now().Add(-l.lag)
	}
	if o.cfg.OffsetCursors {
		q.after, skip = position{}, l.after.offset
	}
	p.last = l.after
	var g *edges.Graph
	if l.stats {
		g = o.edges()
		g.RLock()
		defer g.RUnlock()
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	resp.writeRaw([]byte("["))
	for obj := range l.selectLocked(q) {
		if !l.match(obj) {
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
			resp.body.WriteByte(',')
		}
		json := l.projection.apply(obj.appendJSON(resp.body.AvailableBuffer()))
		if l.stats {
			json = o.withStats(json, obj.id(), g)
		}
		resp.body.Write(json)
		offset := p.last.offset + 1
		p.last = obj.position(l.sortBy)
		p.last.offset = offset
	}
	resp.body.WriteByte(']')
	return p
}

// page writes the page with a key, which render writes if it isn't cached. A larger
// version makes all cached pages stale.
func (c *pageCache) page(resp *response, key string, version uint64, render func() page) page {
	c.mu.Lock()
	cached, ok := c.pages[key]
	ok = ok && c.version == version
	c.mu.Unlock()
	if !ok {
		cached.page = render()
		cached.gzipped = compress(resp.body.Bytes())
		c.put(key, version, cached)
	}
	resp.header.Set("Content-Type", "application/json")
	resp.gzipped = cached.gzipped
	return cached.page
}

func (c *pageCache) put(key string, version uint64, p cachedPage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pages == nil || c.version != version {
		c.pages, c.version = map[string]cachedPage{}, version
	}
	c.pages[key] = p
}

// cursor returns an opaque cursor for a position ("Okta API: pagination"). It is
// valid only for one path and query, and for [Config.CursorLife]. It contains
// characters that a URL must escape.
func (o *Org) cursor(r *http.Request, query url.Values, p position) string {
	text := strings.Join([]string{strconv.Itoa(p.offset), p.id, p.key, ""}, "\x00")
	if o.cfg.CursorLife > 0 {
		text += o.now().Format(time.RFC3339Nano)
	}
	return base64.StdEncoding.EncodeToString([]byte(text)) + "/" + o.cursorMAC(r, query, text)
}

func (o *Org) cursorMAC(r *http.Request, query url.Values, text string) string {
	mac := hmac.New(sha256.New, o.cursorKey)
	mac.Write([]byte(r.URL.Path + "?" + query.Encode() + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:10])
}

// position returns the position of a cursor. A cursor that was altered, belongs to
// another query or has expired is E0000029.
func (o *Org) position(r *http.Request, query url.Values, cursor string) (p position, err error) {
	slash := max(0, strings.LastIndexByte(cursor, '/'))
	b, err := base64.StdEncoding.DecodeString(cursor[:slash])
	if err != nil || cursor[slash:] != "/"+o.cursorMAC(r, query, string(b)) {
		o.stats.addViolation("a cursor that was altered or is of another query")
		return p, newError("E0000029")
	}
	part := strings.SplitN(string(b), "\x00", 4)
	if part[3] != "" {
		created, _ := time.Parse(time.RFC3339Nano, part[3])
		if o.now().Sub(created) > o.cfg.CursorLife {
			return p, newError("E0000029")
		}
	}
	p.offset, _ = strconv.Atoi(part[0])
	p.id, p.key = part[1], part[2]
	return p, nil
}

// next returns the path and query of the page after p.
func (o *Org) next(r *http.Request, query url.Values, p position) string {
	next := r.URL.EscapedPath() + "?" + url.Values{"after": {o.cursor(r, query, p)}}.Encode()
	if len(query) > 0 {
		next += "&" + query.Encode()
	}
	return next
}

// linkPage adds the links of a page, or wrong ones for a fault.
func (o *Org) linkPage(resp *response, r *http.Request, query url.Values, p page, pages bool) {
	fault := faultOf(r)
	o.link(resp, "self", o.self(r))
	next := o.next(r, query, p.last)
	switch {
	case fault.Next == NextLoop:
		o.link(resp, "next", o.self(r))
	case fault.Next == NextOtherHost:
		o.link(resp, "next", "https://"+OtherHost+next)
	case pages && (p.more || fault.Next == NextEmpty && p.rows > 0):
		o.link(resp, "next", o.URL()+next)
	}
}

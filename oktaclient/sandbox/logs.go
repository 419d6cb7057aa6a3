package sandbox

import (
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The System Log ("System Log query"): polling, which is to say with no until and
// ascending, gives every event in the order in which it was stored, always with
// a next link, also on an empty page. A bounded query ends.
const (
	defaultEvents = 100
	maxEventsPage = 1000
	keepEvents    = 90 * 24 * time.Hour  // older ones are gone
	oldestSince   = 180 * 24 * time.Hour // and beyond this a query is an error
)

// listEvents is GET /api/v1/logs, without filter and q.
func (o *Org) listEvents(a *answer, r *http.Request, _ *grant) error {
	l, err := o.parseLog(r)
	if err != nil {
		return err
	}
	w := writer("[")
	rows, at, more := 0, l.from, false
	o.events.mu.Lock()
	for i := max(0, l.from-o.events.first); i < len(o.events.list); i++ {
		e := o.events.list[i]
		if rows == l.limit {
			more = true
			break
		}
		at = o.events.first + i + 1
		if e.published.Before(l.since) || !l.until.IsZero() && !e.published.Before(l.until) {
			continue
		}
		if rows++; rows > 1 {
			w = append(w, ',')
		}
		w = e.append(w)
	}
	o.events.mu.Unlock()
	a.header.Set("Content-Type", "application/json")
	a.body.Write(append(w, ']'))
	o.link(a, "self", o.self(r))
	if more || l.until.IsZero() {
		o.link(a, "next", o.URL()+o.next(r, l.query, position{offset: at}))
	}
	return nil
}

// logQuery is a request for events, understood.
type logQuery struct {
	query        url.Values // without after
	limit, from  int
	since, until time.Time
}

func (o *Org) parseLog(r *http.Request) (l logQuery, err error) {
	query := r.URL.Query()
	after := query.Get("after")
	query.Del("after")
	l = logQuery{query: query, limit: defaultEvents}
	if after != "" {
		p, err := o.position(r, query, after)
		if err != nil {
			return l, err
		}
		l.from = p.offset
	}
	if query.Has("limit") {
		n, err := strconv.Atoi(query.Get("limit"))
		if err != nil || n < 0 {
			return l, newError("E0000001", "limit: The limit must be a number")
		}
		l.limit = min(n, maxEventsPage)
	}
	now := o.now()
	if l.since, err = parseMoment(query.Get("since"), now.Add(-7*24*time.Hour)); err != nil {
		return l, err
	}
	if l.until, err = parseMoment(query.Get("until"), time.Time{}); err != nil {
		return l, err
	}
	if l.since.Before(now.Add(-oldestSince)) || query.Has("filter") || query.Has("q") {
		return l, newError("E0000053")
	}
	if oldest := now.Add(-keepEvents); l.since.Before(oldest) {
		l.since = oldest
	}
	return l, nil
}

func parseMoment(s string, otherwise time.Time) (time.Time, error) {
	if s == "" {
		return otherwise, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, newError("E0000001", "since: not a date")
	}
	return t, nil
}

// append appends the event as the log shows it.
func (e event) append(w writer) writer {
	w = append(w, '{')
	w.text("uuid", e.uuid)
	w.text("published", e.published.UTC().Format(timeLayout))
	w.text("eventType", e.kind)
	w.text("version", "0")
	w.text("severity", "INFO")
	w.raw("actor", `{"id":"00uSandboxControl0000","type":"User","alternateId":"control@`+domain+`","displayName":"Sandbox Control"}`)
	w.raw("outcome", `{"result":"SUCCESS","reason":null}`)
	w.name("target")
	w = append(w, "[{"...)
	w.text("id", e.id)
	w.text("type", e.target)
	w.text("alternateId", e.alternateID)
	if e.name != "" {
		w.text("displayName", e.name)
	}
	return append(w, "}]}"...)
}

// listAssignees is GET /api/v1/iam/assignees/users: the only list here whose next
// link stands in the body ("Role assignments"). Every hundredth of the original
// people is an administrator.
func (o *Org) listAssignees(a *answer, r *http.Request, _ *grant) error {
	const every, most = 100, 100
	from := 0
	if after := r.URL.Query().Get("after"); after != "" {
		p, err := o.position(r, nil, after)
		if err != nil {
			return err
		}
		from = p.offset
	}
	value := []any{}
	s := o.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := from
	for ; i < s.people.n && len(value) < most && !s.wiped; i += every {
		var u object
		if !s.originalLocked(&u, i, time.Time{}) {
			continue
		}
		self := o.URL() + "/api/v1/users/" + u.id()
		value = append(value, map[string]any{"id": u.id(), "orn": "orn:okta:directory:" + o.ID() + ":users:" + u.id(),
			"_links": map[string]any{"self": map[string]string{"href": self}}})
	}
	links := map[string]any{"self": map[string]string{"href": o.self(r)}}
	if i < s.people.n && !s.wiped {
		links["next"] = map[string]string{"href": o.URL() + o.next(r, nil, position{offset: i})}
	}
	a.json(http.StatusOK, map[string]any{"value": value, "_links": links})
	return nil
}

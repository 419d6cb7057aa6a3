package sandbox

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"oktasync/oktaclient/sandbox/internal/people"
)

// A query without until polls the log ("System Log query"). It returns the events
// in the order in which they were stored. Each page has a next link, also an empty
// page. A query with until ends.
const (
	defaultEvents = 100
	maxEventsPage = 1000
	keepEvents    = 90 * 24 * time.Hour  // older events are deleted
	oldestSince   = 180 * 24 * time.Hour // an older since is an error
)

// listEvents is GET /api/v1/logs, without filter and q.
func (o *Org) listEvents(resp *response, r *http.Request, _ *accessToken) error {
	l, err := o.parseLog(r)
	if err != nil {
		return err
	}
	w := writer("[")
	rows, at, more := 0, l.from, false
	o.log.mu.Lock()
	for i := max(0, l.from-o.log.first); i < len(o.log.events); i++ {
		e := &o.log.events[i]
		if rows == l.limit {
			more = true
			break
		}
		at = o.log.first + i + 1
		if e.published.Before(l.since) || !l.until.IsZero() && !e.published.Before(l.until) {
			continue
		}
		if rows++; rows > 1 {
			w = append(w, ',')
		}
		w = e.appendJSON(w)
	}
	o.log.mu.Unlock()
	resp.writeRaw(append(w, ']'))
	o.link(resp, "self", o.self(r))
	if more || l.until.IsZero() {
		o.link(resp, "next", o.URL()+o.next(r, l.query, position{offset: at}))
	}
	return nil
}

// logQuery is a parsed request for events.
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
	l.since = now.Add(-7 * 24 * time.Hour)
	for name, t := range map[string]*time.Time{"since": &l.since, "until": &l.until} {
		if s := query.Get(name); s != "" {
			if *t, err = time.Parse(time.RFC3339, s); err != nil {
				return l, newError("E0000001", name+": not a date")
			}
		}
	}
	if l.since.Before(now.Add(-oldestSince)) || query.Has("filter") || query.Has("q") {
		return l, newError("E0000053")
	}
	if oldest := now.Add(-keepEvents); l.since.Before(oldest) {
		l.since = oldest
	}
	return l, nil
}

// appendJSON appends the event as the log shows it.
func (e *event) appendJSON(w writer) writer {
	w = append(w, '{')
	w.text("uuid", e.uuid)
	w.text("published", e.published.UTC().Format(timeLayout))
	w.text("eventType", e.eventType)
	w.text("version", "0")
	w.text("severity", "INFO")
	w.raw("actor", `{"id":"00uSandboxControl0000","type":"User","alternateId":"control@`+people.Domain+`","displayName":"Sandbox Control"}`)
	w.raw("outcome", `{"result":"SUCCESS","reason":null}`)
	w.name("target")
	w = append(w, '[')
	for i, t := range e.targets {
		if i > 0 {
			w = append(w, ',')
		}
		w = append(w, '{')
		w.text("id", t.id)
		w.text("type", t.kind)
		w.text("alternateId", cmp.Or(t.login, "unknown"))
		if t.login == "" {
			w.text("displayName", t.name)
		}
		w.close()
	}
	return append(w, "]}"...)
}

// Stats returns the counts since the start or the last [Org.ResetStats].
func (o *Org) Stats() Stats {
	o.stats.mu.Lock()
	defer o.stats.mu.Unlock()
	s := o.stats.Stats
	s.ByStatus, s.ByPath, s.Violations = maps.Clone(s.ByStatus), maps.Clone(s.ByPath), slices.Clone(s.Violations)
	if s.Violations == nil {
		s.Violations = []string{} // JSON: [] and not null
	}
	return s
}

// ResetStats sets all counts to 0.
func (o *Org) ResetStats() { o.stats.add(func(s *Stats) { *s = Stats{} }) }

package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"oktasync/oktaclient/sandbox/internal/edges"
)

// An EdgeKind is a kind of edges, named after the resource that contains them.
type EdgeKind string

// The kinds of edges.
const (
	GroupMembers EdgeKind = "group_members" // from a group to a user
	AppUsers     EdgeKind = "app_users"     // from an app to a user
	AppGroups    EdgeKind = "app_groups"    // from an app to a group
)

// EdgeKinds returns all kinds of edges.
func EdgeKinds() []EdgeKind { return []EdgeKind{GroupMembers, AppUsers, AppGroups} }

// edgeList describes a list of edges, such as the members of a group.
type edgeList struct {
	kind               EdgeKind
	parents            *store
	least, usual, most int    // of limit
	child              string // in E0000007
	table              *edges.Table
	appendJSON         func(dst []byte, parent string, e *edges.Edge) []byte // as a list shows it
}

// members is "List all member users": complete users of every status, by id.
func (o *Org) members() *edgeList {
	return &edgeList{kind: GroupMembers, parents: o.groups(), least: 1, usual: 1000, most: 1000, table: o.edges().Members,
		appendJSON: func(dst []byte, _ string, e *edges.Edge) []byte { return o.appendUser(dst, e.Child) }}
}

// appUsers is "List all application users", by time of the assignment.
func (o *Org) appUsers() *edgeList {
	return &edgeList{kind: AppUsers, parents: o.apps(), least: 1, usual: 50, most: 500, child: "AppUser", table: o.edges().AppUsers, appendJSON: o.appendAppUser}
}

// appGroups is "List all application groups", by priority, then by time of the
// assignment.
func (o *Org) appGroups() *edgeList {
	return &edgeList{kind: AppGroups, parents: o.apps(), least: 20, usual: 20, most: 200, child: "ApplicationGroupAssignment", table: o.edges().AppGroups, appendJSON: o.appendAppGroup}
}

// listEdges returns the handler of the list of a parent's edges.
func (o *Org) listEdges(l *edgeList, parent string) handler {
	return func(resp *response, r *http.Request, token *accessToken) error {
		query, after, limit, err := o.parsePage(r, l.least, l.usual, l.most)
		if err != nil {
			return err
		}
		if l.kind == GroupMembers && o.cfg.MemberLimit > 0 && limit > o.cfg.MemberLimit {
			return newError("E0000009")
		}
		covered := o.coverage(token)
		if err := o.findParent(l.parents, parent, covered); err != nil {
			return err
		}
		if faultOf(r).Next == NextShort {
			limit = max(1, limit/2)
		}
		render := func() page { return o.renderEdges(l, resp, parent, after, limit, covered) }
		if !o.cfg.CachePages || o.cfg.MemberLag > 0 || !acceptsGzip(r) || faultOf(r).BrokenJSON {
			o.linkPage(resp, r, query, render(), true)
			return nil
		}
		key := fmt.Sprintf("%s %s %q %q %d %q", r.URL.Path, query.Encode(), after.id, after.key, after.offset, token.role)
		o.linkPage(resp, r, query, o.access.cache.page(resp, key, o.edgesVersion(), render), true)
		return nil
	}
}

// parsePage parses the query of a list that has only after and limit. It returns the
// query of the next page, without after.
func (o *Org) parsePage(r *http.Request, least, usual, most int) (query url.Values, after position, limit int, err error) {
	if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return nil, after, 0, newError("E0000001", "query: could not be parsed")
	}
	if limit, err = parseLimit(query, least, usual, most); err != nil {
		return nil, after, 0, err
	}
	cursor := query.Get("after")
	query.Del("after")
	if cursor != "" {
		after, err = o.position(r, query, cursor)
	}
	query.Set("limit", strconv.Itoa(limit))
	return query, after, limit, err
}

// edgesVersion grows with each change of users and edges.
func (o *Org) edgesVersion() uint64 {
	g := o.edges()
	o.users.mu.RLock()
	defer o.users.mu.RUnlock()
	g.RLock()
	defer g.RUnlock()
	return o.users.version + g.Version()
}

// findParent returns an error unless the client can see the parent of a list.
func (o *Org) findParent(s *store, id string, covered coverage) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var obj object
	switch {
	case !s.findLocked(&obj, id):
		return notFound(id, s.kind)
	case !covered.includes(s, &obj):
		return newError("E0000006")
	}
	return nil
}

// renderEdges writes a page of edges as JSON.
func (o *Org) renderEdges(l *edgeList, resp *response, parent string, after position, limit int, covered coverage) (p page) {
	g, now := o.edges(), o.now().UnixNano()
	order, _ := strconv.ParseInt(after.key, 10, 64)
	start, skip := edges.Position{Order: order, Child: after.id}, 0
	if o.cfg.OffsetCursors {
		start, skip = edges.Position{}, after.offset
	}
	p.last = after
	o.users.mu.RLock()
	defer o.users.mu.RUnlock()
	g.RLock()
	defer g.RUnlock()
	resp.writeRaw([]byte("["))
	for e := range l.table.List(parent, start, now) {
		if l.kind == GroupMembers && !o.showsUser(covered, e.Child) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if p.rows == limit {
			p.more = true
			break
		}
		if p.rows++; p.rows > 1 {
			resp.body.WriteByte(',')
		}
		resp.body.Write(l.appendJSON(resp.body.AvailableBuffer(), parent, e))
		p.last = position{key: strconv.FormatInt(e.Order, 10), id: e.Child, offset: p.last.offset + 1}
	}
	resp.body.WriteByte(']')
	return p
}

// showsUser reports whether a user exists and is in a role. The store of users is
// locked.
func (o *Org) showsUser(covered coverage, id string) bool {
	if covered.role == RoleReadOnly && o.prebuilt(id) != nil {
		return true
	}
	var obj object
	return o.users.findLocked(&obj, id) && covered.includes(o.users, &obj)
}

// getEdge returns the handler of GET of one edge.
func (o *Org) getEdge(l *edgeList, parent, child string) handler {
	return func(resp *response, _ *http.Request, token *accessToken) error {
		if err := o.findParent(l.parents, parent, o.coverage(token)); err != nil {
			return err
		}
		g := o.edges()
		o.users.mu.RLock()
		defer o.users.mu.RUnlock()
		g.RLock()
		defer g.RUnlock()
		e := l.table.Find(parent, child)
		if e == nil {
			return notFound(child, l.child)
		}
		resp.writeRaw(l.appendJSON(nil, parent, e))
		return nil
	}
}

// withStats returns a group with its counts. With [Config.GroupStats], some counts
// are wrong or missing. They include members that the role doesn't include.
func (o *Org) withStats(group []byte, id string, g *edges.Graph) []byte {
	count, third := g.Members.Count(id), id[len(id)-1]%3 == 0
	if third && o.cfg.GroupStats.Missing {
		return group
	}
	if third && o.cfg.GroupStats.Wrong {
		count++
	}
	return set(group, "_embedded.stats", fmt.Appendf(nil, `{"usersCount":%d,"appsCount":%d,"groupPushMappingsCount":0,"hasAdminPrivilege":%t,"_links":{"users":{"href":"%s/api/v1/groups/%s/users"}}}`,
		count, len(g.AppsOf(id)), id == o.groupID(administrators) || o.hasRole(id), o.URL(), id))
}

// listGroupsOf is "List all groups" of a user, by group id.
func (o *Org) listGroupsOf(user string) handler {
	const most = 200
	return func(resp *response, r *http.Request, token *accessToken) error {
		query, from, limit, err := o.parsePage(r, 1, most, most)
		if err != nil {
			return err
		}
		covered := o.coverage(token)
		groups, err := o.groupsOf(user, covered)
		if err != nil {
			return err
		}
		s := o.groups()
		s.mu.RLock()
		defer s.mu.RUnlock()
		resp.writeRaw([]byte("["))
		p := page{last: from}
		for _, id := range groups {
			var obj object
			if id <= from.id || !s.findLocked(&obj, id) || !covered.includes(s, &obj) {
				continue
			}
			if p.rows == limit {
				p.more = true
				break
			}
			if p.rows++; p.rows > 1 {
				resp.body.WriteByte(',')
			}
			resp.body.Write(obj.text())
			p.last = position{id: id}
		}
		resp.body.WriteByte(']')
		o.linkPage(resp, r, query, p, true)
		return nil
	}
}

// groupsOf returns the ids of the groups of a user, who is given by id or login,
// ascending.
func (o *Org) groupsOf(user string, covered coverage) (groups []string, err error) {
	g, now := o.edges(), o.now().UnixNano()
	o.users.mu.RLock()
	defer o.users.mu.RUnlock()
	var obj object
	switch {
	case !o.users.findLocked(&obj, user) && !(strings.Contains(user, "@") && o.users.findLoginLocked(&obj, user)):
		return nil, notFound(user, o.users.kind)
	case !covered.includes(o.users, &obj):
		return nil, newError("E0000006")
	}
	g.RLock()
	defer g.RUnlock()
	for _, group := range g.Members.Parents() {
		if g.Members.Shows(group, obj.id(), now) {
			groups = append(groups, group)
		}
	}
	return groups, nil
}

// appendUser appends a user as a list shows them. The store of users is locked.
func (o *Org) appendUser(dst []byte, id string) []byte {
	if json := o.prebuilt(id); json != nil {
		return append(dst, json...)
	}
	var obj object
	o.users.findLocked(&obj, id)
	return obj.appendJSON(dst)
}

// prebuilt returns the JSON of an original user that was never changed; nil: it must
// be built. The store of users is locked.
func (o *Org) prebuilt(id string) []byte {
	number, ok := o.access.numbers[id]
	if !ok || o.users.wiped || o.users.changed[number] != nil || len(o.access.numbers) > maxPrebuilt {
		return nil
	}
	if json := o.access.json[number].Load(); json != nil {
		return *json
	}
	obj := o.users.original(number)
	json := obj.appendJSON(nil)
	o.access.json[number].Store(&json)
	return json
}

const maxPrebuilt = 200_000 // users, each about 1.4 kB

// login returns the login of a user. The store of users is locked.
func (o *Org) login(id string) string {
	if number, ok := o.access.numbers[id]; ok && o.users.changed[number] == nil {
		return o.users.originals.names(number).login
	}
	var user object
	if !o.users.findLocked(&user, id) {
		return ""
	}
	return text(user.text(), "profile.login")
}

// appendAppUser appends a user of an app. The store of users and the edges are
// locked.
func (o *Org) appendAppUser(dst []byte, app string, e *edges.Edge) []byte {
	login := o.login(e.Child)
	created, changed := e.Order/int64(time.Millisecond), e.From/int64(time.Millisecond)
	rng := o.users.originals.random(9, int(created)^int(e.Child[len(e.Child)-1]))
	w := writer(append(dst, '{'))
	w.text("id", e.Child)
	if rng.intN(3) == 0 {
		w.text("externalId", "ext-"+e.Child[len(e.Child)-6:])
	} else {
		w.raw("externalId", "null")
	}
	w.time("created", created)
	w.time("lastUpdated", changed)
	scope := "GROUP"
	if e.Direct {
		scope = "USER"
	}
	w.text("scope", scope)
	w.text("status", appUserStatuses[e.Status])
	w.time("statusChanged", changed)
	if rng.intN(2) == 0 {
		w.time("passwordChanged", created)
	} else {
		w.raw("passwordChanged", "null")
	}
	if rng.intN(4) == 0 {
		w.text("syncState", "SYNCHRONIZED")
		w.time("lastSync", changed)
	} else {
		w.text("syncState", "DISABLED")
	}
	if rng.intN(5) > 0 {
		w.open("credentials")
		w.text("userName", login)
		w.raw("password", `{"value":"`+PlantedSecret+`"}`)
		w.close()
	}
	w.open("profile")
	w.text("email", login)
	w.text("securityAnswer", PlantedSecret)
	w.raw("roles", `["Standard User",{"name":"=SUM(A1)","level":1.50}]`)
	w.close()
	w.open("_links")
	w.raw("app", `{"href":"`+o.URL()+"/api/v1/apps/"+app+`"}`)
	w.raw("user", `{"href":"`+o.URL()+"/api/v1/users/"+e.Child+`"}`)
	if !e.Direct {
		w.raw("group", `{"href":"`+o.URL()+"/api/v1/groups/"+o.edges().Via(app, e.Child)+`"}`)
	}
	w.close()
	w.close()
	return w
}

func (o *Org) appendAppGroup(dst []byte, app string, e *edges.Edge) []byte {
	w := writer(append(dst, '{'))
	w.text("id", e.Child)
	w.time("lastUpdated", e.From/int64(time.Millisecond))
	w.raw("priority", strconv.Itoa(edges.Priority(e.Order)))
	w.raw("profile", `{"samlRoles":["Reader"],"apiSecret":"`+PlantedSecret+`"}`)
	w.raw("_links", fmt.Sprintf(`{"app":{"href":"%s/api/v1/apps/%s"},"self":{"href":"%[1]s/api/v1/apps/%[2]s/groups/%s"},"group":{"href":"%[1]s/api/v1/groups/%[3]s"}}`,
		o.URL(), app, e.Child))
	w.close()
	return w
}

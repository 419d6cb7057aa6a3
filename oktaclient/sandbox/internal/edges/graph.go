package edges

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Graph contains all edges of an org. A user has an app if the user is assigned to
// it, or is a member of a group that is assigned to it while the app is active.
//
// The caller must hold the lock while it calls a method or reads a table.
type Graph struct {
	sync.RWMutex
	Members   *Table // groups and their users, by user id
	AppUsers  *Table // apps and their users, by time of the assignment
	AppGroups *Table // apps and their groups, by priority, then by time of the assignment

	inactive map[string]bool // apps
}

// NewGraph returns an empty graph. lag is that of the members' lists.
func NewGraph(lag time.Duration) *Graph {
	return &Graph{Members: NewTable(lag), AppUsers: NewTable(0), AppGroups: NewTable(0), inactive: map[string]bool{}}
}

// Order returns the Edge.Order of an app's group, from its priority and the time of the
// assignment.
func Order(priority int, created int64) int64 {
	return int64(priority)<<44 | created/int64(time.Millisecond)
}

// Priority returns the priority in the result of Order.
func Priority(order int64) int { return int(order >> 44) }

// Created returns the time in the result of Order, in milliseconds since 1970.
func Created(order int64) int64 { return order & (1<<44 - 1) }

// Version grows with each change.
func (g *Graph) Version() uint64 {
	return g.Members.Version() + g.AppUsers.Version() + g.AppGroups.Version()
}

// AddMember adds a user to a group, and reports whether the group changed.
func (g *Graph) AddMember(group, user string, now int64) bool {
	if g.Members.Find(group, user) != nil {
		return false
	}
	g.Members.add(group, Edge{Child: user, From: now})
	for _, app := range g.AppsOf(group) {
		if !g.inactive[app] && g.AppUsers.Find(app, user) == nil {
			g.AppUsers.add(app, Edge{Child: user, Order: now, From: now})
		}
	}
	return true
}

// RemoveMember removes a user from a group, and reports whether the group changed.
func (g *Graph) RemoveMember(group, user string, now int64) bool {
	member := g.Members.Find(group, user)
	if member == nil {
		return false
	}
	g.Members.end(group, member, now)
	for _, app := range g.AppsOf(group) {
		g.dropUser(app, user, now)
	}
	return true
}

// dropUser ends the row of a user who had the app through a group, if no group
// gives it now.
func (g *Graph) dropUser(app, user string, now int64) {
	if row := g.AppUsers.Find(app, user); row != nil && !row.Direct && g.Via(app, user) == "" {
		g.AppUsers.end(app, row, now)
	}
}

// Via returns the first group through which a user has an app, or "".
func (g *Graph) Via(app, user string) string {
	for i := range g.AppGroups.Versions(app) {
		if e := &g.AppGroups.Versions(app)[i]; e.Until == 0 && g.Members.Find(e.Child, user) != nil {
			return e.Child
		}
	}
	return ""
}

// AppsOf returns the apps that a group is assigned to.
func (g *Graph) AppsOf(group string) (apps []string) {
	for _, app := range g.AppGroups.Parents() {
		if g.AppGroups.Find(app, group) != nil {
			apps = append(apps, app)
		}
	}
	return apps
}

// AssignUser assigns a user to an app directly. A user who had the app through a
// group keeps the place in the list.
func (g *Graph) AssignUser(app, user string, status uint8, now int64) bool {
	e := Edge{Child: user, Order: now, From: now, Direct: true, Status: status}
	if row := g.AppUsers.Find(app, user); row != nil {
		if row.Direct && row.Status == status {
			return false
		}
		e.Order = row.Order
		g.AppUsers.end(app, row, now)
	}
	g.AppUsers.add(app, e)
	return true
}

// UnassignUser ends the direct assignment of a user. A user who also has the app
// through a group keeps it.
func (g *Graph) UnassignUser(app, user string, now int64) bool {
	row := g.AppUsers.Find(app, user)
	if row == nil || !row.Direct {
		return false
	}
	e := *row
	g.AppUsers.end(app, row, now)
	if !g.inactive[app] && g.Via(app, user) != "" {
		e.From, e.Direct = now, false
		g.AppUsers.add(app, e)
	}
	return true
}

// AssignGroup assigns a group, and with it its members, to an app.
func (g *Graph) AssignGroup(app, group string, priority int, now int64) bool {
	order := Order(priority, now)
	if row := g.AppGroups.Find(app, group); row != nil {
		if Priority(row.Order) == priority {
			return false
		}
		g.AppGroups.end(app, row, now)
	}
	g.AppGroups.add(app, Edge{Child: group, Order: order, From: now})
	if !g.inactive[app] {
		g.addMembers(app, group, now)
	}
	return true
}

// addMembers gives an app to the members of a group that don't have it.
func (g *Graph) addMembers(app, group string, now int64) {
	have := g.AppUsers.Children(app)
	for _, user := range slices.Sorted(maps.Keys(g.Members.Children(group))) {
		if !have[user] {
			g.AppUsers.add(app, Edge{Child: user, Order: now, From: now})
		}
	}
}

// UnassignGroup ends the assignment of a group to an app.
func (g *Graph) UnassignGroup(app, group string, now int64) bool {
	row := g.AppGroups.Find(app, group)
	if row == nil {
		return false
	}
	g.AppGroups.end(app, row, now)
	g.dropMembers(app, now)
	return true
}

// dropMembers ends the rows of the users that no group gives the app now.
func (g *Graph) dropMembers(app string, now int64) {
	have := map[string]bool{}
	for group := range g.AppGroups.Children(app) {
		maps.Copy(have, g.Members.Children(group))
	}
	g.AppUsers.endAll(app, now, func(e *Edge) bool { return !e.Direct && !have[e.Child] })
}

// SetActive activates or deactivates an app. An inactive app keeps its groups and
// its direct assignments, and loses its other users.
func (g *Graph) SetActive(app string, active bool, now int64) {
	g.inactive[app] = !active
	if !active {
		g.AppUsers.endAll(app, now, func(e *Edge) bool { return !e.Direct })
		return
	}
	for group := range g.AppGroups.Children(app) {
		g.addMembers(app, group, now)
	}
}

// SetStatus sets the status of a user in the apps that match. With direct, the
// assignment becomes a direct one.
func (g *Graph) SetStatus(user string, now int64, status uint8, direct bool, match func(app string, e *Edge) bool) {
	for _, app := range g.AppUsers.Parents() {
		if row := g.AppUsers.Find(app, user); row != nil && match(app, row) {
			e := *row
			g.AppUsers.end(app, row, now)
			e.From, e.Status, e.Direct = now, status, e.Direct || direct
			g.AppUsers.add(app, e)
		}
	}
}

// RemoveUser ends all edges of a user, and returns the groups that it was in.
func (g *Graph) RemoveUser(user string, now int64) (groups []string) {
	for _, group := range g.Members.Parents() {
		if e := g.Members.Find(group, user); e != nil {
			g.Members.end(group, e, now)
			groups = append(groups, group)
		}
	}
	for _, app := range g.AppUsers.Parents() {
		if e := g.AppUsers.Find(app, user); e != nil {
			g.AppUsers.end(app, e, now)
		}
	}
	return groups
}

// RemoveGroup ends all edges of a group, and the assignments that it gave.
func (g *Graph) RemoveGroup(group string, now int64) {
	g.Members.endAll(group, now, func(*Edge) bool { return true })
	for _, app := range g.AppsOf(group) {
		g.UnassignGroup(app, group, now)
	}
}

// RemoveApp ends all edges of an app.
func (g *Graph) RemoveApp(app string, now int64) {
	for _, t := range []*Table{g.AppUsers, g.AppGroups} {
		t.endAll(app, now, func(*Edge) bool { return true })
	}
}

package sandbox

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"time"

	"oktasync/oktaclient/sandbox/internal/edges"
)

// Edge is a version of an edge. Times are the org's.
type Edge struct {
	Parent, Child string    // ids
	From, Until   time.Time // Until zero: it exists
	Scope, Status string    // of AppUsers
	Priority      int       // of AppGroups
}

// Existed reports whether the edge existed at some time between two times, both
// included.
func (e Edge) Existed(from, to time.Time) bool {
	return !e.From.After(to) && (e.Until.IsZero() || !e.Until.Before(from))
}

// Lasted reports whether the edge existed all the time between two times, both
// included.
func (e Edge) Lasted(from, to time.Time) bool {
	return !e.From.After(from) && (e.Until.IsZero() || e.Until.After(to))
}

// AddMember adds a user to a group. The user gets the active apps of the group.
// Adding a member again changes nothing.
func (o *Org) AddMember(group, user string) error {
	return o.changeMember("add", group, user, (*edges.Graph).AddMember)
}

// RemoveMember removes a user from a group. The user loses the apps that no other
// assignment gives. A user can't be removed from Everyone.
func (o *Org) RemoveMember(group, user string) error {
	return o.changeMember("remove", group, user, (*edges.Graph).RemoveMember)
}

func (o *Org) changeMember(action, group, user string, change func(g *edges.Graph, group, user string, now int64) bool) error {
	if group == o.groupID(everyone) {
		return fmt.Errorf("%s member of group %s: it contains all users", action, group)
	}
	return o.changeEdge(edgeChange{name: action + " member", event: "group.user_membership." + action, parents: o.groups(), children: o.users,
		parent: group, child: user, apply: func(g *edges.Graph, now time.Time) {
			if change(g, group, user, now.UnixNano()) {
				o.stampGroup(group, now)
			}
		}})
}

// AssignUser assigns a user to an app. status is one of Okta's 13; "" is ACTIVE.
func (o *Org) AssignUser(app, user, status string) error {
	number := slices.Index(appUserStatuses, status)
	if status == "" {
		number = 0
	}
	if number < 0 {
		return fmt.Errorf("assign user %s: no status %q", user, status)
	}
	return o.changeEdge(edgeChange{name: "assign user", event: "application.user_membership.add", parents: o.apps(), children: o.users,
		parent: app, child: user, apply: func(g *edges.Graph, now time.Time) { g.AssignUser(app, user, uint8(number), now.UnixNano()) }})
}

// UnassignUser ends the direct assignment of a user to an app. A user who also has
// the app through a group keeps it.
func (o *Org) UnassignUser(app, user string) error {
	return o.changeEdge(edgeChange{name: "unassign user", event: "application.user_membership.remove", parents: o.apps(), children: o.users,
		parent: app, child: user, apply: func(g *edges.Graph, now time.Time) { g.UnassignUser(app, user, now.UnixNano()) }})
}

// AssignGroup assigns a group, and with it its members, to an app.
func (o *Org) AssignGroup(app, group string, priority int) error {
	return o.changeEdge(edgeChange{name: "assign group", event: "group.application_assignment.add", parents: o.apps(), children: o.groups(),
		parent: app, child: group, apply: func(g *edges.Graph, now time.Time) { g.AssignGroup(app, group, priority, now.UnixNano()) }})
}

// UnassignGroup ends the assignment of a group to an app.
func (o *Org) UnassignGroup(app, group string) error {
	return o.changeEdge(edgeChange{name: "unassign group", event: "group.application_assignment.remove", parents: o.apps(), children: o.groups(),
		parent: app, child: group, apply: func(g *edges.Graph, now time.Time) { g.UnassignGroup(app, group, now.UnixNano()) }})
}

// edgeChange is a change of an edge between two objects that must exist.
type edgeChange struct {
	name, event       string
	parents, children *store
	parent, child     string
	apply             func(*edges.Graph, time.Time)
}

func (o *Org) changeEdge(c edgeChange) error {
	g := o.edges()
	o.users.mu.RLock()
	defer o.users.mu.RUnlock()
	g.Lock()
	defer g.Unlock()
	var parent, child object
	if !c.parents.load(&parent, c.parent) {
		return fmt.Errorf("%s: no %s %s", c.name, c.parents.name, c.parent)
	}
	if c.children == o.users && !o.users.findLocked(&child, c.child) || c.children != o.users && !c.children.load(&child, c.child) {
		return fmt.Errorf("%s: no %s %s", c.name, c.children.name, c.child)
	}
	now := o.now()
	c.apply(g, now)
	o.log.add(now, c.event, &child, &parent)
	return nil
}

func (k EdgeKind) table(g *edges.Graph) *edges.Table {
	switch k {
	case GroupMembers:
		return g.Members
	case AppUsers:
		return g.AppUsers
	}
	return g.AppGroups
}

// Edges yields the edges of a kind that existed at a time, by parent, and for each
// parent in the order of its list. The zero time is now. It doesn't lag.
func (o *Org) Edges(kind EdgeKind, at time.Time) iter.Seq[Edge] {
	return func(yield func(Edge) bool) {
		for _, parent := range o.parents(kind) {
			for _, e := range o.EdgesOf(kind, parent) {
				if (at.IsZero() && e.Until.IsZero() || !at.IsZero() && !e.From.After(at) && (e.Until.IsZero() || e.Until.After(at))) && !yield(e) {
					return
				}
			}
		}
	}
}

func (o *Org) parents(kind EdgeKind) []string {
	g := o.edges()
	g.RLock()
	defer g.RUnlock()
	return kind.table(g).Parents()
}

// EdgesOf returns all versions of the edges of a parent, in the order of its list,
// those of one edge oldest first. An edge that exists has a version without Until.
func (o *Org) EdgesOf(kind EdgeKind, parent string) []Edge {
	g := o.edges()
	g.RLock()
	defer g.RUnlock()
	all := []Edge{}
	for _, v := range kind.table(g).Versions(parent) {
		e := Edge{Parent: parent, Child: v.Child, From: time.Unix(0, v.From)}
		if v.Until != 0 {
			e.Until = time.Unix(0, v.Until)
		}
		switch kind {
		case AppUsers:
			e.Status, e.Scope = appUserStatuses[v.Status], "GROUP"
			if v.Direct {
				e.Scope = "USER"
			}
		case AppGroups:
			e.Priority = edges.Priority(v.Order)
		}
		all = append(all, e)
	}
	return all
}

// EdgeJSON returns an edge as its list shows it now, byte for byte, but without a
// lag.
func (o *Org) EdgeJSON(kind EdgeKind, parent, child string) ([]byte, bool) {
	l := map[EdgeKind]func() *edgeList{GroupMembers: o.members, AppUsers: o.appUsers, AppGroups: o.appGroups}[kind]()
	g := o.edges()
	o.users.mu.RLock()
	defer o.users.mu.RUnlock()
	g.RLock()
	defer g.RUnlock()
	e := l.table.Find(parent, child)
	if e == nil {
		return nil, false
	}
	return bytes.Clone(l.appendJSON(nil, parent, e)), true
}

package access

import (
	"bytes"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// pathsOfUsers finds the paths of all users to apps, ordered by user. It merges the users and
// blocks of edges. The via of an edge is the index of an app, or the number of apps plus the
// index of a group.
type pathsOfUsers struct {
	*finder
	apps     []app    // sorted by id
	groups   []string // that give an app, sorted
	appsOf   map[string][]int
	assigned func(app, group string) *moment
	users    cursor

	implicit []int   // the apps that are open to all users
	ways     []way   // of the current user
	grants   []grant // of the current user and app
}

// A way is how a user has an app: through a row of app_users, through a group, or because the
// app is open to all users.
type way struct {
	app   int // its index
	given *assignment
	group string
	since *moment
}

// find passes the paths.
func (u *pathsOfUsers) find() error {
	var stop func()
	u.users, stop = newCursor(recordsOf(u.s, snapshot.Users), "id")
	defer stop()
	for i, a := range u.apps {
		if a.implicit {
			u.implicit = append(u.implicit, i)
		}
	}
	return eachBlock(u.block, u.setSince, func(block []edge, last bool) error {
		return mergeUsers(&u.users, len(u.implicit) > 0, block, last, u.pass)
	})
}

func (u *pathsOfUsers) appIndex(id string) (int, bool) {
	return slices.BinarySearchFunc(u.apps, id, func(a app, id string) int { return strings.Compare(a.id, id) })
}

func (u *pathsOfUsers) groupIndex(id string) (int, bool) {
	i, found := slices.BinarySearch(u.groups, id)
	return len(u.apps) + i, found
}

func (u *pathsOfUsers) block(after string) (block []edge, complete bool, err error) {
	b := blockBuilder{after: after}
	records := recordsOf(u.s, snapshot.AppUsers)
	if len(u.apps) == 1 {
		records = childrenOf(u.s, snapshot.AppUsers, []string{u.apps[0].id})
	}
	for record, err := range records {
		if err != nil {
			return nil, false, err
		}
		given, err := assignmentOf(record)
		if err != nil {
			return nil, false, err
		}
		if via, found := u.appIndex(given.app); found {
			b.add(edge{user: given.user, via: via, given: given})
		}
	}
	if err := b.addMembers(u.s, u.groups, len(u.apps)); err != nil {
		return nil, false, err
	}
	block, complete = b.done()
	return block, complete, nil
}

func (u *pathsOfUsers) setSince(block []edge) error {
	wanted := func(line []byte) bool { return len(u.apps) != 1 || bytes.Contains(line, []byte(u.apps[0].id)) }
	ofApps, err := u.seen.added(snapshot.AppUsers, wanted, func(c *diff.Change, m *moment) {
		if via, found := u.appIndex(c.Key["app_id"]); found {
			setSince(block, c.Key["user_id"], via, m)
		}
	})
	if err != nil {
		return err
	}
	ofGroups, err := u.seen.added(snapshot.GroupMembers, isMemberOf(u.groups), func(c *diff.Change, m *moment) {
		if via, found := u.groupIndex(c.Key["group_id"]); found {
			setSince(block, c.Key["user_id"], via, m)
		}
	})
	for i := range block {
		if e := &block[i]; e.since == nil && e.given != nil {
			e.since = ofApps
		} else if e.since == nil {
			e.since = ofGroups
		}
	}
	return err
}

// pass passes the paths of a user with these edges.
func (u *pathsOfUsers) pass(id string, edges []edge) error {
	record, err := u.users.take(id)
	if err == nil {
		err = u.user(id, record)
	}
	if err != nil {
		return err
	}
	ways := u.ways[:0]
	for _, i := range u.implicit {
		ways = append(ways, way{app: i})
	}
	for _, e := range edges {
		if e.given != nil {
			ways = append(ways, way{app: e.via, given: e.given, since: e.since})
			continue
		}
		group := u.groups[e.via-len(u.apps)]
		for _, i := range u.appsOf[group] {
			ways = append(ways, way{app: i, group: group, since: e.since.later(u.assigned(u.apps[i].id, group))})
		}
	}
	slices.SortStableFunc(ways, func(a, b way) int { return a.app - b.app })
	u.ways = ways
	for len(ways) > 0 {
		n := 1
		for n < len(ways) && ways[n].app == ways[0].app {
			n++
		}
		if err := u.passApp(u.apps[ways[0].app], ways[:n]); err != nil {
			return err
		}
		ways = ways[n:]
	}
	return nil
}

// passApp passes the paths of a user to an app.
func (u *pathsOfUsers) passApp(a app, ways []way) error {
	var given *assignment
	var since *moment
	grants := u.grants[:0]
	for _, w := range ways {
		switch {
		case w.given != nil:
			given, since = w.given, w.since
		case w.group != "":
			grants = append(grants, grant{w.group, w.since})
		}
	}
	u.grants = grants
	return u.emit(a, given, since, grants)
}

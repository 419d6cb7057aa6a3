package access

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
)

// pathsOfUsers finds the paths of all users to apps, ordered by user. It merges the users and
// blocks of edges.
type pathsOfUsers struct {
	*finder
	apps     []app    // sorted by id
	groups   []string // that give an app, sorted
	appsOf   map[string][]int
	assigned func(app, group string) *moment
	users    *userCursor

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

func (u *pathsOfUsers) find() error {
	u.users = newUserCursor(recordsOf(u.s, snapshot.Users))
	defer u.users.close()
	for i, a := range u.apps {
		if a.implicit {
			u.implicit = append(u.implicit, i)
		}
	}
	for after := ""; ; {
		b, err := u.block(after)
		if err == nil {
			err = u.setSince(b)
		}
		if err == nil {
			err = b.each(u.users, len(u.implicit) > 0, u.pass)
		}
		if err != nil {
			return err
		}
		if b.upTo == "" {
			return u.users.finish()
		}
		after = b.upTo
	}
}

func (u *pathsOfUsers) appIndex(id string) (int, bool) {
	return slices.BinarySearchFunc(u.apps, id, func(a app, id string) int { return strings.Compare(a.id, id) })
}

func (u *pathsOfUsers) groupIndex(id string) (int, bool) {
	return slices.BinarySearch(u.groups, id)
}

// block returns the edges of the lowest users after a user. It reads assignments and
// memberships at the same time.
func (u *pathsOfUsers) block(after string) (*block, error) {
	given, members := &blockBuilder{after: after}, &blockBuilder{after: after}
	err := both(func() error {
		records := recordsOf(u.s, snapshot.AppUsers)
		if len(u.apps) == 1 {
			records = childrenOf(u.s, snapshot.AppUsers, []string{u.apps[0].id})
		}
		return given.addAssignments(assignmentsOf(records), u.appIndex)
	}, func() error {
		return members.addMembers(childrenOf(u.s, snapshot.GroupMembers, u.groups), u.groupIndex)
	})
	if err != nil {
		return nil, err
	}
	return newBlock(given, members), nil
}

func (u *pathsOfUsers) setSince(b *block) error {
	wanted := func(line []byte) bool { return len(u.apps) != 1 || bytes.Contains(line, []byte(u.apps[0].id)) }
	ofApps, err := u.seen.added(snapshot.AppUsers, wanted, func(key []string, m *moment) {
		if via, found := u.appIndex(key[0]); found {
			setSince(b.given, key[1], via, m)
		}
	})
	if err != nil {
		return err
	}
	ofGroups, err := u.seen.added(snapshot.GroupMembers, isMemberOf(u.groups), func(key []string, m *moment) {
		if via, found := u.groupIndex(key[0]); found {
			setSince(b.members, key[1], via, m)
		}
	})
	setOthers(b.given, ofApps)
	setOthers(b.members, ofGroups)
	return err
}

// pass passes the paths of a user with these edges.
func (u *pathsOfUsers) pass(id string, given, members []edge) error {
	p, err := u.users.take(id)
	if err != nil {
		return err
	}
	u.user(id, p)
	ways := u.ways[:0]
	for _, i := range u.implicit {
		ways = append(ways, way{app: i})
	}
	for _, e := range given {
		ways = append(ways, way{app: e.via, given: e.given, since: e.since})
	}
	for _, e := range members {
		group := u.groups[e.via]
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

// both calls f in a goroutine and g, and returns when both have returned. It passes a panic
// in f on.
func both(f, g func() error) error {
	var err error
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		err = f()
	}()
	other := g()
	if <-done; panicked != nil {
		panic(panicked)
	}
	return cmp.Or(err, other)
}

package access

import (
	"maps"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// allUsers finds the paths of all users to all apps, ordered by user. It merges the users and
// blocks of edges. The via of an edge is the index of an app, or the number of apps and the
// index of a group.
type allUsers struct {
	*finder
	apps     []app    // sorted by id
	groups   []string // that give an app, sorted
	appsOf   map[string][]int
	assigned func(app, group string) moment
	users    cursor
}

// ofAll finds all paths.
func (f *finder) ofAll() error {
	u := &allUsers{finder: f, appsOf: make(map[string][]int)}
	f.groups = make(map[string]string)
	err := each(f.s, snapshot.Apps, func(record []byte) error {
		a, err := appOf(record)
		u.apps = append(u.apps, a)
		return err
	})
	if err == nil {
		err = f.eachAppGroup(func(app, group string) {
			if i, found := u.appIndex(app); found {
				u.appsOf[group], f.groups[group] = append(u.appsOf[group], i), ""
			}
		})
	}
	if err == nil {
		err = f.nameGroups()
	}
	if err == nil {
		u.assigned, err = f.appGroupsSince(func(string) bool { return true })
	}
	if err != nil {
		return err
	}
	u.groups = slices.Sorted(maps.Keys(f.groups))
	var stop func()
	u.users, stop = newCursor(recordsOf(u.s, snapshot.Users), "id")
	defer stop()
	implicit := slices.ContainsFunc(u.apps, func(a app) bool { return a.implicit })
	return eachBlock(u.block, u.setSince, func(block []edge, last bool) error {
		return mergeUsers(&u.users, implicit, block, last, u.pass)
	})
}

func (u *allUsers) appIndex(id string) (int, bool) {
	return slices.BinarySearchFunc(u.apps, id, func(a app, id string) int { return strings.Compare(a.id, id) })
}

func (u *allUsers) groupIndex(id string) (int, bool) {
	i, found := slices.BinarySearch(u.groups, id)
	return len(u.apps) + i, found
}

func (u *allUsers) block(after string) (block []edge, complete bool, err error) {
	b := blockBuilder{after: after}
	for record, err := range recordsOf(u.s, snapshot.AppUsers) {
		id, err := text(record, "app_id", err)
		if err != nil {
			return nil, false, err
		}
		user, err := text(record, "user_id", nil)
		if err != nil {
			return nil, false, err
		}
		if via, found := u.appIndex(id); found && b.wants(user) {
			given, err := assignmentOf(record)
			if err != nil {
				return nil, false, err
			}
			b.add(edge{user: user, via: via, given: given})
		}
	}
	if err := b.addMembers(u.s, u.groups, len(u.apps)); err != nil {
		return nil, false, err
	}
	block, complete = b.done()
	return block, complete, nil
}

func (u *allUsers) setSince(block []edge) error {
	isAny := func([]byte) bool { return true }
	ofApps, err := u.seen.added(snapshot.AppUsers, isAny, func(c *diff.Change, m moment) {
		if via, found := u.appIndex(c.Key["app_id"]); found {
			setSince(block, c.Key["user_id"], via, m)
		}
	})
	if err != nil {
		return err
	}
	ofGroups, err := u.seen.added(snapshot.GroupMembers, isMemberOf(u.groups), func(c *diff.Change, m moment) {
		if via, found := u.groupIndex(c.Key["group_id"]); found {
			setSince(block, c.Key["user_id"], via, m)
		}
	})
	for i := range block {
		if e := &block[i]; e.since.first == "" && e.given != nil {
			e.since = ofApps
		} else if e.since.first == "" {
			e.since = ofGroups
		}
	}
	return err
}

// pass passes the paths of a user with these edges.
func (u *allUsers) pass(id string, edges []edge) error {
	record, err := u.users.take(id)
	if err == nil {
		err = u.user(id, record)
	}
	if err != nil {
		return err
	}
	given, grants := make(map[int]edge), make(map[int][]grant)
	for _, e := range edges {
		if e.given != nil {
			given[e.via] = e
			continue
		}
		group := u.groups[e.via-len(u.apps)]
		for _, i := range u.appsOf[group] {
			grants[i] = append(grants[i], grant{group, e.since.later(u.assigned(u.apps[i].id, group))})
		}
	}
	for i, a := range u.apps {
		if e := given[i]; e.given != nil || grants[i] != nil || a.implicit {
			if err := u.emit(a, e.given, e.since, grants[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

package access

import (
	"maps"
	"slices"

	"oktasync/reconcile/snapshot"
)

// ofAll finds all paths.
func (f *finder) ofAll() error {
	u := &pathsOfUsers{finder: f, appsOf: make(map[string][]int)}
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
	return u.find()
}

// ofApps finds the paths to the app of the query, or to all apps that the group of the
// query gives.
func (f *finder) ofApps() error {
	groupsOf := make(map[string][]string) // by app
	f.groups = make(map[string]string)
	err := f.eachAppGroup(func(app, group string) {
		if (f.query.App == "" || app == f.query.App) && (f.query.Group == "" || group == f.query.Group) {
			groupsOf[app] = append(groupsOf[app], group)
			f.groups[group] = ""
		}
	})
	if err == nil {
		err = f.nameGroups()
	}
	if err != nil {
		return err
	}
	assigned, err := f.appGroupsSince(func(group string) bool { _, wanted := f.groups[group]; return wanted })
	if err != nil {
		return err
	}
	return each(f.s, snapshot.Apps, func(record []byte) error {
		a, err := appOf(record)
		if err != nil || a.id != f.query.App && (f.query.App != "" || groupsOf[a.id] == nil) {
			return err
		}
		if f.query.Group != "" {
			a.implicit = false // only paths through the group are wanted
		}
		u := &pathsOfUsers{finder: f, apps: []app{a}, groups: groupsOf[a.id], appsOf: make(map[string][]int), assigned: assigned}
		for _, group := range u.groups {
			u.appsOf[group] = []int{0}
		}
		return u.find()
	})
}

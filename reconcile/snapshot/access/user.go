package access

import (
	"bytes"
	"slices"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// ofUser finds the paths of one user. It keeps the groups and the assignments of the user
// in memory.
func (f *finder) ofUser() error {
	record, err := f.record(snapshot.Users, f.query.User)
	if err != nil {
		return err
	}
	var p Person
	if record != nil {
		if p, err = NewPersonReader().Read(record); err != nil {
			return err
		}
	}
	f.user(f.query.User, p)
	grants, err := f.grantsOfUser()
	if err != nil {
		return err
	}
	given := make(map[string]*assignment) // by app
	for a, err := range assignmentsOf(containing(f.s, snapshot.AppUsers, "user_id", f.query.User)) {
		if err != nil {
			return err
		}
		given[a.app] = &a
	}
	since, err := f.since(snapshot.AppUsers, "app_id")
	if err != nil {
		return err
	}
	return each(f.s, snapshot.Apps, func(record []byte) error {
		a, err := appOf(record)
		if err != nil || f.query.App != "" && a.id != f.query.App {
			return err
		}
		return f.emit(a, given[a.id], since(a.id), grants[a.id])
	})
}

// grantsOfUser returns the groups of the user that give an app, by app.
func (f *finder) grantsOfUser() (map[string][]grant, error) {
	groups := make(map[string]bool)
	for record, err := range containing(f.s, snapshot.GroupMembers, "user_id", f.query.User) {
		var id string
		if err == nil {
			id, err = canonjson.Text(record, "group_id")
		}
		if err != nil {
			return nil, err
		}
		groups[id] = true
	}
	joined, err := f.since(snapshot.GroupMembers, "group_id")
	if err != nil {
		return nil, err
	}
	assigned, err := f.appGroupsSince(func(group string) bool { return groups[group] })
	if err != nil {
		return nil, err
	}
	grants := make(map[string][]grant)
	f.groups = make(map[string]string)
	err = f.eachAppGroup(func(app, group string) {
		if groups[group] {
			grants[app] = append(grants[app], grant{group, joined(group).later(assigned(app, group))})
			f.groups[group] = ""
		}
	})
	if err != nil {
		return nil, err
	}
	return grants, f.nameGroups()
}

// since returns since when an edge of r to the user exists. name is the member with the
// other end of the edge.
func (f *finder) since(r *snapshot.Resource, name string) (func(id string) *moment, error) {
	found := make(map[string]*moment)
	user, other := r.UserPart(), slices.Index(r.Key, name)
	others, err := f.seen.added(r, func(line []byte) bool { return bytes.Contains(line, []byte(f.query.User)) }, func(key []string, m *moment) {
		if _, known := found[key[other]]; key[user] == f.query.User && !known {
			found[key[other]] = m
		}
	})
	return func(id string) *moment {
		if m, ok := found[id]; ok {
			return m
		}
		return others
	}, err
}

// appGroupsSince returns since when a group is assigned to an app, for the wanted groups.
func (f *finder) appGroupsSince(wanted func(group string) bool) (func(app, group string) *moment, error) {
	type edge struct{ app, group string }
	found := make(map[edge]*moment)
	others, err := f.seen.added(snapshot.AppGroups, func([]byte) bool { return true }, func(key []string, m *moment) {
		e := edge{app: key[0], group: key[1]}
		if _, known := found[e]; !known && wanted(e.group) {
			found[e] = m
		}
	})
	return func(app, group string) *moment {
		if m, ok := found[edge{app, group}]; ok {
			return m
		}
		return others
	}, err
}

// eachAppGroup calls visit for each group that is assigned to an app.
func (f *finder) eachAppGroup(visit func(app, group string)) error {
	return each(f.s, snapshot.AppGroups, func(record []byte) error {
		app, err := canonjson.Text(record, "app_id")
		if err != nil {
			return err
		}
		group, err := canonjson.Text(record, "group_id")
		visit(app, group)
		return err
	})
}

// nameGroups sets the names of f.groups.
func (f *finder) nameGroups() error {
	return each(f.s, snapshot.Groups, func(record []byte) error {
		id, err := canonjson.Text(record, "id")
		if _, wanted := f.groups[id]; !wanted || err != nil {
			return err
		}
		f.groups[id], err = canonjson.Text(record, snapshot.Groups.Label.Path)
		return err
	})
}

// record returns the record of r with this id, or nil if there is none.
func (f *finder) record(r *snapshot.Resource, id string) (found []byte, err error) {
	for record, err := range containing(f.s, r, "id", id) {
		if err != nil {
			return nil, err
		}
		if is, err := canonjson.Text(record, "id"); err != nil || is != id {
			continue // a member below has this id
		}
		found = bytes.Clone(record)
	}
	return found, nil
}

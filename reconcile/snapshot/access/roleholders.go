package access

import (
	"cmp"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// maxHolders is how many members of groups with roles are in memory at a time.
var maxHolders = 1 << 15

// A roleFinder finds the rows of a query. It keeps the roles in memory, and reads the
// members of groups in blocks.
type roleFinder struct {
	s       *snapshot.Snapshot
	query   RoleQuery
	yield   func(*RoleRow, error) bool
	seen    *timeline
	members bool            // the members of groups are recorded
	ofUser  map[string]bool // the groups of the user of the query
	client  string          // the client ID of the app of the query

	roles  []role
	totals map[string]int // members by group
	row    RoleRow
}

// A holder is a member of a group with a role.
type holder struct {
	user  string
	since *moment // of the membership
}

func (f *roleFinder) find() error {
	f.members = isRecorded(f.s, snapshot.GroupMembers)
	for _, step := range []func() error{f.findGroupsOfUser, f.findClient, f.readRoles, f.setSince, f.setNames, f.countMembers} {
		if err := step(); err != nil {
			return err
		}
	}
	for rest := f.roles; len(rest) > 0; {
		n := f.fitting(rest)
		for after, more := "", true; more; {
			var err error
			if after, err = f.pass(rest[:n], after); err != nil {
				return err
			}
			more = after != ""
		}
		rest = rest[n:]
	}
	return nil
}

func (f *roleFinder) findGroupsOfUser() error {
	if f.query.User == "" || !f.members {
		return nil
	}
	f.ofUser = make(map[string]bool)
	for record, err := range containing(f.s, snapshot.GroupMembers, "user_id", f.query.User) {
		group, err := text(record, "group_id", err)
		if err != nil {
			return err
		}
		f.ofUser[group] = true
	}
	return nil
}

func (f *roleFinder) findClient() error {
	f.client = f.query.App
	if f.client == "" {
		return nil
	}
	return eachIfRecorded(f.s, snapshot.Apps, func(record []byte) error {
		id, client, err := clientOf(record)
		if id == f.query.App {
			f.client = client
		}
		return err
	})
}

// clientOf returns the id of an app, and its client ID, which is mostly the same.
func clientOf(app []byte) (id, client string, err error) {
	if id, err = canonjson.Text(app, "id"); err != nil {
		return "", "", err
	}
	client, err = canonjson.Text(app, "credentials.oauthClient.client_id")
	return id, cmp.Or(client, id), err
}

// readRoles reads the roles that the query selects, in the order of rows.
func (f *roleFinder) readRoles() error {
	for r, err := range rolesOf(f.s) {
		if err != nil {
			return err
		}
		if q := f.query; r.is(q.Role) && (q.Group == "" || r.GroupID == q.Group) && (q.App == "" || r.ClientID == f.client) &&
			(q.User == "" || r.UserID == q.User || f.ofUser[r.GroupID]) {
			f.roles = append(f.roles, r)
		}
	}
	slices.SortFunc(f.roles, func(a, b role) int { return a.compare(&b.RoleRow) })
	return nil
}

// setSince sets since when the roles exist.
func (f *roleFinder) setSince() error {
	wanted := make(map[[5]string]*role)
	for i := range f.roles {
		wanted[f.roles[i].key()] = &f.roles[i]
	}
	others, err := f.seen.added(snapshot.RoleAssignments, func([]byte) bool { return true }, func(key []string, m *moment) {
		r := wanted[[5]string(key)]
		if r != nil && r.since == nil {
			r.since = m
		}
	})
	for i := range f.roles {
		if r := &f.roles[i]; r.since == nil {
			r.since = others
		}
	}
	return err
}

// setNames sets the names of groups and service apps.
func (f *roleFinder) setNames() error {
	named := make(map[string][]*role) // by the id of the group or client
	for i := range f.roles {
		if r := &f.roles[i]; r.PrincipalType != "USER" {
			named[r.GroupID+r.ClientID] = append(named[r.GroupID+r.ClientID], r)
		}
	}
	err := eachIfRecorded(f.s, snapshot.Groups, func(record []byte) error {
		id, err := canonjson.Text(record, "id")
		for _, r := range named[id] {
			if r.GroupName, err = canonjson.Text(record, snapshot.Groups.Label.Path); err != nil {
				break
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return eachIfRecorded(f.s, snapshot.Apps, func(record []byte) error {
		_, id, err := clientOf(record)
		for _, r := range named[id] {
			var a app
			if a, err = appOf(record); err != nil {
				break
			}
			r.Name, r.Note = a.label, noteOnStatus("app", a.status)
		}
		return err
	})
}

// countMembers counts the members of the groups.
func (f *roleFinder) countMembers() error {
	f.totals = make(map[string]int)
	if f.query.User != "" {
		return nil // its rows through groups are one for each role
	}
	return f.eachMember(f.roles, func(group, _ string) { f.totals[group]++ })
}

// eachMember calls visit for the members of the groups that have one of the roles.
func (f *roleFinder) eachMember(roles []role, visit func(group, user string)) error {
	groups := groupsOf(roles)
	if len(groups) == 0 || !f.members {
		return nil
	}
	for record, err := range childrenOf(f.s, snapshot.GroupMembers, groups) {
		group, err := text(record, "group_id", err)
		if err != nil {
			return err
		}
		user, err := text(record, "user_id", nil)
		if err != nil {
			return err
		}
		visit(group, user)
	}
	return nil
}

// groupsOf returns the groups that have one of the roles, sorted.
func groupsOf(roles []role) (groups []string) {
	for i := range roles {
		if roles[i].GroupID != "" {
			groups = append(groups, roles[i].GroupID)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// fitting returns the number of roles whose holders are read in one block. It is at least 1.
func (f *roleFinder) fitting(roles []role) (n int) {
	for rows := 0; n < len(roles); n++ {
		if rows += 1 + f.totals[roles[n].GroupID]; rows > maxHolders && n > 0 {
			break
		}
	}
	return n
}

// pass passes the rows of roles that fit into a block. If a group has too many members, it
// passes those after a user, and returns the last one; "": there are no more.
func (f *roleFinder) pass(roles []role, after string) (last string, err error) {
	members, err := f.holders(roles, after)
	if err != nil {
		return "", err
	}
	people, err := f.people(roles, members)
	if err != nil {
		return "", err
	}
	for i := range roles {
		if err := f.passRole(&roles[i], members[roles[i].GroupID], people, after == ""); err != nil {
			return "", err
		}
	}
	if list := members[roles[0].GroupID]; len(list) == maxHolders && len(roles) == 1 {
		last = list[len(list)-1].user
	}
	return last, nil
}

// holders returns the members of the groups that have one of the roles, after a user and at
// most maxHolders for each group, sorted.
func (f *roleFinder) holders(roles []role, after string) (map[string][]holder, error) {
	groups := groupsOf(roles)
	members := make(map[string][]holder)
	if f.query.User != "" {
		for _, group := range groups {
			members[group] = []holder{{user: f.query.User}}
		}
	} else if err := f.eachMember(roles, func(group, user string) {
		if user > after && len(members[group]) < maxHolders {
			members[group] = append(members[group], holder{user: user})
		}
	}); err != nil {
		return nil, err
	}
	if len(members) == 0 {
		return nil, nil
	}
	others, err := f.seen.added(snapshot.GroupMembers, isMemberOf(groups), func(key []string, m *moment) {
		list := members[key[0]]
		i, found := slices.BinarySearchFunc(list, key[1], func(h holder, user string) int { return strings.Compare(h.user, user) })
		if found && list[i].since == nil {
			list[i].since = m
		}
	})
	for _, list := range members {
		for i := range list {
			if list[i].since == nil {
				list[i].since = others
			}
		}
	}
	return members, err
}

// people returns the users among the holders, by id.
func (f *roleFinder) people(roles []role, members map[string][]holder) (map[string]Person, error) {
	people := make(map[string]Person)
	for _, r := range roles {
		people[r.UserID] = Person{}
	}
	for _, list := range members {
		for _, h := range list {
			people[h.user] = Person{}
		}
	}
	reader := NewPersonReader()
	return people, eachIfRecorded(f.s, snapshot.Users, func(record []byte) error {
		id, err := text(record, "id", nil)
		if _, wanted := people[id]; !wanted || err != nil {
			return err
		}
		people[id], err = reader.Read(record)
		return err
	})
}

// passRole passes the rows of a role. The row of a group comes first, and only if first is
// true.
func (f *roleFinder) passRole(r *role, members []holder, people map[string]Person, first bool) error {
	if r.GroupID == "" || first && f.query.User == "" {
		if r.GroupID != "" && !f.members {
			r.Note = "the members of the group aren't recorded"
		} else if r.GroupID != "" && len(members) == 0 {
			r.Note = "the group has no members"
		}
		if err := f.passRow(r, r.UserID, people[r.UserID], r.since); err != nil {
			return err
		}
	}
	for _, h := range members {
		if err := f.passRow(r, h.user, people[h.user], r.since.later(h.since)); err != nil {
			return err
		}
	}
	return nil
}

// passRow passes the row of a user, or that of a group or client if user is "".
func (f *roleFinder) passRow(r *role, user string, p Person, since *moment) error {
	f.row = r.RoleRow
	row := &f.row
	row.FirstSeen, row.AbsentIn, row.ReadAt = since.first, since.absent, f.s.Manifest.Read.Started.String()
	if user != "" {
		row.UserID, row.Login, row.Name, row.UserStatus, row.LastLogin = user, p.Login, p.Name, p.Status, p.LastLogin
		row.Note = noteOnStatus("user", p.Status)
		if r.GroupID != "" {
			row.Via, row.GrantedAtOkta = Group, ""
		}
	}
	if row.Note == "" && row.Status != "ACTIVE" {
		row.Note = "the role is " + row.Status
	}
	if !f.yield(row, nil) {
		return errStopped
	}
	return nil
}

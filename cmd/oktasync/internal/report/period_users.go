package report

import (
	"cmp"
	"slices"
	"strings"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// userEvents has the users of the events that reports list.
type userEvents struct {
	*period
	people *access.PersonReader
	users  map[string]*user
}

func newUserEvents(p *period) (*userEvents, error) {
	u := &userEvents{p, access.NewPersonReader(), make(map[string]*user)}
	for e, err := range p.events(otherThanChanged, snapshot.Users) {
		if err == nil && snapshot.Users.Heading(e.Kind) != snapshot.Others {
			err = u.add(e)
		}
		if err != nil {
			return nil, err
		}
	}
	if !slices.Contains(p.o.Snapshot.Recorded(), snapshot.Users) {
		return u, nil
	}
	return u, recordsOf(p.o.Snapshot, snapshot.Users, func(record []byte) error {
		id, err := canonjson.Text(record, "id")
		if _, wanted := u.users[id]; !wanted || err != nil {
			return err
		}
		u.users[id], err = u.read(record)
		return err
	})
}

func (u *userEvents) read(record []byte) (*user, error) {
	p, err := u.people.Read(record)
	return &user{p}, err
}

// add adds the user of an event, as far as the event has attributes.
func (u *userEvents) add(e *event) (err error) {
	id := e.ID()
	switch e.Op {
	case diff.OpAdded:
		u.users[id], err = u.read(e.After)
	case diff.OpRemoved:
		u.users[id], err = u.read(e.Before)
	default:
		if u.users[id] == nil {
			u.users[id] = &user{access.Person{ID: id, Login: e.Login}}
		}
	}
	if err == nil {
		u.users[id].Status = "" // not in the last snapshot
	}
	return err
}

// An eventTable is a section whose rows are events of users.
type eventTable struct {
	id, title string
	method    []string
	missing   string                                              // see document.Section
	columns   []string                                            // between those of the person, and status and seen_in
	cells     func(e *event) (cells []string, ok bool, err error) // of columns
}

// section returns a section. start, if not nil, is called before the rows are read.
func (u *userEvents) section(t eventTable, start func()) document.Section {
	s := document.Section{ID: t.id, Title: t.title, Method: t.method, Gaps: u.gaps(snapshot.Users), Missing: cmp.Or(u.missing(snapshot.Users), t.missing)}
	last := u.last()
	if left := last.unrecorded(slices.Clone(userPaths)...); len(left) > 0 {
		s.Method = append(s.Method, "Not recorded in the last snapshot: "+strings.Join(left, ", ")+".")
	}
	s.Columns = columns(slices.Concat([]string{"login", "name", "department", "manager"}, t.columns, []string{"status", "seen_in"})...)
	s.Rows = func(yield func(document.Row, error) bool) {
		if start != nil {
			start()
		}
		for e, err := range u.events(otherThanChanged, snapshot.Users) {
			var cells []string
			wanted := false
			if err == nil {
				cells, wanted, err = t.cells(e)
			}
			if err != nil {
				yield(document.Row{}, err)
				return
			}
			if !wanted {
				continue
			}
			person := u.users[e.ID()]
			row := document.Row{Key: e.key(), Link: u.links.user(e.ID())}
			row.Cells = slices.Concat(last.person(person), cells, []string{person.Status, e.seen.Name()})
			if !yield(row, nil) {
				return
			}
		}
	}
	return s
}

// last returns the state at the end of the period.
func (p *period) last() *stateOf { return &stateOf{s: p.o.Snapshot} }

// person returns the first cells of the sections about a period.
func (s *stateOf) person(u *user) []string {
	return []string{
		s.orNotRecorded(u.Login, "profile.login"), s.orNotRecorded(u.Name, "profile.displayName", "profile.firstName", "profile.lastName"),
		s.orNotRecorded(u.Department, "profile.department"), s.orNotRecorded(u.Manager, managerPaths...),
	}
}

func columns(names ...string) []document.Column {
	list := make([]document.Column, len(names))
	for i, name := range names {
		list[i].Name = name
	}
	return list
}

// personMethod explains the columns of each section of users.
const personMethod = "The attributes and the status are those of the last snapshot. An account that isn't in this snapshot is listed with its earlier attributes, and without a status. " +
	"seen_in is the snapshot whose read saw the event first."

func (u *userEvents) joiners() document.Section {
	return u.section(eventTable{
		id: "joiners", title: "Joiners",
		method:  []string{"Accounts that joined (were created), were activated or were reactivated. One row is one event. at_okta is the time in Okta's record.", personMethod},
		columns: []string{"event", "at_okta"},
		cells: func(e *event) ([]string, bool, error) {
			at, err := e.atOkta()
			at = (&stateOf{s: e.seen}).orNotRecorded(at, e.resource.Dates[e.Kind]...)
			return []string{string(e.Kind), at}, snapshot.Users.Heading(e.Kind) == snapshot.Joiners, err
		},
	}, nil)
}

// atOkta returns the time of the event in the record, or "".
func (e *event) atOkta() (at string, err error) {
	if e.Op == diff.OpRemoved {
		return "", nil
	}
	for _, path := range e.resource.Dates[e.Kind] {
		if at, err = canonjson.Text(e.After, path); at != "" || err != nil {
			break
		}
	}
	return at, err
}

func (u *userEvents) movers() document.Section {
	return u.moves("movers", "Movers", "Accounts with a change of an attribute that the declaration lists under changes.moved, unless only the manager changed. One row is one event.", false)
}

func (u *userEvents) managerChanges() document.Section {
	return u.moves("manager-changes", "Changes of only the manager", "Accounts of which only profile.manager or profile.managerId changed, among the attributes that the declaration lists under changes.moved. One row is one event.", true)
}

func (u *userEvents) moves(id, title, method string, managerOnly bool) document.Section {
	missing := ""
	if managerOnly {
		missing = u.neverRecorded(managerPaths...)
	}
	return u.section(eventTable{
		id: id, title: title, missing: missing,
		method:  []string{method, "If an account moved, and also joined or was closed between the same two reads, only the sections about joiners and closed accounts list it.", personMethod},
		columns: []string{"changes"},
		cells: func(e *event) ([]string, bool, error) {
			if e.Kind != diff.Moved {
				return nil, false, nil
			}
			paths := movedPaths(e)
			only := !slices.ContainsFunc(paths, func(path string) bool { return !slices.Contains(managerPaths, path) })
			return []string{changesText(e.Change, paths)}, only == managerOnly, nil
		},
	}, nil)
}

// neverRecorded returns why no snapshot of the period has users with these attributes, or ""
// if one has them.
func (p *period) neverRecorded(paths ...string) (why string) {
	for _, s := range p.snapshots {
		if why = (&stateOf{s: s}).missing(paths...); why == "" {
			return ""
		}
	}
	return why
}

// movedPaths returns the changed attributes that make e a move.
func movedPaths(e *event) []string {
	moved := e.seen.Manifest.Declared.Resources[snapshot.Users.Name].Changes.Moved
	return slices.DeleteFunc(slices.Clone(e.Paths), func(path string) bool { return !canonjson.CoversAny(moved, path) })
}

// changesText returns the values of paths before and after c.
func changesText(c *diff.Change, paths []string) string {
	var parts []string
	for _, path := range paths {
		parts = append(parts, path+": "+ValueText(c.Before, path)+" -> "+ValueText(c.After, path))
	}
	return strings.Join(parts, "; ")
}

// ValueText returns the JSON value at a dotted path of an object in canonical form, or
// "none".
func ValueText(object []byte, path string) string {
	value, err := canonjson.FindPath(object, path)
	if err != nil || string(value) == "null" {
		return "none"
	}
	return cmp.Or(string(value), "none")
}

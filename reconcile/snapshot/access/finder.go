package access

import (
	"errors"
	"iter"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// A finder finds the paths of one query.
type finder struct {
	s      *snapshot.Snapshot
	query  Query
	yield  func(*Row, error) bool
	seen   *timeline
	readAt string
	groups map[string]string // names by id
	row    Row
}

// errStopped means that the caller needs no more rows.
var errStopped = errors.New("stopped")

// An app is an app that paths lead to.
type app struct {
	id, label, status string
	implicit          bool // it is open to all users
}

func appOf(record []byte) (app, error) {
	var a app
	for path, value := range map[string]*string{"id": &a.id, "label": &a.label, "status": &a.status} {
		var err error
		if *value, err = canonjson.Text(record, path); err != nil {
			return a, err
		}
	}
	implicit, err := canonjson.FindPath(record, "settings.implicitAssignment")
	a.implicit = string(implicit) == "true"
	return a, err
}

// An assignment is a row of app_users.
type assignment struct {
	app, user                        string // ids
	scope, status, username, created string
}

// assignmentsOf returns the assignments of records of app_users.
func assignmentsOf(records iter.Seq2[[]byte, error]) iter.Seq2[assignment, error] {
	return func(yield func(assignment, error) bool) {
		var a assignment
		texts := canonjson.NewTexts(map[string]*string{
			"app_id": &a.app, "user_id": &a.user, "scope": &a.scope, "status": &a.status, "username": &a.username, "created": &a.created,
		})
		for record, err := range records {
			if err == nil {
				err = texts.Read(record)
			}
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// A grant is a group through which a user has an app.
type grant struct {
	group string
	since *moment
}

// user sets the values of the row that a user decides. p is zero if the user isn't recorded.
func (f *finder) user(id string, p Person) {
	f.row = Row{
		UserID: id, ReadAt: f.readAt, Login: p.Login, Name: p.Name, UserStatus: p.Status, LastLogin: p.LastLogin,
		Department: p.Department, Manager: p.Manager,
	}
}

// emit passes the paths of the user in f.row to an app. given is the row of app_users, or
// nil, and since is when it was first seen. grants are sorted by group.
func (f *finder) emit(a app, given *assignment, since *moment, grants []grant) error {
	r := &f.row
	r.AppID, r.AppLabel, r.AppStatus = a.id, a.label, a.status
	r.AppUsername, r.AssignmentStatus = "", ""
	if given != nil {
		r.AppUsername, r.AssignmentStatus = given.username, given.status
	}
	throughGroup := given != nil && given.scope == "GROUP"
	if given != nil && !throughGroup {
		if err := f.path(Direct, "", given.created, since); err != nil {
			return err
		}
	}
	created := ""
	if throughGroup {
		created = given.created
	}
	for _, g := range grants {
		if err := f.path(Group, g.group, created, g.since); err != nil {
			return err
		}
	}
	if throughGroup && len(grants) == 0 {
		if err := f.path(Group, "", created, since); err != nil {
			return err
		}
	}
	if a.implicit {
		return f.path(Implicit, "", "", new(moment))
	}
	return nil
}

func (f *finder) path(via, group, granted string, since *moment) error {
	if f.query.Group != "" && group != f.query.Group {
		return nil
	}
	r := &f.row
	r.Via, r.GroupID, r.GroupName, r.GrantedAtOkta = via, group, f.groups[group], granted
	r.FirstSeen, r.AbsentIn = since.first, since.absent
	r.Usable, r.UsableReason = usable(r)
	if !f.yield(r, nil) {
		return errStopped
	}
	return nil
}

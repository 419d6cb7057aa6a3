package report

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
)

// A user is a row of the sections about users. Attributes that aren't recorded are "".
type user struct{ access.Person }

// isOpen reports whether the user can sign in, or can after a new password or an unlock.
func (u *user) isOpen() bool { return slices.Contains(openStatuses, u.Status) }

var openStatuses = []string{"ACTIVE", "PASSWORD_EXPIRED", "RECOVERY", "LOCKED_OUT"}

// userColumns are the first columns of the sections about users.
var userColumns = []string{"login", "name", "status", "department", "manager", "last_login", "created"}

// userPaths are the attributes in userColumns and statusChanged.
var userPaths = []string{
	"profile.login", "profile.displayName", "profile.firstName", "profile.lastName", "profile.department", "profile.manager", "profile.managerId",
	"lastLogin", "created", "statusChanged",
}

func (u *user) cells() []string {
	return []string{u.Login, u.Name, u.Status, u.Department, u.Manager, u.LastLogin, u.Created}
}

// recordsOf calls visit for each record of r in s. The record is valid during the call.
func recordsOf(s *snapshot.Snapshot, r *snapshot.Resource, visit func(record []byte) error) error {
	records, err := s.Records(r)
	if err != nil {
		return err
	}
	defer records.Close()
	for record, err := range snapshot.Records(records) {
		if err == nil {
			err = visit(record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stateOf computes the sections about the users of a snapshot.
type stateOf struct {
	s   *snapshot.Snapshot
	now time.Time // when the read began

	before, after []func() error // steps before and after the users are read
}

func (s *stateOf) records(r *snapshot.Resource) bool { return slices.Contains(s.s.Recorded(), r) }

// unrecorded returns those of paths that no user has, because the export leaves them out.
func (s *stateOf) unrecorded(paths ...string) []string {
	declared := s.s.Manifest.Declared.Resources[snapshot.Users.Name].Attributes
	return slices.DeleteFunc(paths, func(path string) bool { return snapshot.Users.CanHave(path, declared) })
}

// missing returns why the users have none of these attributes, or "" if they can have one.
func (s *stateOf) missing(paths ...string) string {
	if left := s.unrecorded(slices.Clone(paths)...); len(left) == len(paths) {
		return "Not recorded: " + strings.Join(left, ", ") + "."
	}
	return ""
}

// notRecorded is a cell for a value that the snapshot doesn't record.
const notRecorded = "not recorded"

// orNotRecorded returns cell, or notRecorded if the cell is empty because no user has any of
// the attributes.
func (s *stateOf) orNotRecorded(cell string, paths ...string) string {
	if cell == "" && s.missing(paths...) != "" {
		return notRecorded
	}
	return cell
}

// A userTable is a section whose rows are users. It keeps them in memory.
type userTable struct {
	id, title string
	method    []string
	columns   []string // after userColumns
	missing   string   // see document.Section

	// accepts reports whether the user of a record has a row. since is its time, and cells
	// are those of columns.
	accepts func(u *user, record []byte) (since string, cells []string, ok bool)

	rows []userRow
}

type userRow struct {
	user  *user
	time  string // Okta's; the rows with the earliest time come first; "": none
	cells []string
}

// section returns t with its rows in their order.
func (t *userTable) section(l links) document.Section {
	s := document.Section{ID: t.id, Title: t.title, Method: t.method, Missing: t.missing}
	for _, name := range slices.Concat(userColumns, t.columns) {
		s.Columns = append(s.Columns, document.Column{Name: name})
	}
	if t.missing != "" {
		return s
	}
	slices.SortStableFunc(t.rows, func(a, b userRow) int { return cmp.Compare(a.time, b.time) })
	s.Rows = t.each(l)
	return s
}

func (t *userTable) each(l links) iter.Seq2[document.Row, error] {
	return func(yield func(document.Row, error) bool) {
		for _, r := range t.rows {
			row := document.Row{Key: r.user.ID, Cells: slices.Concat(r.user.cells(), r.cells), Link: l.user(r.user.ID)}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// days returns the whole days from a time of Okta to now, or "" if the time is "".
func days(since string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return ""
	}
	return strconv.Itoa(int(now.Sub(t) / (24 * time.Hour)))
}

// before reports whether a time of Okta is before t. "" isn't.
func before(since string, t time.Time) bool {
	at, err := time.Parse(time.RFC3339, since)
	return err == nil && at.Before(t)
}

// Package access finds who is assigned which app or admin role in a snapshot, and through
// what: directly, through a group, or because an app is open to all users.
//
// The commands access and report use it. Start reading at [Paths] and [Roles]
// (paths.go), and at their rows, [Row] (access.go) and [RoleRow] (roles.go). The other
// files: user.go (the paths of one user), apps.go (the paths to apps), users.go and
// block.go (the users of these apps), person.go (attributes of users), finder.go
// (common code), roleholders.go (holders of roles, also the members of groups), scan.go
// (finds records without parsing the others), seen.go (the snapshot in which a path
// appeared), find.go (objects by their names). Memory grows with the groups, apps and
// role assignments, but not with users, memberships and app assignments.
package access

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
)

// A Row is one path from a user to an app. The values of an attribute that isn't recorded
// are empty.
type Row struct {
	Login            string
	Name             string
	UserStatus       string
	Department       string
	Manager          string
	LastLogin        string
	AppLabel         string
	AppStatus        string
	AppUsername      string
	AssignmentStatus string // of the row in app_users; "": there is none
	Usable           string // yes, no or unknown
	UsableReason     string // why it isn't yes
	Via              string // direct, group or implicit
	GroupName        string
	GrantedAtOkta    string // when Okta made the row in app_users
	FirstSeen        string // the snapshot
	AbsentIn         string // the snapshot before FirstSeen; "": there is none to compare with
	ReadAt           string // when the read of the snapshot began
	UserID           string
	AppID            string
	GroupID          string // "" also if Okta names no group for a row with the scope GROUP
}

var columns = []column[Row]{
	{"login", func(r *Row) string { return r.Login }},
	{"name", func(r *Row) string { return r.Name }},
	{"user_status", func(r *Row) string { return r.UserStatus }},
	{"department", func(r *Row) string { return r.Department }},
	{"manager", func(r *Row) string { return r.Manager }},
	{"last_login", func(r *Row) string { return r.LastLogin }},
	{"app_label", func(r *Row) string { return r.AppLabel }},
	{"app_status", func(r *Row) string { return r.AppStatus }},
	{"app_username", func(r *Row) string { return r.AppUsername }},
	{"assignment_status", func(r *Row) string { return r.AssignmentStatus }},
	{"usable", func(r *Row) string { return r.Usable }},
	{"usable_reason", func(r *Row) string { return r.UsableReason }},
	{"via", func(r *Row) string { return r.Via }},
	{"group_name", func(r *Row) string { return r.GroupName }},
	{"granted_at_okta", func(r *Row) string { return r.GrantedAtOkta }},
	{"first_seen", func(r *Row) string { return r.FirstSeen }},
	{"absent_in", func(r *Row) string { return r.AbsentIn }},
	{"read_at", func(r *Row) string { return r.ReadAt }},
	{"user_id", func(r *Row) string { return r.UserID }},
	{"app_id", func(r *Row) string { return r.AppID }},
	{"group_id", func(r *Row) string { return r.GroupID }},
}

// How a user has an app.
const (
	Direct   = "direct"
	Group    = "group"
	Implicit = "implicit" // the app is open to all users
)

// Columns returns the names of the values of a Row, in their order.
func Columns() []string { return names(columns) }

// Values returns the values of r, in the order of Columns.
func (r *Row) Values() []string { return values(columns, r) }

// A column is a value of the rows of type R.
type column[R any] struct {
	name string
	of   func(*R) string
}

func names[R any](columns []column[R]) []string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.name
	}
	return list
}

func values[R any](columns []column[R], row *R) []string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.of(row)
	}
	return list
}

// compare returns the order of two rows: by app, user, kind of path and group.
func (r *Row) compare(other *Row) int {
	return cmp.Or(
		strings.Compare(r.AppID, other.AppID), strings.Compare(r.UserID, other.UserID),
		strings.Compare(r.Via, other.Via), strings.Compare(r.GroupID, other.GroupID))
}

// A Query selects paths by the ids of their objects. The zero Query selects all paths.
type Query struct{ User, Group, App string }

// Check returns an error if s doesn't record all resources that paths consist of.
func Check(s *snapshot.Snapshot) error {
	return check(s, "paths to apps", snapshot.Users, snapshot.Groups, snapshot.GroupMembers, snapshot.Apps, snapshot.AppUsers, snapshot.AppGroups)
}

// check returns an error if s doesn't record all of these resources.
func check(s *snapshot.Snapshot, paths string, resources ...*snapshot.Resource) error {
	for _, r := range resources {
		if !isRecorded(s, r) {
			return fmt.Errorf("%s@%s doesn't record %s, so %s can't be found", s.Manifest.Export, s.Name(), r.Name, paths)
		}
	}
	return nil
}

func isRecorded(s *snapshot.Snapshot, r *snapshot.Resource) bool {
	return slices.Contains(s.Recorded(), r)
}

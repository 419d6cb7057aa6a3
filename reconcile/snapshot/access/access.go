// Package access finds who is assigned which app in a snapshot, and through what: directly,
// through a group, or because an app is open to all users.
//
// The command access uses it. Start with [Row] and [Paths] (paths.go). The files: user.go
// and app.go find the paths of a user and of an app, finder.go has what they share, scan.go
// finds records without parsing the others, seen.go finds since when a path exists, and
// find.go finds objects by their names. Memory grows with the groups and apps, but not with
// users, memberships and assignments.
package access

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
)

// A Row is one path from a user to an app. The values of an attribute that isn't recorded
// are empty.
type Row struct {
	Login            string `json:"login"`
	Name             string `json:"name"`
	UserStatus       string `json:"user_status"`
	Department       string `json:"department"`
	Manager          string `json:"manager"`
	LastLogin        string `json:"last_login"`
	AppLabel         string `json:"app_label"`
	AppStatus        string `json:"app_status"`
	AppUsername      string `json:"app_username"`
	AssignmentStatus string `json:"assignment_status"` // of the row in app_users; "": there is none
	Usable           string `json:"usable"`            // yes, no or unknown
	UsableReason     string `json:"usable_reason"`     // why it isn't yes
	Via              string `json:"via"`               // direct, group or implicit
	GroupName        string `json:"group_name"`
	GrantedAtOkta    string `json:"granted_at_okta"` // when Okta made the row in app_users
	FirstSeen        string `json:"first_seen"`      // the snapshot
	AbsentIn         string `json:"absent_in"`       // the snapshot before FirstSeen; "": there is none to compare with
	ReadAt           string `json:"read_at"`         // when the read of the snapshot began
	UserID           string `json:"user_id"`
	AppID            string `json:"app_id"`
	GroupID          string `json:"group_id"` // "" also if Okta names no group for a row with the scope GROUP
}

// How a user has an app.
const (
	Direct   = "direct"
	Group    = "group"
	Implicit = "implicit" // the app is open to all users
)

// Columns returns the names of the values of a Row, in their order.
func Columns() []string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Row]()) {
		names = append(names, field.Tag.Get("json"))
	}
	return names
}

// Values returns the values of r, in the order of Columns.
func (r *Row) Values() []string {
	row := reflect.ValueOf(r).Elem()
	values := make([]string, row.NumField())
	for i := range values {
		values[i] = row.Field(i).String()
	}
	return values
}

// compare returns the order of two rows: by app, user, kind of path and group.
func (r *Row) compare(other *Row) int {
	return cmp.Or(
		strings.Compare(r.AppID, other.AppID), strings.Compare(r.UserID, other.UserID),
		strings.Compare(r.Via, other.Via), strings.Compare(r.GroupID, other.GroupID))
}

// A Query selects paths by the ids of their objects. At least one is set.
type Query struct{ User, Group, App string }

// resources are the resources that paths consist of.
var resources = []*snapshot.Resource{
	snapshot.Users, snapshot.Groups, snapshot.GroupMembers, snapshot.Apps, snapshot.AppUsers, snapshot.AppGroups,
}

// Check returns an error if s doesn't record all resources that paths consist of.
func Check(s *snapshot.Snapshot) error {
	for _, r := range resources {
		if !slices.Contains(s.Recorded(), r) {
			return fmt.Errorf("%s@%s doesn't record %s, so it can't answer who is assigned which app", s.Manifest.Export, s.Name(), r.Name)
		}
	}
	return nil
}

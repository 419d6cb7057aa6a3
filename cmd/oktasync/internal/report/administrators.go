package report

import (
	"cmp"
	"slices"
	"strings"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
)

// administrators returns the section about the holders of admin roles.
func administrators(o *Options) ([]document.Section, error) {
	s := document.Section{
		ID: "administrators", Title: "Administrators",
		Method: []string{
			"One row for each path from a holder to an admin role. Holders are users, groups, service apps, and the members of groups with a role. " +
				"Super Administrators come first. note is the reason why a holder may be unable to use the role.",
			"first_seen is the snapshot in which the path appeared, and absent_in the one before it. If absent_in is empty, the path can be older. " +
				"Permissions of custom roles and members of resource sets aren't listed.",
		},
	}
	for _, name := range []string{
		"holder", "name", "role_label", "scope", "via", "group_name", "user_status", "last_login", "note", "first_seen", "absent_in",
		"granted_at_okta", "principal_type", "role_type", "status",
	} {
		s.Columns = append(s.Columns, document.Column{Name: name})
	}
	recorded := o.Snapshot.Recorded()
	if !slices.Contains(recorded, snapshot.RoleAssignments) {
		s.Missing = "Not recorded: role_assignments."
	} else if !slices.Contains(recorded, snapshot.GroupMembers) {
		s.Method = append(s.Method, "Not recorded: group_members. So a role of a group has no rows for its members.")
	}
	l := linksOf(o.Snapshot.Manifest.Org.URL)
	s.Rows = func(yield func(document.Row, error) bool) {
		for r, err := range access.Roles(o.Store, o.Snapshot, access.RoleQuery{}) {
			var row document.Row
			if err == nil {
				row = roleRow(r, l)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
	return []document.Section{s}, nil
}

// roleRow returns the row of a path to an admin role.
func roleRow(r *access.RoleRow, l links) document.Row {
	row := document.Row{
		Key: strings.Join([]string{r.PrincipalType, r.RoleType, r.RoleID, r.ResourceSetID, r.GroupID + r.ClientID, r.UserID}, "/"),
		Cells: []string{
			cmp.Or(r.Login, r.UserID), r.Name, r.RoleLabel, r.Scope, r.Via, r.GroupName, r.UserStatus, r.LastLogin, r.Note, r.FirstSeen, r.AbsentIn,
			r.GrantedAtOkta, r.PrincipalType, r.RoleType, r.Status,
		},
		Link: l.user(r.UserID),
	}
	if r.UserID == "" {
		row.Cells[0] = cmp.Or(r.GroupName, r.Name, r.GroupID+r.ClientID)
		row.Link = l.group(r.GroupID)
	}
	return row
}

package access

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// A RoleRow is one path from a holder to an admin role. A role of a group has a row for the
// group itself, and one for each member. The values of an attribute that isn't recorded are
// empty.
type RoleRow struct {
	PrincipalType string // USER, GROUP or CLIENT: the object that Okta assigned the role to
	Login         string // of the user
	Name          string // of the user, or the label of the service app
	UserStatus    string
	LastLogin     string
	RoleType      string
	RoleLabel     string
	Scope         string // ALL, targets, resource set, or unknown
	Via           string // direct, or group for a member of the group
	GroupName     string
	Status        string // of the role: ACTIVE or INACTIVE
	Note          string // why the holder may be unable to use the role; "": nothing shows that
	GrantedAtOkta string // when Okta assigned the role to the principal; "" for a member of a group
	FirstSeen     string // the snapshot
	AbsentIn      string // the snapshot before FirstSeen; "": there is none to compare with
	ReadAt        string // when the read of the snapshot began
	UserID        string
	GroupID       string
	ClientID      string
	RoleID        string // of a custom role
	AssignmentID  string // not unique
	ResourceSetID string
}

var roleColumns = []column[RoleRow]{
	{"principal_type", func(r *RoleRow) string { return r.PrincipalType }},
	{"login", func(r *RoleRow) string { return r.Login }},
	{"name", func(r *RoleRow) string { return r.Name }},
	{"user_status", func(r *RoleRow) string { return r.UserStatus }},
	{"last_login", func(r *RoleRow) string { return r.LastLogin }},
	{"role_type", func(r *RoleRow) string { return r.RoleType }},
	{"role_label", func(r *RoleRow) string { return r.RoleLabel }},
	{"scope", func(r *RoleRow) string { return r.Scope }},
	{"via", func(r *RoleRow) string { return r.Via }},
	{"group_name", func(r *RoleRow) string { return r.GroupName }},
	{"status", func(r *RoleRow) string { return r.Status }},
	{"note", func(r *RoleRow) string { return r.Note }},
	{"granted_at_okta", func(r *RoleRow) string { return r.GrantedAtOkta }},
	{"first_seen", func(r *RoleRow) string { return r.FirstSeen }},
	{"absent_in", func(r *RoleRow) string { return r.AbsentIn }},
	{"read_at", func(r *RoleRow) string { return r.ReadAt }},
	{"user_id", func(r *RoleRow) string { return r.UserID }},
	{"group_id", func(r *RoleRow) string { return r.GroupID }},
	{"client_id", func(r *RoleRow) string { return r.ClientID }},
	{"role_id", func(r *RoleRow) string { return r.RoleID }},
	{"assignment_id", func(r *RoleRow) string { return r.AssignmentID }},
	{"resource_set_id", func(r *RoleRow) string { return r.ResourceSetID }},
}

// RoleColumns returns the names of the values of a RoleRow, in their order.
func RoleColumns() []string { return names(roleColumns) }

// Values returns the values of r, in the order of RoleColumns.
func (r *RoleRow) Values() []string { return values(roleColumns, r) }

// compare returns the order of two rows: by role, principal and member of a group.
func (r *RoleRow) compare(other *RoleRow) int {
	return cmp.Or(
		cmp.Compare(rank(r.RoleType), rank(other.RoleType)), strings.Compare(r.RoleType, other.RoleType),
		strings.Compare(r.RoleID, other.RoleID), strings.Compare(r.ResourceSetID, other.ResourceSetID),
		strings.Compare(other.PrincipalType, r.PrincipalType), // users first
		strings.Compare(r.GroupID, other.GroupID), strings.Compare(r.ClientID, other.ClientID), strings.Compare(r.UserID, other.UserID))
}

// standardRoles are the types of Okta's standard roles, in the order of rows. Others follow.
// See https://developer.okta.com/docs/concepts/role-assignment/.
var standardRoles = []string{
	"SUPER_ADMIN", "ORG_ADMIN", "API_ACCESS_MANAGEMENT_ADMIN", "APP_ADMIN", "USER_ADMIN", "GROUP_MEMBERSHIP_ADMIN", "HELP_DESK_ADMIN",
	"MOBILE_ADMIN", "ACCESS_CERTIFICATIONS_ADMIN", "ACCESS_REQUESTS_ADMIN", "WORKFLOWS_ADMIN", "REPORT_ADMIN", "READ_ONLY_ADMIN",
}

func rank(roleType string) int {
	if i := slices.Index(standardRoles, roleType); i >= 0 {
		return i
	}
	return len(standardRoles)
}

// A RoleQuery selects paths to admin roles. The zero value selects all.
type RoleQuery struct {
	Role             string // the type, label or id of roles
	User, Group, App string // the id of a holder
}

// CheckRoles returns an error if s doesn't record admin roles.
func CheckRoles(s *snapshot.Snapshot) error {
	return check(s, "paths to admin roles", snapshot.RoleAssignments)
}

// A role is a record of role_assignments. Its row has no values of a user.
type role struct {
	RoleRow
	since *moment
}

// rolesOf returns the roles of s, in any order.
func rolesOf(s *snapshot.Snapshot) iter.Seq2[role, error] {
	return func(yield func(role, error) bool) {
		var r role
		var principal string
		texts := canonjson.NewTexts(map[string]*string{
			"principal_type": &r.PrincipalType, "principal_id": &principal, "role_type": &r.RoleType, "role_id": &r.RoleID,
			"resource_set_id": &r.ResourceSetID, "label": &r.RoleLabel, "status": &r.Status, "assignment_id": &r.AssignmentID,
			"created": &r.GrantedAtOkta,
		})
		for record, err := range recordsOf(s, snapshot.RoleAssignments) {
			if err == nil {
				err = texts.Read(record)
			}
			if err != nil {
				yield(role{}, err)
				return
			}
			targets, _ := canonjson.Find(record, "targets") // the record is canonical
			if !yield(r.with(principal, targets), nil) {
				return
			}
		}
	}
}

// with returns r with the values that depend on its principal and targets.
func (r role) with(principal string, targets []byte) role {
	r.Via = Direct
	switch {
	case r.ResourceSetID != "":
		r.Scope = "resource set"
	case targets == nil:
		r.Scope = "unknown"
	case string(targets) == "[]":
		r.Scope = "ALL"
	default:
		r.Scope = "targets"
	}
	switch r.PrincipalType {
	case "USER":
		r.UserID = principal
	case "GROUP":
		r.GroupID = principal
	case "CLIENT":
		r.ClientID, r.Note = principal, noteOnStatus("app", "")
	}
	return r
}

// noteOnStatus returns why a user or an app can't use a role.
func noteOnStatus(noun, status string) string {
	switch status {
	case "ACTIVE":
		return ""
	case "":
		return "the " + noun + " isn't recorded"
	}
	return "the " + noun + " is " + status
}

func (r *role) key() [5]string {
	return [5]string{r.PrincipalType, r.UserID + r.GroupID + r.ClientID, r.RoleType, r.RoleID, r.ResourceSetID}
}

func (r *role) is(text string) bool {
	return text == "" || strings.EqualFold(r.RoleType, text) || strings.EqualFold(r.RoleLabel, text) || r.RoleID == text
}

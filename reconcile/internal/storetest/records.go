package storetest

import (
	"fmt"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
)

// Person returns a user as Okta sends it.
func Person(n int, status, department string) string {
	return fmt.Sprintf(`{"id":"00u%04d","status":%q,"profile":{"login":"p%d@acme.example","department":%q}}`, n, status, n, department)
}

// People returns n active users.
func People(n int) []string {
	users := make([]string, n)
	for i := range users {
		users[i] = Person(i+1, "ACTIVE", "Sales")
	}
	return users
}

// Group returns a group as Okta sends it.
func Group(n int, name string) string {
	return fmt.Sprintf(`{"id":"00g%04d","type":"OKTA_GROUP","profile":{"name":%q,"description":null},"_links":{}}`, n, name)
}

// Member returns an edge of group_members, AppUser one of app_users, AppGroup one of
// app_groups. Rule and App return a group rule and an app.
func Member(group, user int) string {
	return fmt.Sprintf(`{"group_id":"00g%04d","user_id":"00u%04d"}`, group, user)
}

func AppUser(app, user int, status string) string {
	return fmt.Sprintf(`{"app_id":"0oa%04d","scope":"GROUP","status":%q,"user_id":"00u%04d","username":"u%d"}`, app, status, user, user)
}

func AppGroup(app, group, priority int) string {
	return fmt.Sprintf(`{"app_id":"0oa%04d","group_id":"00g%04d","priority":%d}`, app, group, priority)
}

// Role returns a role assignment. id and set are "" for a standard role, and targets is a
// JSON list, or "": there is none.
func Role(kind, principal, role, id, set, targets string) string {
	if targets != "" {
		targets = `,"targets":` + targets
	}
	return fmt.Sprintf(`{"principal_type":%q,"principal_id":%q,"role_type":%q,"role_id":%q,"resource_set_id":%q,"label":"The %s","status":"ACTIVE","assignment_id":"ra1"%s}`,
		kind, principal, role, id, set, role, targets)
}

func Rule(n int, status string) string {
	return fmt.Sprintf(`{"id":"0pr%04d","name":"Rule %d","status":%q,"conditions":{"expression":{"value":"true"}}}`, n, n, status)
}

func App(n int, label, status string) string {
	return fmt.Sprintf(`{"id":"0oa%04d","label":%q,"name":"template","status":%q}`, n, label, status)
}

// Access returns records of every resource. On later days, a group and an app were
// deleted with their edges, and others have changed. The edges to user 99 are
// unresolved.
func Access(day int) []string {
	records := append(People(6), Group(1, "Everyone"), Group(2, "=Sales"), Member(1, 1), Member(1, 2), Member(1, 99), Member(2, 3),
		Rule(1, "ACTIVE"), App(1, "Mail", "ACTIVE"), AppUser(1, 1, "PROVISIONED"), AppUser(1, 2, "PROVISIONED"), AppGroup(1, 1, 0))
	if day == 1 {
		return append(records, Group(3, "Law"), Member(3, 1), Member(3, 4), App(2, "Wiki", "INACTIVE"), AppUser(2, 99, "IMPORTED"), AppGroup(2, 3, 1))
	}
	return slices.DeleteFunc(append(records, Member(2, 5), AppGroup(1, 2, 1)), func(r string) bool { return r == Member(1, 2) || r == AppUser(1, 2, "PROVISIONED") })
}

// resourceOf returns the resource of a record, as the prefix of its id or its members
// show.
func resourceOf(record string) *snapshot.Resource {
	has := func(member string) bool { return strings.Contains(record, `"`+member+`":`) }
	switch {
	case has("principal_id"):
		return snapshot.RoleAssignments
	case has("group_id") && has("user_id"):
		return snapshot.GroupMembers
	case has("app_id") && has("user_id"):
		return snapshot.AppUsers
	case has("app_id"):
		return snapshot.AppGroups
	case strings.HasPrefix(record, `{"id":"00g`):
		return snapshot.Groups
	case strings.HasPrefix(record, `{"id":"0pr`):
		return snapshot.GroupRules
	case strings.HasPrefix(record, `{"id":"0oa`):
		return snapshot.Apps
	}
	return snapshot.Users
}

package sandbox

import (
	"cmp"
	"slices"
	"strings"
)

// deprovisioned is the status of deactivated users.
const deprovisioned = "DEPROVISIONED"

// userResource describes users ("List users").
func userResource() resource {
	return resource{
		name: "user", kind: "User", event: "user.account.update_profile",
		minLimit: 1, maxLimit: 200, maxFound: 10,
		found:      []string{"profile.firstName", "profile.lastName", "profile.email"},
		department: "profile.department", login: "profile.login", links: userLinks,
		profile:  slices.Concat(baseAttributes, customAttributes),
		filter:   []string{"id", "status", "lastUpdated", "profile.login", "profile.email", "profile.firstName", "profile.lastName"},
		search:   []string{"id", "status", "created", "activated", "statusChanged", "lastUpdated", "type.id"},
		contains: []string{"profile.firstName", "profile.lastName", "profile.email", "profile.login"},
	}
}

// userLinks returns the links of a user that is read by id. In a list, a user
// has only self.
func userLinks(self string) []byte {
	w := writer("{")
	for _, name := range []string{"suspend", "resetPassword", "expirePassword", "deactivate"} {
		w.open(name)
		w.text("href", self+"/lifecycle/"+name)
		w.text("method", "POST")
		w.close()
	}
	w.raw("self", `{"href":"`+self+`"}`)
	w.close()
	return w
}

// groupResource describes groups ("List all groups"). The order by name is that
// of captured responses; Okta documents none.
func groupResource(maxLimit int) resource {
	return resource{
		name: "group", kind: "UserGroup", event: "group.profile.update",
		maxLimit: cmp.Or(maxLimit, 10_000), maxFound: 300, found: []string{"profile.name"},
		listOrder: "profile.name", department: "profile.name",
		profile: []string{"name", "description",
			"samAccountName", "dn", "objectSid", "windowsDomainQualifiedName", "groupType", "groupScope", "externalId"}, // from Active Directory
		filter:   []string{"id", "type", "lastUpdated", "lastMembershipUpdated"},
		search:   []string{"id", "type", "created", "lastUpdated", "lastMembershipUpdated", "source.id"},
		contains: []string{"profile.name", "profile.description"},
	}
}

// ruleResource describes group rules ("List all group rules").
func ruleResource() resource {
	return resource{name: "rule", kind: "GroupRule", event: "group.rule.update", minLimit: 1, defaultLimit: 50, maxLimit: 200, maxFound: 200,
		found: []string{"name"}}
}

// appResource describes apps ("List all applications"). A plain list contains
// INACTIVE apps too. There is no search, and a filter compares one attribute.
func appResource() resource {
	return resource{
		name: "app", kind: "AppInstance", event: "application.lifecycle.update",
		minLimit: 1, defaultLimit: 20, maxLimit: 200, maxFound: 200, found: []string{"label", "name"},
		filter: []string{"id", "status", "name", "credentials.signing.kid"}, oneComparison: true,
	}
}

// coverage is the part of the org that a client's role includes.
type coverage struct {
	role  string
	users map[string]bool // nil: as the role says
}

// coverage returns the coverage of a token's role. Don't call it with a lock.
func (o *Org) coverage(token *accessToken) coverage {
	c := coverage{role: token.role}
	if token.role == RoleHalf {
		c.users = o.coveredUsers()
	}
	return c
}

// includes reports whether the role includes an object of a store. All roles
// include all apps and rules.
func (c coverage) includes(s *store, obj *object) bool {
	department, scoped := strings.CutPrefix(c.role, groupRole)
	switch {
	case s.department == "":
		return true
	case scoped:
		return text(obj.text(), s.department) == department
	case c.role == RoleHalf && s.kind == "User":
		return c.users[obj.id()]
	case c.role == RoleHalf:
		return text(obj.text(), "type") == typeBuiltIn || isCovered(obj.id())
	}
	return true
}

// isCovered reports whether [RoleHalf] includes a group: the last character of its
// id has an even number.
func isCovered(group string) bool { return group[len(group)-1]%2 == 0 }

package snapshot

import (
	"net/http"
	"slices"
	"time"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/edges"
	"oktasync/reconcile/snapshot/render"
)

// Groups are the groups of an org, without their members (Okta: Groups API).
var Groups = &Resource{
	Name:   "groups",
	Noun:   "group",
	Key:    []string{"id"},
	Label:  diff.Label{Member: "name", Path: "profile.name"},
	Beside: "group_name",
	Open:   []string{"profile"},
	Kind:   groupKind,
	Columns: []render.Column{
		{Name: "name", Path: "profile.name"},
		{Name: "description", Path: "profile.description"},
		{Name: "type", Path: "type"},
		{Name: "created", Path: "created"},
		{Name: "lastUpdated", Path: "lastUpdated"},
		{Name: "lastMembershipUpdated", Path: "lastMembershipUpdated"},
		{Name: "id", Path: "id"},
	},
	Dates: map[diff.Kind][]string{
		diff.Created: {"created"},
		diff.Changed: {"lastUpdated"},
	},
	Kinds: []diff.Kind{diff.Created, diff.Deleted, diff.NotListed, diff.Changed},
}

var groupKind = kinds(diff.Created, diff.Deleted, diff.NotListed)

// kinds returns the Kind of a resource. A record that is no longer listed has the kind
// removed if Okta answered that it or its parent doesn't exist, or if its parent exists.
// Otherwise it has the kind missing.
func kinds(added, removed, missing diff.Kind) func(diff.Transition, DeclaredResource, time.Time) (diff.Kind, error) {
	return func(t diff.Transition, _ DeclaredResource, _ time.Time) (diff.Kind, error) {
		switch {
		case t.Op == diff.OpAdded:
			return added, nil
		case t.Op == diff.OpRemoved && (t.ParentExists || t.Proof.HTTPStatus == http.StatusNotFound):
			return removed, nil
		case t.Op == diff.OpRemoved:
			return missing, nil
		}
		return diff.Changed, nil
	}
}

// GroupRules are the membership rules of groups (Okta: Group Rules API).
var GroupRules = &Resource{
	Name:   "group_rules",
	Noun:   "group rule",
	Key:    []string{"id"},
	Label:  diff.Label{Member: "name", Path: "name"},
	Status: "status",
	Kind:   switchedKind,
	Columns: []render.Column{
		{Name: "name", Path: "name"},
		{Name: "status", Path: "status"},
		{Name: "expression", Path: "conditions.expression.value"},
		{Name: "groupIds", Path: "actions.assignUserToGroups.groupIds"},
		{Name: "created", Path: "created"},
		{Name: "lastUpdated", Path: "lastUpdated"},
		{Name: "id", Path: "id"},
	},
	Dates: switchedDates,
	Kinds: switchedKinds,
}

// Apps are the app instances of an org (Okta: Applications API). The records have no
// credentials, keys, provisioning settings and URLs.
var Apps = &Resource{
	Name:   "apps",
	Noun:   "app",
	Key:    []string{"id"},
	Label:  diff.Label{Member: "name", Path: "label"},
	Beside: "app_label",
	Status: "status",
	Kind:   switchedKind,
	Allowed: []string{
		"id", "orn", "name", "label", "status", "signOnMode", "created", "lastUpdated", "features",
		"accessibility.selfService", "visibility.hide", "settings.implicitAssignment",
		"credentials.userNameTemplate", "credentials.signing.kid",
		"credentials.oauthClient.client_id", "credentials.oauthClient.token_endpoint_auth_method",
		"settings.oauthClient.application_type", "settings.oauthClient.grant_types", "settings.oauthClient.dpop_bound_access_tokens",
	},
	Columns: []render.Column{
		{Name: "label", Path: "label"},
		{Name: "name", Path: "name"},
		{Name: "status", Path: "status"},
		{Name: "signOnMode", Path: "signOnMode"},
		{Name: "implicitAssignment", Path: "settings.implicitAssignment"},
		{Name: "created", Path: "created"},
		{Name: "lastUpdated", Path: "lastUpdated"},
		{Name: "id", Path: "id"},
	},
	Dates: switchedDates,
	Kinds: switchedKinds,
}

// Dates and kinds of objects that are active or not.
var (
	switchedDates = map[diff.Kind][]string{
		diff.Created:     {"created"},
		diff.Activated:   {"lastUpdated"},
		diff.Deactivated: {"lastUpdated"},
		diff.Changed:     {"lastUpdated"},
	}
	switchedKinds = []diff.Kind{
		diff.Created, diff.Activated, diff.Deactivated, diff.Deleted, diff.NotListed, diff.Changed,
	}
)

const active = "ACTIVE"

// switchedKind returns the kind of a change of an object that is active or not.
func switchedKind(t diff.Transition, declared DeclaredResource, since time.Time) (diff.Kind, error) {
	if t.Op != diff.OpChanged || !slices.Contains(t.Paths, "status") {
		return groupKind(t, declared, since)
	}
	from, err := canonjson.Text(t.Before, "status")
	if err != nil {
		return "", err
	}
	to, err := canonjson.Text(t.After, "status")
	switch {
	case err != nil:
		return "", err
	case to == active:
		return diff.Activated, nil
	case from == active:
		return diff.Deactivated, nil
	}
	return diff.Changed, nil
}

// GroupMembers are the members of groups (Okta: Groups API, List all member users).
var GroupMembers = &Resource{
	Name:   "group_members",
	Noun:   "group member",
	Key:    []string{"group_id", "user_id"},
	Parent: Groups,
	Other:  Users,
	Kind:   edgeKind,
	members: []member{
		{name: "group_id", parent: true},
		{name: "user_id", from: "id"},
	},
	Columns: []render.Column{
		{Name: "group_id", Path: "group_id"},
		{Name: "user_id", Path: "user_id"},
	},
	Kinds: edgeKinds,
}

// AppUsers are the assignments of users to apps (Okta: Application Users API),
// without their profiles and passwords.
var AppUsers = &Resource{
	Name:   "app_users",
	Noun:   "app user",
	Key:    []string{"app_id", "user_id"},
	Parent: Apps,
	Other:  Users,
	Status: "status",
	Kind:   edgeKind,
	members: []member{
		{name: "app_id", parent: true},
		{name: "created", from: "created"},
		{name: "externalId", from: "externalId"},
		{name: "lastSync", from: "lastSync"},
		{name: "lastUpdated", from: "lastUpdated"},
		{name: "passwordChanged", from: "passwordChanged"},
		{name: "scope", from: "scope"},
		{name: "status", from: "status"},
		{name: "statusChanged", from: "statusChanged"},
		{name: "syncState", from: "syncState"},
		{name: "user_id", from: "id"},
		{name: "username", in: "credentials", from: "userName"},
	},
	Columns: []render.Column{
		{Name: "scope", Path: "scope"},
		{Name: "status", Path: "status"},
		{Name: "username", Path: "username"},
		{Name: "created", Path: "created"},
		{Name: "lastUpdated", Path: "lastUpdated"},
		{Name: "statusChanged", Path: "statusChanged"},
		{Name: "passwordChanged", Path: "passwordChanged"},
		{Name: "externalId", Path: "externalId"},
		{Name: "syncState", Path: "syncState"},
		{Name: "lastSync", Path: "lastSync"},
		{Name: "app_id", Path: "app_id"},
		{Name: "user_id", Path: "user_id"},
	},
	Dates: map[diff.Kind][]string{
		diff.Granted: {"created"},
		diff.Changed: {"lastUpdated"},
	},
	Kinds: edgeKinds,
}

// AppGroups are the assignments of groups to apps (Okta: Application Groups API),
// without their profiles.
var AppGroups = &Resource{
	Name:   "app_groups",
	Noun:   "app group",
	Key:    []string{"app_id", "group_id"},
	Parent: Apps,
	Other:  Groups,
	Kind:   edgeKind,
	members: []member{
		{name: "app_id", parent: true},
		{name: "group_id", from: "id"},
		{name: "lastUpdated", from: "lastUpdated"},
		{name: "priority", from: "priority"},
	},
	Columns: []render.Column{
		{Name: "priority", Path: "priority"},
		{Name: "lastUpdated", Path: "lastUpdated"},
		{Name: "app_id", Path: "app_id"},
		{Name: "group_id", Path: "group_id"},
	},
	Dates: map[diff.Kind][]string{
		diff.Granted: {"lastUpdated"},
		diff.Changed: {"lastUpdated"},
	},
	Kinds: edgeKinds,
}

var edgeKinds = []diff.Kind{diff.Granted, diff.Revoked, diff.NotListed, diff.Changed}

var edgeKind = kinds(diff.Granted, diff.Revoked, diff.NotListed)

// APITokens are the active API tokens of an org, without their values (Okta: API Tokens
// API). expiresAt isn't recorded, because each use moves it.
var APITokens = &Resource{
	Name:    "api_tokens",
	Noun:    "API token",
	Key:     []string{"id"},
	Label:   diff.Label{Member: "name", Path: "name"},
	Kind:    kinds(diff.Created, diff.Revoked, diff.NotListed), // Okta removes revoked and expired tokens in the same way
	Allowed: []string{"id", "name", "userId", "clientName", "network", "tokenWindow", "created", "lastUpdated"},
	Columns: []render.Column{
		{Name: "name", Path: "name"},
		{Name: "clientName", Path: "clientName"},
		{Name: "userId", Path: "userId"},
		{Name: "network", Path: "network"},
		{Name: "tokenWindow", Path: "tokenWindow"},
		{Name: "created", Path: "created"},
		{Name: "lastUpdated", Path: "lastUpdated"},
		{Name: "id", Path: "id"},
	},
	Dates: map[diff.Kind][]string{
		diff.Created: {"created"},
		diff.Changed: {"lastUpdated"},
	},
	Kinds: []diff.Kind{diff.Created, diff.Revoked, diff.NotListed, diff.Changed},
}

// Factors are the enrolled factors of users (Okta: User Factors API), without profiles,
// phone numbers, questions and secrets.
var Factors = &Resource{
	Name:   "factors",
	Noun:   "factor",
	Key:    []string{"user_id", "id"},
	Parent: Users,
	Label:  diff.Label{Member: "name", Path: "factorType"},
	Status: "status",
	Kind:   kinds(diff.Listed, diff.NotListed, diff.NotListed), // a policy hides factors that still exist
	members: []member{
		{name: "created", from: "created"},
		{name: "factorType", from: "factorType"},
		{name: "id", from: "id"},
		{name: "lastUpdated", from: "lastUpdated"},
		{name: "provider", from: "provider"},
		{name: "status", from: "status"},
		{name: "user_id", parent: true},
		{name: "vendorName", from: "vendorName"},
	},
	Columns: []render.Column{
		{Name: "factorType", Path: "factorType"},
		{Name: "provider", Path: "provider"},
		{Name: "vendorName", Path: "vendorName"},
		{Name: "status", Path: "status"},
		{Name: "created", Path: "created"},
		{Name: "lastUpdated", Path: "lastUpdated"},
		{Name: "user_id", Path: "user_id"},
		{Name: "id", Path: "id"},
	},
	Dates: map[diff.Kind][]string{
		diff.Changed: {"lastUpdated"},
	},
	Kinds: []diff.Kind{diff.Listed, diff.NotListed, diff.Changed},
}

// RoleAssignments are the admin roles of users, groups and service clients (Okta: Role
// Assignments API). A role of a group isn't repeated for its members, except in the CSV
// file.
var RoleAssignments = &Resource{
	Name:    "role_assignments",
	Noun:    "role assignment",
	Key:     []string{"principal_type", "principal_id", "role_type", "role_id", "resource_set_id"},
	blank:   []string{"role_id", "resource_set_id"},
	holders: edges.HolderMembers,
	Label:   diff.Label{Member: "name", Path: "label"},
	Status:  "role_type",
	Kind:    kinds(diff.Granted, diff.Revoked, diff.Revoked), // a read is complete, so a role that is missing was revoked
	Allowed: []string{"principal_type", "principal_id", "role_type", "role_id", "resource_set_id", "label", "status", "assignment_id", "created", "targets", "permissions", "resources"},
	Columns: []render.Column{
		{Name: "role_type", Path: "role_type"},
		{Name: "label", Path: "label"},
		{Name: "status", Path: "status"},
		{Name: "targets", Path: "targets"},
		{Name: "permissions", Path: "permissions"},
		{Name: "resources", Path: "resources"},
		{Name: "created", Path: "created"},
		{Name: "principal_type", Path: "principal_type"},
		{Name: "principal_id", Path: "principal_id"},
		{Name: "role_id", Path: "role_id"},
		{Name: "resource_set_id", Path: "resource_set_id"},
		{Name: "assignment_id", Path: "assignment_id"},
	},
	Dates:    map[diff.Kind][]string{diff.Granted: {"created"}},
	Kinds:    []diff.Kind{diff.Granted, diff.Revoked, diff.Changed},
	headings: map[diff.Kind]string{diff.Granted: Administrators, diff.Revoked: Administrators, diff.Changed: Administrators},
}

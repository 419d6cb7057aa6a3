package snapshot

import (
	"bytes"
	"slices"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/render"
)

// Users are the users of an org (Okta: Users API).
var Users = &Resource{
	Name:     "users",
	Noun:     "user",
	Key:      []string{"id"},
	Label:    diff.Label{Member: "login", Path: "profile.login"},
	Status:   "status",
	Open:     []string{"profile"},
	Kind:     userKind,
	Inactive: deprovisionedUser,
	Columns: []render.Column{
		{Name: "login", Path: "profile.login"},
		{Name: "email", Path: "profile.email"},
		{Name: "firstName", Path: "profile.firstName"},
		{Name: "lastName", Path: "profile.lastName"},
		{Name: "status", Path: "status"},
		{Name: "title", Path: "profile.title"},
		{Name: "department", Path: "profile.department"},
		{Name: "manager", Path: "profile.manager"},
		{Name: "employeeNumber", Path: "profile.employeeNumber"},
		{Name: "userType", Path: "profile.userType"},
		{Name: "created", Path: "created"},
		{Name: "activated", Path: "activated"},
		{Name: "lastLogin", Path: "lastLogin"},
		{Name: "statusChanged", Path: "statusChanged"},
		{Name: "passwordChanged", Path: "passwordChanged"},
		{Name: "id", Path: "id"},
	},
	Dates: map[diff.Kind][]string{
		diff.Joined:      {"activated", "created"},
		diff.Deactivated: {"statusChanged"},
		diff.Reactivated: {"statusChanged"},
		diff.Suspended:   {"statusChanged"},
		diff.Unsuspended: {"statusChanged"},
		diff.Moved:       {"lastUpdated"},
		diff.Changed:     {"lastUpdated"},
	},
	Kinds: []diff.Kind{
		diff.Joined, diff.Reactivated, diff.Moved, diff.Deactivated, diff.Deleted,
		diff.Suspended, diff.Unsuspended, diff.Changed,
	},
	headings: map[diff.Kind]string{
		diff.Joined: Joiners, diff.Reactivated: Joiners, diff.Moved: Movers,
		diff.Deactivated: Leavers, diff.Deleted: Leavers,
	},
}

// Headings of the changes of users.
const (
	Joiners = "joiners"
	Movers  = "movers"
	Leavers = "leavers"
	Others  = "others"
)

// The statuses of Okta that decide about kinds.
const (
	staged        = "STAGED"
	suspended     = "SUSPENDED"
	deprovisioned = "DEPROVISIONED"
)

// userKind returns the first kind that fits, in the order deleted, joined,
// deactivated, reactivated, suspended, unsuspended, moved, changed. A status
// that changes.ignore contains decides nothing.
func userKind(t diff.Transition, moved []string) (diff.Kind, error) {
	switch t.Op {
	case diff.OpAdded:
		return diff.Joined, nil
	case diff.OpRemoved:
		return diff.Deleted, nil
	}
	from, err := canonjson.Text(t.Before, "status")
	if err != nil {
		return "", err
	}
	to, err := canonjson.Text(t.After, "status")
	if err != nil {
		return "", err
	}
	if slices.Contains(t.Paths, "status") {
		switch {
		case from == staged && to != deprovisioned: // no user returns to STAGED
			return diff.Joined, nil
		case to == deprovisioned:
			return diff.Deactivated, nil
		case from == deprovisioned:
			return diff.Reactivated, nil
		case to == suspended:
			return diff.Suspended, nil
		case from == suspended:
			return diff.Unsuspended, nil
		}
	}
	for _, path := range t.Paths {
		if canonjson.CoversAny(moved, path) {
			return diff.Moved, nil
		}
	}
	return diff.Changed, nil
}

// deprovisionedUser reports whether a user is deprovisioned. It is called for
// every user of an org, and parses few of them.
func deprovisionedUser(user []byte) (bool, error) {
	if !bytes.Contains(user, []byte(deprovisioned)) {
		return false, nil
	}
	status, err := canonjson.Text(user, "status")
	return status == deprovisioned, err
}

package snapshot

import (
	"bytes"
	"net/http"
	"slices"
	"time"

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
		diff.Activated:   {"activated"},
		diff.Deactivated: {"statusChanged"},
		diff.Reactivated: {"statusChanged"},
		diff.Suspended:   {"statusChanged"},
		diff.Unsuspended: {"statusChanged"},
		diff.Moved:       {"lastUpdated"},
		diff.Changed:     {"lastUpdated"},
	},
	Kinds: []diff.Kind{
		diff.Joined, diff.Activated, diff.Reactivated, diff.Moved, diff.Deactivated, diff.Deleted,
		diff.Suspended, diff.Unsuspended, diff.IntoScope, diff.OutOfScope, diff.NotListed, diff.Changed,
	},
	headings: map[diff.Kind]string{
		diff.Joined: Joiners, diff.Activated: Joiners, diff.Reactivated: Joiners, diff.Moved: Movers,
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
// activated, deactivated, reactivated, suspended, unsuspended, into_scope,
// out_of_scope, moved, changed. A status that changes.ignore contains decides
// nothing.
func userKind(t diff.Transition, declared DeclaredResource, since time.Time) (diff.Kind, error) {
	switch t.Op {
	case diff.OpAdded:
		return addedUser(t.After, declared.Narrowing, since)
	case diff.OpRemoved:
		return removedUser(t.Before, t.Proof)
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
			return diff.Activated, nil
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
		if canonjson.CoversAny(declared.Changes.Moved, path) {
			return diff.Moved, nil
		}
	}
	return diff.Changed, nil
}

// addedUser returns the kind of an added user. An export of all users gains only
// users that joined. A narrowed export also gains users that existed before.
func addedUser(user []byte, narrowing *Narrowing, since time.Time) (diff.Kind, error) {
	if narrowing == nil || narrowing.Search == "" && narrowing.IncludeDeprovisioned {
		return diff.Joined, nil
	}
	text, err := canonjson.Text(user, "created")
	if err != nil {
		return "", err
	}
	created, err := time.Parse(time.RFC3339, text)
	switch {
	case err == nil && !created.Before(since):
		return diff.Joined, nil
	case narrowing.Search == "":
		return diff.Reactivated, nil
	}
	return diff.IntoScope, nil
}

// removedUser returns the kind of a removed user. proof contains the status that
// Okta returned for the user's id.
func removedUser(user []byte, proof diff.Proof) (diff.Kind, error) {
	switch {
	case proof.HTTPStatus == http.StatusNotFound:
		return diff.Deleted, nil
	case proof.HTTPStatus != http.StatusOK:
		return diff.NotListed, nil
	case proof.OktaStatus != deprovisioned:
		return diff.OutOfScope, nil
	}
	if was, err := deprovisionedUser(user); was || err != nil {
		return diff.OutOfScope, err
	}
	return diff.Deactivated, nil
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

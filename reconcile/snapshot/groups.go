package snapshot

import (
	"net/http"
	"time"

	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/render"
)

// Groups are the groups of an org, without their members (Okta: Groups API).
var Groups = &Resource{
	Name:  "groups",
	Noun:  "group",
	Key:   []string{"id"},
	Label: diff.Label{Member: "name", Path: "profile.name"},
	Open:  []string{"profile"},
	Kind:  groupKind,
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

func groupKind(t diff.Transition, _ DeclaredResource, _ time.Time) (diff.Kind, error) {
	switch {
	case t.Op == diff.OpAdded:
		return diff.Created, nil
	case t.Op == diff.OpRemoved && t.Proof.HTTPStatus == http.StatusNotFound:
		return diff.Deleted, nil
	case t.Op == diff.OpRemoved:
		return diff.NotListed, nil
	}
	return diff.Changed, nil
}

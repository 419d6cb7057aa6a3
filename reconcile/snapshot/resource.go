package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/render"
)

// A Resource describes a kind of object that an export records, for the store, the
// comparison and the rendering. It doesn't change after its declaration.
type Resource struct {
	Name    string          // "users"; names the files and the manifest's member
	Noun    string          // one record, for people: "user"
	Key     []string        // top-level members whose values identify a record; of an edge: its two ends
	Parent  *Resource       // each of its records has a list of this resource; nil: none
	Other   *Resource       // the other end of an edge; nil: the records aren't edges
	Allowed []string        // paths of Okta's object that may be stored; empty: all
	Label   diff.Label      // how people recognize a record
	Beside  string          // the column of Label beside the record's id in the CSV files of other resources
	Status  string          // top-level member by which records are counted; "": none
	Columns []render.Column // the known columns of the CSV file
	Open    []string        // objects whose members have their own CSV columns

	// Kind returns what happened to the object. since is when the previous read
	// began.
	Kind func(t diff.Transition, declared DeclaredResource, since time.Time) (diff.Kind, error)

	// Inactive reports whether a record counts as deactivated for the guard; nil:
	// none does.
	Inactive func(record []byte) (bool, error)

	Dates map[diff.Kind][]string // attributes with the time of a change
	Kinds []diff.Kind            // all kinds, in the order in which people read them

	blank    []string             // members of Key that can be ""
	holders  []string             // of admin roles: members that the CSV file adds; see edges.Holders
	headings map[diff.Kind]string // nil: the name of the resource
	members  []member             // of a record with a parent, in their order; nil: a record is Okta's object
	pool     sync.Pool            // of *recorder
}

// Heading returns the heading under which people read changes of kind: "joiners".
func (r *Resource) Heading(kind diff.Kind) string {
	if r.headings == nil {
		return r.Name
	}
	if heading, ok := r.headings[kind]; ok {
		return heading
	}
	return Others
}

// A member of an edge: its name, and the member of Okta's object from which it comes.
type member struct {
	name   string
	in     string // the object in Okta's object that contains from; "": from is a member of Okta's object
	from   string
	parent bool // it is the id of the parent
}

// resources are all resources, parents before their children.
var resources = []*Resource{Users, Factors, Groups, GroupMembers, GroupRules, Apps, AppUsers, AppGroups, APITokens, RoleAssignments}

// Resources returns all resources in the order in which they are read.
func Resources() []*Resource { return slices.Clone(resources) }

// ResourceNamed returns the resource with this name, or nil.
func ResourceNamed(name string) *Resource {
	for _, r := range resources {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Always returns the paths that every record keeps. They identify it, and give its
// status.
func (r *Resource) Always() []string {
	if r.Status == "" || slices.Contains(r.Key, r.Status) {
		return r.Key
	}
	return append(slices.Clone(r.Key), r.Status)
}

// CanHave reports whether a record can have an attribute at path. attrs are the
// attributes that are kept. An object of Okta can have attributes that are unknown here.
func (r *Resource) CanHave(path string, attrs canonjson.Attributes) bool {
	related := func(other string) bool { return canonjson.Covers(other, path) || canonjson.Covers(path, other) }
	if paths := r.Paths(); paths != nil && !slices.ContainsFunc(paths, related) {
		return false
	}
	always := r.Always()
	if attrs.Keeps(path, always) {
		return true
	}
	return slices.ContainsFunc(slices.Concat(always, attrs.Include), func(kept string) bool {
		return canonjson.Covers(path, kept) && attrs.Keeps(kept, always)
	})
}

// Paths returns all attributes that records can have, or nil if a record can have any
// attribute of Okta's object.
func (r *Resource) Paths() []string {
	if r.members == nil {
		return r.Allowed
	}
	paths := make([]string, len(r.members))
	for i, m := range r.members {
		paths[i] = m.name
	}
	return paths
}

// ProvedBy returns the resource whose transcript has the proofs of removals: the parent,
// if there is one.
func (r *Resource) ProvedBy() *Resource {
	if r.Parent != nil {
		return r.Parent
	}
	return r
}

// UserPart returns the index of the member of Key that is the id of a user; negative:
// there is none.
func (r *Resource) UserPart() int {
	switch {
	case r.Parent == Users:
		return 0
	case r == Users || r.Other == Users:
		return len(r.Key) - 1
	case len(r.holders) > 0:
		return slices.Index(r.Key, "principal_id")
	}
	return -1
}

// RowsThroughGroups reports whether the CSV file has, after the record of a group, a row
// for each member of the group.
func (r *Resource) RowsThroughGroups() bool { return len(r.holders) > 0 }

// Schema returns the columns of the resource's CSV file. With a parent, it begins with
// the names of the parent and of the other end; for admin roles, with those of the holder.
func (r *Resource) Schema() render.Schema {
	s := render.Schema{Known: r.Columns, Open: r.Open, Always: r.Always(), Names: r.holders}
	for _, end := range []*Resource{r.Parent, r.Other} {
		if end != nil {
			s.Names = append(s.Names, end.Beside)
		}
	}
	var names []render.Column
	for _, name := range s.Names {
		names = append(names, render.Column{Name: name, Path: name})
	}
	s.Known = slices.Concat(names, r.Columns)
	return s
}

// Plural returns n with the noun of the resource: "1 user", "300 users".
func (r *Resource) Plural(n int) string {
	if n == 1 {
		return "1 " + r.Noun
	}
	return fmt.Sprintf("%d %ss", n, r.Noun)
}

// RecordsFile returns the name of the file with the records.
func (r *Resource) RecordsFile() string { return r.Name + ".ndjson.zst" }

// CSVFile returns the name of the CSV file.
func (r *Resource) CSVFile() string { return r.Name + ".csv" }

// ChangesFile returns the name of the changes file.
func (r *Resource) ChangesFile() string { return r.Name + changesSuffix }

const changesSuffix = ".changes.ndjson"

// ParentsFile returns the name of the file with the last read of each list, see Parent.
func (r *Resource) ParentsFile() string { return r.Name + ".parents.ndjson" }

// AppendKey appends the key of a record in canonical form to dst: the values of
// its key members, with a zero byte between them.
func (r *Resource) AppendKey(dst, record []byte) ([]byte, error) {
	for i, name := range r.Key {
		value, err := canonjson.Find(record, name)
		if err != nil {
			return dst, err
		}
		if dst, err = r.AppendKeyPart(dst, i, value); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// AppendKeyPart appends the value of the ith key member to the key in dst.
func (r *Resource) AppendKeyPart(dst []byte, i int, value []byte) ([]byte, error) {
	if len(value) < 2 || value[0] != '"' || len(value) == 2 && !slices.Contains(r.blank, r.Key[i]) {
		return dst, fmt.Errorf("a %s without %s", r.Noun, r.Key[i])
	}
	if i > 0 {
		dst = append(dst, 0)
	}
	start := len(dst)
	dst = canonjson.AppendText(dst, value[1:len(value)-1])
	if len(r.Key) > 1 && bytes.IndexByte(dst[start:], 0) >= 0 {
		return dst, errors.New("a zero byte in a key")
	}
	return dst, nil
}

// Users are the users of an org (Okta: Users API).
var Users = &Resource{
	Name:     "users",
	Noun:     "user",
	Key:      []string{"id"},
	Label:    diff.Label{Member: "login", Path: "profile.login"},
	Beside:   "login",
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

// Administrators is the heading of the changes of admin roles.
const Administrators = "administrators"

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

// NotRecordedError means that a snapshot doesn't record a resource.
type NotRecordedError struct{ Export, Snapshot, Resource string }

func (e *NotRecordedError) Error() string {
	return fmt.Sprintf("%s@%s doesn't record %s", e.Export, e.Snapshot, e.Resource)
}

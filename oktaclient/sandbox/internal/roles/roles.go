// Package roles contains the admin roles of a sandbox org: who has which role, custom
// roles with their permissions, and resource sets.
//
// Package sandbox serves them as Okta does. Start reading at [Registry].
package roles

import (
	"cmp"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Types of principals.
const (
	User   = "USER"
	Group  = "GROUP"
	Client = "CLIENT"
)

// Custom is the type of an assignment of a custom role.
const Custom = "CUSTOM"

// Assignment is a role of a principal. The key consists of all fields up to
// ResourceSet.
type Assignment struct {
	PrincipalType string // USER, GROUP or CLIENT
	Principal     string // id; of a client: the client ID
	Type          string // "SUPER_ADMIN", …; CUSTOM
	Role          string // id of a custom role
	ResourceSet   string // id, with a custom role

	Targets    []Target // empty: the whole org
	Expiration string   // of a time-bound grant, in a format of its own: "2024-12-09 14:17:22.0"; "": none

	Created, Updated time.Time // zero: the time of the change
	number           int
}

// Target limits a standard role to a group or an app.
type Target struct {
	Type string // GROUP or APP
	ID   string // of the group or the app instance; "": all instances of App
	App  string // name of the catalog app
}

func (a *Assignment) same(b Assignment) bool {
	return a.PrincipalType == b.PrincipalType && a.Principal == b.Principal && a.Type == b.Type && a.Role == b.Role && a.ResourceSet == b.ResourceSet
}

// ID returns the id as Okta builds it. A standard role with targets has the Base32 of
// its type, so the id is the same for all principals.
func (a *Assignment) ID() string {
	prefix := "ra1"
	switch {
	case a.Type == Custom:
		prefix = "irb"
	case len(a.Targets) > 0:
		return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(a.Type))
	case a.PrincipalType == Group:
		prefix = "gra"
	}
	return id(prefix, a.number)
}

// IsPolicy reports whether Okta shows this standard role with the members role and
// resource-set, whose values aren't ids.
func (a *Assignment) IsPolicy() bool {
	return slices.Contains([]string{"ACCESS_CERTIFICATIONS_ADMIN", "ACCESS_REQUESTS_ADMIN", "WORKFLOWS_ADMIN"}, a.Type)
}

func id(prefix string, n int) string { return fmt.Sprintf("%s1brightwater%06d", prefix, n) }

// Role is a custom role.
type Role struct {
	ID, Label        string
	Permissions      []string
	Created, Updated time.Time
}

// ResourceSet is the scope of custom roles.
type ResourceSet struct {
	ID, Label        string
	Resources        []string // ORNs
	Created, Updated time.Time
}

// Registry contains all roles of an org. It is safe for concurrent use.
type Registry struct {
	now func() time.Time

	mu          sync.RWMutex
	number      int
	assignments []Assignment // in the order of their grants
	roles       []Role
	sets        []ResourceSet
}

// NewRegistry returns a registry without roles.
func NewRegistry(now func() time.Time) *Registry { return &Registry{now: now} }

// Grant adds an assignment. It returns an error if the principal has the role, or if
// there is no such custom role or resource set.
func (r *Registry) Grant(a Assignment) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch custom := a.Type == Custom; {
	case a.Principal == "" || a.Type == "" || !slices.Contains([]string{User, Group, Client}, a.PrincipalType):
		return fmt.Errorf("grant role: no principal or no type")
	case slices.ContainsFunc(r.assignments, a.same):
		return fmt.Errorf("grant role: %s has %s already", a.Principal, a.Type)
	case custom && !slices.ContainsFunc(r.roles, func(role Role) bool { return role.ID == a.Role }):
		return fmt.Errorf("grant role: no custom role %q", a.Role)
	case custom && !slices.ContainsFunc(r.sets, func(s ResourceSet) bool { return s.ID == a.ResourceSet }):
		return fmt.Errorf("grant role: no resource set %q", a.ResourceSet)
	}
	if a.Created.IsZero() {
		a.Created = r.now()
	}
	if a.Updated.IsZero() {
		a.Updated = a.Created
	}
	r.number++
	a.number = r.number
	r.assignments = append(r.assignments, a)
	return nil
}

// Revoke removes the assignment with the key of a.
func (r *Registry) Revoke(a Assignment) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.assignments, a.same)
	if i < 0 {
		return fmt.Errorf("revoke role: %s hasn't %s", a.Principal, a.Type)
	}
	r.assignments = slices.Delete(r.assignments, i, i+1)
	return nil
}

// SetTargets sets the targets of the assignment with the key of a to those of a.
func (r *Registry) SetTargets(a Assignment) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.assignments, a.same)
	if i < 0 {
		return fmt.Errorf("set targets: %s hasn't %s", a.Principal, a.Type)
	}
	r.assignments[i].Targets, r.assignments[i].Updated = slices.Clone(a.Targets), r.now()
	return nil
}

// AddRole adds a custom role, and returns its id.
func (r *Registry) AddRole(label string, permissions ...string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	role := Role{id("cr0", len(r.roles)+1), label, permissions, now, now}
	r.roles = append(r.roles, role)
	return role.ID
}

// SetPermissions sets the permissions of a custom role.
func (r *Registry) SetPermissions(role string, permissions ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.roles, func(c Role) bool { return c.ID == role })
	if i < 0 {
		return fmt.Errorf("set permissions: no custom role %q", role)
	}
	r.roles[i].Permissions, r.roles[i].Updated = permissions, r.now()
	return nil
}

// AddResourceSet adds a resource set, and returns its id.
func (r *Registry) AddResourceSet(label string, resources ...string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	set := ResourceSet{id("iam", len(r.sets)+1), label, resources, now, now}
	r.sets = append(r.sets, set)
	return set.ID
}

// Roles returns all custom roles, by id.
func (r *Registry) Roles() []Role {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.roles)
}

// ResourceSets returns all resource sets, by id.
func (r *Registry) ResourceSets() []ResourceSet {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.sets)
}

// Assignments returns all assignments, sorted by principal and id.
func (r *Registry) Assignments() []Assignment {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := slices.Clone(r.assignments)
	slices.SortStableFunc(list, func(a, b Assignment) int {
		return cmp.Or(strings.Compare(a.PrincipalType, b.PrincipalType), strings.Compare(a.Principal, b.Principal), cmp.Compare(a.number, b.number))
	})
	return list
}

// Of returns the assignments of a principal itself, oldest first.
func (r *Registry) Of(principalType, id string) []Assignment {
	return slices.DeleteFunc(r.Assignments(), func(a Assignment) bool { return a.PrincipalType != principalType || a.Principal != id })
}

package oktaclient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// RoleAssignments are the admin roles of users, groups and service clients. Okta has no
// list of them. A read requests the roles of each principal that can have one, and then
// looks for new principals until there are none. The principals are the users in
// Okta's list of administrators, the members of custom roles, the groups that Okta
// counts as administrators, the groups through which users have roles, and the service
// apps.
//
// Unlike that of other records, the JSON of a record is composed from several
// responses. Its status is the type of the role.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/RoleAssignmentAUser/.
var RoleAssignments = Resource{Name: "role_assignments", Path: "/api/v1/iam/assignees/users", Strategy: Roles, PageSize: 100}

// roleAssignment is the JSON of a record.
type roleAssignment struct {
	PrincipalType string       `json:"principal_type"` // USER, GROUP or CLIENT
	PrincipalID   string       `json:"principal_id"`
	RoleType      string       `json:"role_type"`
	RoleID        string       `json:"role_id"`         // of a custom role, else mostly ""
	ResourceSetID string       `json:"resource_set_id"` // with a custom role, else mostly ""
	Label         string       `json:"label"`
	Status        string       `json:"status"`
	AssignmentID  string       `json:"assignment_id"` // not unique
	Created       string       `json:"created,omitempty"`
	Targets       []roleTarget `json:"targets,omitzero"`      // empty: the whole org; nil: not known, or limited by the resource set
	Permissions   []string     `json:"permissions,omitempty"` // of a custom role
	Resources     []string     `json:"resources,omitempty"`   // ORNs of the resource set
}

// roleTarget is a group or an app to which a role is limited. Without an ID, it is each
// instance of the app with the name.
type roleTarget struct {
	Type string `json:"type"` // GROUP or APP
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"` // of the app in Okta's catalog
}

// customRole is the type of a custom role.
const customRole = "CUSTOM"

// targetKinds are the types of the roles that Okta documents, with the path of their
// targets; "": the role can't be limited.
var targetKinds = map[string]string{
	"SUPER_ADMIN": "", "ORG_ADMIN": "", "READ_ONLY_ADMIN": "", "REPORT_ADMIN": "", "API_ACCESS_MANAGEMENT_ADMIN": "", "MOBILE_ADMIN": "",
	"APP_ADMIN": "catalog/apps", "USER_ADMIN": "groups", "HELP_DESK_ADMIN": "groups", "GROUP_MEMBERSHIP_ADMIN": "groups",
	"ACCESS_CERTIFICATIONS_ADMIN": "", "ACCESS_REQUESTS_ADMIN": "", "WORKFLOWS_ADMIN": "",
}

const (
	maxRoleTries = 3        // reads of the roles of a principal, if these change meanwhile
	maxRoles     = 8 << 20  // bytes of the records of a principal
	elementSize  = 24       // bytes of a target, a permission or a resource besides its text
	maxDetails   = 16 << 20 // bytes of details that are kept, so that they aren't read again
)

// listRoles reads all roles, and reports whether the last pass found no new principal.
func (r *read) listRoles(ctx context.Context) (settled bool, err error) {
	x := &roleReader{read: r, seen: make(map[principal]bool), details: make(map[string]func() ([]string, error))}
	for range maxPasses {
		if err := x.findPrincipals(ctx); err != nil {
			return false, err
		}
		if len(x.pending) == 0 {
			return true, nil
		}
		for len(x.pending) > 0 { // groups through which users have roles follow
			if err := x.readPending(ctx); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

func (x *roleReader) readPending(ctx context.Context) error {
	principals := x.pending
	x.pending = nil
	slices.SortFunc(principals, func(a, b principal) int { return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.id, b.id)) })
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(x.c.cfg.Concurrency)
	for _, p := range principals {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() (err error) {
			defer recoverPanic(&err)
			if err := x.readPrincipal(ctx, p); err != nil {
				return fmt.Errorf("roles of %s %s: %w", strings.ToLower(p.kind), url.PathEscape(p.id), err)
			}
			return nil
		})
	}
	return g.Wait()
}

// readPrincipal reads the roles of a principal, and again if one of them ends while its
// details are read. A user or group that doesn't exist has none.
func (x *roleReader) readPrincipal(ctx context.Context, p principal) error {
	for range maxRoleTries {
		assignments, a, err := x.assignments(ctx, p)
		switch {
		case isMissing(err) && p.kind == kindClient:
			return nil // Okta returns 404 for a client without roles
		case isMissing(err):
			if _, err = x.fetch(ctx, &call{}, p.path(), nil); isMissing(err) {
				return nil
			}
			if err == nil {
				continue
			}
			return err
		case err != nil:
			return err
		}
		records, err := x.records(ctx, p, assignments)
		if isMissing(err) {
			records = nil
		} else if err != nil {
			return err
		}
		a.request.Rows = len(records)
		if deliverErr := x.deliver(listing{}, records, a); deliverErr != nil || err == nil {
			return deliverErr
		}
	}
	return errors.New("okta: they changed during each try to read them")
}

// oktaAssignment is a role in the list of a principal.
type oktaAssignment struct {
	ID, Label, Type, Status, AssignmentType, Created string

	Role        string
	ResourceSet string `json:"resource-set"`
	linked
}

func (x *roleReader) assignments(ctx context.Context, p principal) (list []oktaAssignment, a *attempt, err error) {
	a, err = x.request(ctx, &call{accept: func(a *attempt) (err error) {
		list, err = bodyList[oktaAssignment]{}.parse(a)
		for _, one := range list {
			custom := one.Type == customRole
			if !validID(one.ID) || !validID(one.Type) || custom && !(validID(one.Role) && validID(one.ResourceSet)) {
				return brokenJSON(0)
			}
		}
		return err
	}}, p.path()+"/roles", nil)
	return list, a, err
}

// records returns the records of a principal's own roles. Of a role through a group, it
// adds the group.
func (x *roleReader) records(ctx context.Context, p principal, assignments []oktaAssignment) (records []Record, err error) {
	size := 0
	for _, a := range assignments {
		if p.kind == kindUser && a.AssignmentType == kindGroup {
			group, err := principalOf(a.Links.Assignee.Href)
			if err := cmp.Or(err, x.add(group)); err != nil {
				return nil, err
			}
			continue
		}
		record := roleAssignment{PrincipalType: p.kind, PrincipalID: p.id, RoleType: a.Type, RoleID: a.Role, ResourceSetID: a.ResourceSet,
			Label: a.Label, Status: a.Status, AssignmentID: a.ID, Created: a.Created}
		if err := x.addDetails(ctx, p, &record); err != nil {
			return nil, err
		}
		text, err := json.Marshal(record)
		if err != nil {
			return nil, err
		}
		if size += len(text); len(text) > maxRecord || size > maxRoles {
			return nil, tooLarge("over %d bytes of a role, or %d of all roles of a principal", maxRecord, maxRoles)
		}
		records = append(records, Record{ID: p.id, Status: a.Type, JSON: text})
	}
	return records, nil
}

// addDetails adds the targets of a standard role, or the permissions and resources of a
// custom one.
func (x *roleReader) addDetails(ctx context.Context, p principal, record *roleAssignment) (err error) {
	kind, known := targetKinds[record.RoleType]
	switch {
	case record.RoleType == customRole:
		record.Permissions, err = x.detail(ctx, "/api/v1/iam/roles/"+url.PathEscape(record.RoleID)+"/permissions", "permissions")
		if err == nil {
			record.Resources, err = x.detail(ctx, "/api/v1/iam/resource-sets/"+url.PathEscape(record.ResourceSetID)+"/resources", "resources")
		}
	case known && kind != "":
		record.Targets, err = x.targets(ctx, p.path()+"/roles/"+url.PathEscape(record.AssignmentID)+"/targets/"+kind)
	case known:
		record.Targets = []roleTarget{}
	}
	return err
}

// detail returns the sorted labels of permissions or ORNs of resources at a path.
func (x *roleReader) detail(ctx context.Context, path, member string) ([]string, error) {
	type object struct{ Label, ORN string }
	x.mu.Lock()
	read, ok := x.details[path]
	if !ok {
		read = sync.OnceValues(func() (all []string, err error) {
			size := len(path)
			err = bodyList[object]{path: path, member: member}.read(ctx, x.read, func(objects []object) error {
				for _, o := range objects {
					if size += len(o.Label) + len(o.ORN) + elementSize; size > maxRecord {
						return tooLarge("over %d bytes of %s", maxRecord, member)
					}
					all = append(all, cmp.Or(o.Label, o.ORN))
				}
				return nil
			})
			slices.Sort(all)
			x.keep(size)
			return all, err
		})
		x.details[path] = read
	}
	x.mu.Unlock()
	return read()
}

// keep counts the bytes of a detail. If all details are too large together, it drops them.
func (x *roleReader) keep(size int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.size += size; x.size > maxDetails {
		clear(x.details)
		x.size = 0
	}
}

// targets returns the groups or apps to which a role is limited, sorted.
func (x *roleReader) targets(ctx context.Context, path string) ([]roleTarget, error) {
	type object struct{ ID, Name string }
	all, size := []roleTarget{}, 0
	err := bodyList[object]{path: path, size: 200}.read(ctx, x.read, func(objects []object) error {
		for _, o := range objects {
			t := roleTarget{Type: kindGroup, ID: o.ID}
			if strings.HasSuffix(path, "apps") {
				t.Type, t.Name = "APP", o.Name
			}
			if t.ID == "" && t.Name == "" {
				return errors.New("okta: a target of a role without an id and a name")
			}
			if size += len(t.ID) + len(t.Name) + elementSize; size > maxRecord {
				return tooLarge("over %d bytes of targets of a role", maxRecord)
			}
			all = append(all, t)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b roleTarget) int { return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Name, b.Name)) })
	return all, err
}

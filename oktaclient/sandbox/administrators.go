package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"oktasync/oktaclient/sandbox/internal/roles"
)

// RoleAssignment is an admin role of a user, a group or a service client.
type RoleAssignment = roles.Assignment

// RoleTarget limits a standard admin role to a group or an app.
type RoleTarget = roles.Target

// readRoles is the permission, in a custom role of a client, that reading admin roles
// needs. No standard role but Super Administrator has it.
const readRoles = "okta.iam.read"

// roleTypes are the types of the roles at the start. Okta documents neither the last one
// nor the first one with a resource set.
var roleTypes = []string{"SUPER_ADMIN", "ORG_ADMIN", "APP_ADMIN", "USER_ADMIN", "HELP_DESK_ADMIN", "READ_ONLY_ADMIN", "REPORT_ADMIN",
	"API_ACCESS_MANAGEMENT_ADMIN", "GROUP_MEMBERSHIP_ADMIN", "MOBILE_ADMIN", roles.Custom, "ACCESS_CERTIFICATIONS_ADMIN", "FRONTIER_ADMIN"}

// newRoles returns the roles at the start: every hundredth user has one.
func (o *Org) newRoles() *roles.Registry {
	r := roles.NewRegistry(o.now)
	epoch := time.UnixMilli(o.users.originals.epoch)
	role := r.AddRole("Service Desk", "okta.users.read", "okta.users.credentials.resetFactors")
	set := r.AddResourceSet("Service Desk Scope", "orn:okta:directory:"+o.ID()+":users")
	for i := 0; i < o.users.originals.n; i += 100 {
		a := RoleAssignment{PrincipalType: roles.User, Principal: o.users.originals.id(i), Type: roleTypes[i/100%len(roleTypes)], Created: epoch}
		switch a.Type {
		case roles.Custom:
			a.Role, a.ResourceSet = role, set
		case "USER_ADMIN":
			a.Targets = []RoleTarget{{Type: "GROUP", ID: o.groupID(firstDepartment)}}
		}
		_ = r.Grant(a) // each user has one role
	}
	return r
}

// rolesEndpoint returns the endpoint of admin roles at a path, or nil.
func (o *Org) rolesEndpoint(pattern string, ids []string) *endpoint {
	var serve handler
	switch principals := map[string]string{"/api/v1/users": roles.User, "/api/v1/groups": roles.Group, ownPath + "/v1/clients": roles.Client}; pattern {
	case "/api/v1/iam/assignees/users":
		serve = o.listAssignees
	case "/api/v1/iam/roles":
		serve = o.listRoles
	case "/api/v1/iam/roles/{id}/permissions":
		serve = o.listPermissions(ids[0])
	case "/api/v1/iam/resource-sets":
		serve = o.listResourceSets
	case "/api/v1/iam/resource-sets/{id}/resources":
		serve = o.resourceSetHandler(ids[0], "", "resources")
	case "/api/v1/iam/resource-sets/{id}/bindings":
		serve = o.resourceSetHandler(ids[0], "", "roles")
	case "/api/v1/iam/resource-sets/{id}/bindings/{id}/members":
		serve = o.resourceSetHandler(ids[0], ids[1], "members")
	default:
		list, below, found := strings.Cut(pattern, "/{id}/roles")
		targets, known := map[string]string{"": "", "/{id}/targets/groups": "GROUP", "/{id}/targets/catalog/apps": "APP"}[below]
		if !found || !known || principals[list] == "" {
			return nil
		}
		serve = o.principalHandler(principals[list], ids, targets)
	}
	return &endpoint{scope: "okta.roles.read", serve: serve, permission: readRoles}
}

// principalHandler returns the handler of a path below the roles of a principal.
func (o *Org) principalHandler(principalType string, ids []string, targets string) handler {
	return func(resp *response, r *http.Request, _ *accessToken) error {
		assignments, err := o.rolesOf(principalType, ids[0])
		switch {
		case err != nil:
			return err
		case targets == "" && len(ids) == 1:
			list := []any{}
			for _, a := range assignments {
				list = append(list, o.roleJSON(a))
			}
			resp.writeJSON(http.StatusOK, list) // without a Link header
			return nil
		}
		i := slices.IndexFunc(assignments, func(a RoleAssignment) bool { return a.ID() == ids[1] })
		if i < 0 || targets == "" {
			return notFound(ids[1], "Role")
		}
		return o.listTargets(resp, r, assignments[i], targets)
	}
}

// rolesOf returns the roles of a principal. Those of a user include the roles through
// groups.
func (o *Org) rolesOf(principalType, id string) ([]RoleAssignment, error) {
	assignments := o.Roles().Of(principalType, id)
	switch principalType {
	case roles.Client:
		if len(assignments) == 0 {
			return nil, notFound(id, "PublicClientApp")
		}
	case roles.Group:
		if !o.groups().load(new(object), id) {
			return nil, notFound(id, o.groups().kind)
		}
	default:
		groups, err := o.groupsOf(id, coverage{})
		if err != nil {
			return nil, err
		}
		for _, group := range groups {
			assignments = append(assignments, o.Roles().Of(roles.Group, group)...)
		}
	}
	return assignments, nil
}

// roleLabels are Okta's labels of types. Others are in capital letters.
var roleLabels = map[string]string{"SUPER_ADMIN": "Super Organization Administrator", "ORG_ADMIN": "Organization Administrator",
	"APP_ADMIN": "Application Administrator", "USER_ADMIN": "Group Administrator", "HELP_DESK_ADMIN": "Help Desk Administrator"}

// roleJSON returns an assignment as a list shows it ("List all user role assignments").
func (o *Org) roleJSON(a RoleAssignment) map[string]any {
	status := "ACTIVE"
	var user object
	if a.PrincipalType == roles.User && o.users.load(&user, a.Principal) && (user.status == deprovisioned || user.status == "SUSPENDED") {
		status = "INACTIVE"
	}
	object := map[string]any{"id": a.ID(), "label": cmp.Or(roleLabels[a.Type], a.Type), "type": a.Type, "status": status,
		"created": a.Created.UTC().Format(timeLayout), "lastUpdated": a.Updated.UTC().Format(timeLayout), "assignmentType": a.PrincipalType,
		"_links": map[string]any{"assignee": href(o.principalURL(a))}}
	switch {
	case a.Type == roles.Custom:
		object["label"], object["role"], object["resource-set"] = o.customRole(a.Role).Label, a.Role, a.ResourceSet
	case a.IsPolicy():
		object["role"], object["resource-set"] = a.Type, a.Type+"_IAM_POLICY"
	}
	if a.Expiration != "" {
		object["expirationDate"] = a.Expiration
	}
	return object
}

func (o *Org) customRole(id string) roles.Role {
	for _, role := range o.Roles().Roles() {
		if role.ID == id {
			return role
		}
	}
	return roles.Role{}
}

func href(url string) map[string]string { return map[string]string{"href": url} }

func (o *Org) principalURL(a RoleAssignment) string {
	paths := map[string]string{roles.User: "/api/v1/users/", roles.Group: "/api/v1/groups/", roles.Client: "/oauth2/v1/clients/"}
	return o.URL() + paths[a.PrincipalType] + a.Principal
}

// listTargets is "List all group targets" and "List all app targets". As in captured
// responses, the self link has the default limit and a cursor that begins with PG.
func (o *Org) listTargets(resp *response, r *http.Request, a RoleAssignment, kind string) error {
	const usual, most = 20, 200
	limit, err := parseLimit(r.URL.Query(), 1, usual, most)
	if err != nil {
		return err
	}
	var from position
	if after := r.URL.Query().Get("after"); after != "" {
		if from, err = o.position(r, nil, strings.TrimPrefix(after, "PG")); err != nil {
			return err
		}
	}
	if faultOf(r).Next == NextShort {
		limit = max(1, limit/2)
	}
	targets := slices.DeleteFunc(slices.Clone(a.Targets), func(t RoleTarget) bool { return t.Type != kind })
	targets = targets[min(from.offset, len(targets)):]
	link := func(rel string, at position, limit int) {
		o.link(resp, rel, o.URL()+r.URL.EscapedPath()+"?"+url.Values{"after": {"PG" + o.cursor(r, nil, at)}, "limit": {strconv.Itoa(limit)}}.Encode())
	}
	link("self", from, usual)
	if len(targets) > limit {
		targets = targets[:limit]
		link("next", position{offset: from.offset + limit}, limit)
	}
	list := []json.RawMessage{}
	for _, t := range targets {
		list = append(list, o.targetJSON(t))
	}
	resp.writeJSON(http.StatusOK, list)
	return nil
}

func (o *Org) targetJSON(t RoleTarget) json.RawMessage {
	if group, ok := o.Group(t.ID); ok && t.Type == "GROUP" {
		return group
	}
	object := map[string]any{"name": t.App, "displayName": t.App, "status": "ACTIVE", "category": "", "verificationStatus": "OKTA_VERIFIED"}
	if t.ID != "" {
		object["id"] = t.ID
	}
	text, _ := json.Marshal(object) // of strings
	return text
}

// listAssignees is "List all users with role assignments". Its last page has no links.
// Okta doesn't document whether it contains users with roles only through groups.
func (o *Org) listAssignees(resp *response, r *http.Request, _ *accessToken) error {
	users := map[string]bool{}
	for _, a := range o.Roles().Assignments() {
		switch {
		case a.PrincipalType == roles.User:
			users[a.Principal] = true
		case a.PrincipalType == roles.Group && !o.cfg.DirectAssignees:
			for _, e := range o.EdgesOf(GroupMembers, a.Principal) {
				users[e.Child] = users[e.Child] || e.Until.IsZero()
			}
		}
	}
	var list []entry
	for id, is := range users {
		if is && o.users.load(new(object), id) {
			list = append(list, entry{id, map[string]any{"id": id, "orn": "orn:okta:directory:" + o.ID() + ":users:" + id,
				"_links": map[string]any{"self": href(o.URL() + "/api/v1/users/" + id)}}})
		}
	}
	return o.writeEntries(resp, r, "value", list)
}

// listRoles is "List all custom roles".
func (o *Org) listRoles(resp *response, r *http.Request, _ *accessToken) error {
	var list []entry
	for _, role := range o.Roles().Roles() {
		list = append(list, entry{role.ID, map[string]any{"id": role.ID, "label": role.Label, "description": "", "isCloneable": true,
			"created": role.Created.UTC().Format(timeLayout), "lastUpdated": role.Updated.UTC().Format(timeLayout),
			"_links": map[string]any{"permissions": href(o.adminURL() + "/api/v1/iam/roles/" + role.ID + "/permissions")}}})
	}
	return o.writeEntries(resp, r, "roles", list)
}

// listPermissions is "List all custom role permissions". It has no pages.
func (o *Org) listPermissions(role string) handler {
	return func(resp *response, r *http.Request, _ *accessToken) error {
		custom := o.customRole(role)
		if custom.ID == "" {
			return notFound(role, "CustomRole")
		}
		permissions := []any{}
		for _, p := range custom.Permissions {
			permissions = append(permissions, map[string]any{"label": p, "conditions": nil,
				"created": custom.Created.UTC().Format(timeLayout), "lastUpdated": custom.Updated.UTC().Format(timeLayout)})
		}
		resp.writeJSON(http.StatusOK, map[string]any{"permissions": permissions})
		return nil
	}
}

// listResourceSets is "List all resource sets".
func (o *Org) listResourceSets(resp *response, r *http.Request, _ *accessToken) error {
	var list []entry
	for _, set := range o.Roles().ResourceSets() {
		self := o.URL() + "/api/v1/iam/resource-sets/" + set.ID
		list = append(list, entry{set.ID, map[string]any{"id": set.ID, "label": set.Label, "description": "",
			"created": set.Created.UTC().Format(timeLayout), "lastUpdated": set.Updated.UTC().Format(timeLayout),
			"_links": map[string]any{"self": href(self), "bindings": href(self + "/bindings"), "resources": href(self + "/resources")}}})
	}
	return o.writeEntries(resp, r, "resource-sets", list)
}

// resourceSetHandler returns the handler of a list below a resource set: its resources,
// its bindings, or with a role the members of a binding.
func (o *Org) resourceSetHandler(set, role, name string) handler {
	return func(resp *response, r *http.Request, _ *accessToken) error {
		sets := o.Roles().ResourceSets()
		i := slices.IndexFunc(sets, func(s roles.ResourceSet) bool { return s.ID == set })
		if i < 0 {
			return notFound(set, "ResourceSet")
		}
		self := o.URL() + "/api/v1/iam/resource-sets/" + set
		entries := map[string]any{} // by id
		for k, orn := range sets[i].Resources {
			if id := fmt.Sprintf("ire%017d", k); name == "resources" {
				entries[id] = map[string]any{"id": id, "orn": orn, "conditions": nil, "_links": map[string]any{"self": href(self + "/resources/" + id)}}
			}
		}
		for _, a := range o.Roles().Assignments() {
			switch created := a.Created.UTC().Format(timeLayout); {
			case a.ResourceSet != set || name == "resources":
			case name == "roles":
				entries[a.Role] = map[string]any{"id": a.Role, "_links": map[string]any{"members": href(self + "/bindings/" + a.Role + "/members")}}
			case a.Role == role:
				entries[a.ID()] = map[string]any{"id": a.ID(), "created": created, "lastUpdated": created, "_links": map[string]any{"self": href(o.principalURL(a))}}
			}
		}
		if name == "members" && len(entries) == 0 {
			return notFound(role, "RoleBinding")
		}
		var list []entry
		for id, value := range entries {
			list = append(list, entry{id, value})
		}
		return o.writeEntries(resp, r, name, list)
	}
}

// entry is an object in a list whose next link is in the body.
type entry struct {
	id    string
	value any
}

// adminURL returns the URL of the Admin Console.
func (o *Org) adminURL() string {
	host := strings.TrimPrefix(o.URL(), "https://")
	end := strings.IndexAny(host, ".:")
	return "https://" + host[:end] + "-admin" + host[end:]
}

// writeEntries writes a page of a list, by id, as the member name of an object. The
// links are in its body. Those of /iam/roles lead to the Admin Console's host.
func (o *Org) writeEntries(resp *response, r *http.Request, name string, list []entry) error {
	const most = 100
	limit, err := parseLimit(r.URL.Query(), 1, most, most)
	if err != nil || r.URL.Query().Has("limit") && name != "resources" && name != "value" {
		return newError("E0000001", "limit: not supported")
	}
	var from position
	if after := r.URL.Query().Get("after"); after != "" {
		if from, err = o.position(r, nil, after); err != nil {
			return err
		}
	}
	fault, host := faultOf(r), o.URL()
	if fault.Next == NextShort {
		limit = max(1, limit/2)
	}
	if name == "roles" && strings.HasSuffix(r.URL.Path, "/iam/roles") {
		host = o.adminURL()
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.id, b.id) })
	list = slices.DeleteFunc(list, func(e entry) bool { return e.id <= from.id })
	links := map[string]any{"self": href(host + r.URL.RequestURI())}
	more := len(list) > limit
	list = list[:min(len(list), limit)]
	if more || fault.Next == NextEmpty && len(list) > 0 {
		links["next"] = href(host + o.next(r, nil, position{id: list[len(list)-1].id}))
	}
	switch fault.Next {
	case NextLoop:
		links["next"] = href(o.self(r))
	case NextOtherHost:
		links["next"] = href("https://" + OtherHost + o.next(r, nil, position{}))
	}
	values := []any{}
	for _, e := range list {
		values = append(values, e.value)
	}
	body := map[string]any{name: values, "_links": links}
	if name == "value" && links["next"] == nil {
		delete(body, "_links")
	}
	resp.writeJSON(http.StatusOK, body)
	return nil
}

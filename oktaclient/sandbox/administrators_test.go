package sandbox_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// bodyList follows the next links in bodies, whose host is ignored, and returns the
// elements of the member name, and the pages.
func (c *client) bodyList(path, name string) (all []m, pages []m) {
	c.t.Helper()
	for target := path; target != ""; {
		r := c.get(target)
		if r.status != 200 || r.header.Get("Link") != "" {
			c.t.Fatalf("%s = %d %s, Link %q", target, r.status, r.body, r.header.Get("Link"))
		}
		pages = append(pages, r.json)
		for _, v := range r.json[name].([]any) {
			all = append(all, v.(m))
		}
		target = ""
		if next := href(r.json, "next"); next != "" {
			_, query, _ := strings.Cut(next, "?")
			target = path + "?" + query
		}
	}
	return all, pages
}

// href returns the target of a link of an object; "": there is none.
func href(object m, name string) string {
	links, _ := object["_links"].(m)
	link, _ := links[name].(m)
	target, _ := link["href"].(string)
	return target
}

func grant(t *testing.T, org *sandbox.Org, all ...sandbox.RoleAssignment) {
	t.Helper()
	for _, a := range all {
		if err := org.Roles().Grant(a); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *client) rolesAt(path string) (list []m) {
	c.t.Helper()
	r := c.get(path)
	if err := json.Unmarshal([]byte(r.body), &list); err != nil || r.status != 200 || r.header.Get("Link") != "" {
		c.t.Fatalf("%s = %d %s, Link %q", path, r.status, r.body, r.header.Get("Link"))
	}
	return list
}

// Rule 41: the next link is in the body, and the last page has none.
func TestAssignees(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 15_000})
	list, pages := c.bodyList("/api/v1/iam/assignees/users", "value")
	if _, links := pages[len(pages)-1]["_links"]; len(list) != 150 || len(pages) != 2 || links {
		t.Errorf("administrators = %d on %d pages, links on the last page: %t, want 150 on 2, and false", len(list), len(pages), links)
	}
	for _, direct := range []bool{false, true} {
		c := newClient(t, sandbox.Config{Users: 150, DirectAssignees: direct})
		group := c.org.AddGroup("Operators", "")
		user := c.mustAll("/api/v1/users")[7]
		if err := c.org.AddMember(group, user); err != nil {
			t.Fatal(err)
		}
		grant(t, c.org, sandbox.RoleAssignment{PrincipalType: "GROUP", Principal: group, Type: "ORG_ADMIN"})
		list, _ := c.bodyList("/api/v1/iam/assignees/users", "value")
		if got := slices.ContainsFunc(list, func(v m) bool { return v["id"] == user }); got == direct {
			t.Errorf("an administrator through a group is listed: %t, with only direct ones: %t", got, direct)
		}
	}
	c.noViolations()
}

// Rule 71: a user's roles include copies of those through groups. Ids of roles with
// targets repeat. A client without roles is 404.
func TestRoles(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 350})
	users, group := c.mustAll("/api/v1/users"), c.org.AddGroup("Operators", "")
	user := users[7]
	if err := c.org.AddMember(group, user); err != nil {
		t.Fatal(err)
	}
	targets := []sandbox.RoleTarget{{Type: "GROUP", ID: group}}
	grant(t, c.org,
		sandbox.RoleAssignment{PrincipalType: "USER", Principal: user, Type: "USER_ADMIN", Targets: targets},
		sandbox.RoleAssignment{PrincipalType: "USER", Principal: user, Type: "WORKFLOWS_ADMIN", Expiration: "2024-12-09 14:17:22.0"},
		sandbox.RoleAssignment{PrincipalType: "USER", Principal: users[8], Type: "FRONTIER_ADMIN"},
		sandbox.RoleAssignment{PrincipalType: "GROUP", Principal: group, Type: "USER_ADMIN", Targets: targets},
		sandbox.RoleAssignment{PrincipalType: "CLIENT", Principal: "0oaservice", Type: "READ_ONLY_ADMIN"})
	got := c.rolesAt("/api/v1/users/" + user + "/roles")
	if len(got) != 3 || got[0]["id"] != "KVJUKUS7IFCE2SKO" || got[2]["id"] != got[0]["id"] || got[2]["assignmentType"] != "GROUP" ||
		href(got[2], "assignee") != c.org.URL()+"/api/v1/groups/"+group {
		t.Errorf("roles of a user = %v", got)
	}
	if p := got[1]; p["role"] != "WORKFLOWS_ADMIN" || p["resource-set"] != "WORKFLOWS_ADMIN_IAM_POLICY" || p["expirationDate"] != "2024-12-09 14:17:22.0" {
		t.Errorf("role with a policy = %v", p)
	}
	if got := c.rolesAt("/api/v1/groups/" + group + "/roles"); len(got) != 1 || got[0]["assignmentType"] != "GROUP" {
		t.Errorf("roles of a group = %v", got)
	}
	if got := c.rolesAt("/oauth2/v1/clients/0oaservice/roles"); len(got) != 1 || got[0]["type"] != "READ_ONLY_ADMIN" {
		t.Errorf("roles of a client = %v", got)
	}
	c.get("/oauth2/v1/clients/0oanone/roles").want(t, 404, "E0000007", "")
	c.get("/api/v1/groups/00gnone/roles").want(t, 404, "E0000007", "")
	c.get("/api/v1/users/00unone/roles").want(t, 404, "E0000007", "")
	if got := c.rolesAt("/api/v1/groups/" + c.org.AddGroup("Empty", "") + "/roles"); len(got) != 0 {
		t.Errorf("roles of a group without one = %v", got)
	}
	if err := c.org.Change(sandbox.Deactivate, users[8]); err != nil {
		t.Fatal(err)
	}
	if got := c.rolesAt("/api/v1/users/" + users[8] + "/roles"); len(got) != 1 || got[0]["status"] != "INACTIVE" || got[0]["label"] != "FRONTIER_ADMIN" {
		t.Errorf("roles of a deactivated user = %v", got)
	}
	stats := c.get("/api/v1/groups?expand=stats&" + query("filter", `id eq "`+group+`"`))
	if !strings.Contains(stats.body, `"hasAdminPrivilege":true`) {
		t.Errorf("stats of a group with a role = %s", stats.body)
	}
	c.noViolations()
}

// Rule 72: no targets mean the whole org. The self link has the default limit.
func TestRoleTargets(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 10})
	user := c.mustAll("/api/v1/users")[1]
	var targets []sandbox.RoleTarget
	for i := range 250 {
		targets = append(targets, sandbox.RoleTarget{Type: "GROUP", ID: c.org.AddGroup(fmt.Sprint("Target ", i), "")})
	}
	grant(t, c.org, sandbox.RoleAssignment{PrincipalType: "USER", Principal: user, Type: "HELP_DESK_ADMIN", Targets: targets},
		sandbox.RoleAssignment{PrincipalType: "USER", Principal: user, Type: "APP_ADMIN", Targets: []sandbox.RoleTarget{{Type: "APP", App: "salesforce"}, {Type: "APP", App: "bookmark", ID: "0oa1"}}},
		sandbox.RoleAssignment{PrincipalType: "USER", Principal: user, Type: "USER_ADMIN"})
	all := c.rolesAt("/api/v1/users/" + user + "/roles")
	path := func(i int, kind string) string {
		return "/api/v1/users/" + user + "/roles/" + all[i]["id"].(string) + "/targets/" + kind
	}
	if ids := c.mustAll(path(0, "groups")); len(ids) != 250 || ids[249] != targets[249].ID {
		t.Errorf("group targets = %d, want 250", len(ids))
	}
	r := c.get(path(0, "groups") + "?limit=200")
	if self := r.header.Get("Link"); !strings.Contains(self, "after=PG") || !strings.Contains(self, "limit=20>") {
		t.Errorf("self link = %q", self)
	}
	var apps []m
	if r := c.get(path(1, "catalog/apps")); json.Unmarshal([]byte(r.body), &apps) != nil || len(apps) != 2 || apps[0]["name"] != "salesforce" || apps[0]["id"] != nil || apps[1]["id"] != "0oa1" {
		t.Errorf("app targets = %s", r.body)
	}
	if r := c.get(path(2, "groups")); r.body != "[]\n" {
		t.Errorf("no targets = %q", r.body)
	}
	c.get("/api/v1/users/"+user+"/roles/ra1none/targets/groups").want(t, 404, "E0000007", "")
	c.noViolations()
}

// Rule 73: lists of custom roles have pages of 100. The links of /iam/roles lead to the
// Admin Console's host.
func TestCustomRoles(t *testing.T) {
	c := newClient(t, sandbox.Config{})
	r := c.org.Roles()
	var role string
	for i := range 150 {
		role = r.AddRole(fmt.Sprint("Role ", i), "okta.users.read", "okta.groups.read")
	}
	set := r.AddResourceSet("Berlin", "orn:okta:directory:o:groups:00g1", "orn:okta:directory:o:users")
	for i := range 120 {
		kind := []string{"USER", "GROUP", "CLIENT"}[i%3]
		grant(t, c.org, sandbox.RoleAssignment{PrincipalType: kind, Principal: fmt.Sprint(kind, i), Type: "CUSTOM", Role: role, ResourceSet: set})
	}
	roles, pages := c.bodyList("/api/v1/iam/roles", "roles")
	if next := href(pages[0], "next"); len(roles) != 151 || len(pages) != 2 || !strings.HasPrefix(next, "https://acme-admin.okta.example/api/v1/iam/roles?after=") {
		t.Errorf("custom roles = %d on %d pages, next %q", len(roles), len(pages), next)
	}
	if r := c.get("/api/v1/iam/roles/" + role + "/permissions"); !strings.Contains(r.body, `"label":"okta.groups.read"`) || !strings.Contains(r.body, `"conditions":null`) {
		t.Errorf("permissions = %s", r.body)
	}
	sets, _ := c.bodyList("/api/v1/iam/resource-sets", "resource-sets")
	bindings, _ := c.bodyList("/api/v1/iam/resource-sets/"+set+"/bindings", "roles")
	members, pages := c.bodyList("/api/v1/iam/resource-sets/"+set+"/bindings/"+role+"/members", "members")
	if len(sets) != 2 || len(bindings) != 1 || bindings[0]["id"] != role || len(members) != 120 || len(pages) != 2 {
		t.Errorf("%d resource sets, %d bindings, %d members on %d pages", len(sets), len(bindings), len(members), len(pages))
	}
	seen := map[string]bool{}
	for _, member := range members {
		seen[strings.TrimPrefix(href(member, "self"), c.org.URL())] = true
	}
	for _, path := range []string{"/api/v1/users/USER0", "/api/v1/groups/GROUP1", "/oauth2/v1/clients/CLIENT2"} {
		if !seen[path] {
			t.Errorf("no member %s in %v", path, seen)
		}
	}
	if resources, _ := c.bodyList("/api/v1/iam/resource-sets/"+set+"/resources", "resources"); len(resources) != 2 || resources[0]["orn"] == "" {
		t.Errorf("resources = %v", resources)
	}
	c.get("/api/v1/iam/roles?limit=100").want(t, 400, "E0000001", "")
	c.get("/api/v1/iam/roles/cr0none/permissions").want(t, 404, "E0000007", "")
	c.get("/api/v1/iam/resource-sets/iamnone/bindings").want(t, 404, "E0000007", "")
	c.noViolations()
}

// Rule 74: admin roles need okta.roles.read and okta.iam.read, and have their buckets.
func TestRoleAccess(t *testing.T) {
	paths := []string{"/api/v1/iam/assignees/users", "/api/v1/iam/roles", "/api/v1/iam/resource-sets", "/oauth2/v1/clients/x/roles"}
	with := func(scope string, permissions ...string) *client {
		c := newClient(t, sandbox.Config{Users: 10, Clients: []sandbox.ClientApp{{RequireDPoP: true, Scopes: []string{scope}, Permissions: permissions}}})
		c.scope = scope
		return c
	}
	c := with("okta.users.read", "okta.iam.read")
	for _, path := range append(paths[:3:3], "/api/v1/users/x/roles", "/api/v1/groups/x/roles") {
		c.get(path).wantChallenge(t, 403, "Bearer", "insufficient_scope", "")
	}
	c = with("okta.roles.read")
	for _, path := range paths {
		c.get(path).want(t, 403, "E0000006", "")
	}
	c = newClient(t, sandbox.Config{Users: 10, RateLimit: sandbox.WorkforceLimits(), Unlicensed: []string{"/api/v1/iam/roles"}})
	users := c.mustAll("/api/v1/users")
	for path, limit := range map[string]string{"/api/v1/iam/roles": "100", "/oauth2/v1/clients/x/roles": "50", "/api/v1/users/" + users[0] + "/roles": "300",
		"/api/v1/groups/x/roles": "250", "/api/v1/iam/resource-sets/x/resources": "100"} {
		if got := c.get(path).header.Get("X-Rate-Limit-Limit"); got != limit {
			t.Errorf("limit of %s = %s, want %s", path, got, limit)
		}
	}
	c.get("/api/v1/iam/roles").want(t, 401, "E0000015", "")
	c.noViolations()
}

// Rule 75: faults also change the next links in bodies.
func TestBodyLinkFaults(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 300})
	for next, want := range map[string]string{
		sandbox.NextLoop:      c.org.URL() + "/api/v1/iam/assignees/users",
		sandbox.NextOtherHost: "https://" + sandbox.OtherHost + "/api/v1/iam/assignees/users?after=",
		sandbox.NextEmpty:     c.org.URL() + "/api/v1/iam/assignees/users?after=",
	} {
		c.org.Inject(sandbox.Fault{Path: "/api/v1/iam/", Next: next})
		if got := href(c.get("/api/v1/iam/assignees/users").json, "next"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: next = %q", next, got)
		}
	}
	c.noViolations()
}

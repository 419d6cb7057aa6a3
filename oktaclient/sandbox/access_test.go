package sandbox_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// app is a decoded app.
type app struct {
	ID, Name, Label, Status string
	SignOnMode              *string
	Settings                struct{ ImplicitAssignment bool }
}

// appsByLabel decodes all apps.
func appsByLabel(t *testing.T, org *sandbox.Org) map[string]app {
	t.Helper()
	all := map[string]app{}
	for id, text := range org.AppsJSON() {
		var a app
		if err := json.Unmarshal(text, &a); err != nil || a.ID != id {
			t.Fatalf("app %s = %s: %v", id, text, err)
		}
		all[a.Label] = a
	}
	return all
}

// edgePath returns the path of the list of a parent's edges.
func edgePath(kind sandbox.EdgeKind, parent string) string {
	return map[sandbox.EdgeKind]string{sandbox.GroupMembers: "/api/v1/groups/" + parent + "/users",
		sandbox.AppUsers: "/api/v1/apps/" + parent + "/users", sandbox.AppGroups: "/api/v1/apps/" + parent + "/groups"}[kind]
}

// children returns the children that a parent has now, in the order of the org's
// account.
func children(org *sandbox.Org, kind sandbox.EdgeKind, parent string) (ids []string) {
	for e := range org.Edges(kind, time.Time{}) {
		if e.Parent == parent {
			ids = append(ids, e.Child)
		}
	}
	return ids
}

// Rule 50: a correct client reads exactly the org's edges, in the order of each
// list, byte for byte.
func TestReadAllEdges(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 260, Groups: 30, Memberships: 1500, Apps: 20, Assignments: 900})
	memberships, assignments := 0, 0
	parents := map[sandbox.EdgeKind][]string{}
	for id := range c.org.GroupsJSON() {
		parents[sandbox.GroupMembers] = append(parents[sandbox.GroupMembers], id)
	}
	for id := range c.org.AppsJSON() {
		parents[sandbox.AppUsers] = append(parents[sandbox.AppUsers], id)
		parents[sandbox.AppGroups] = append(parents[sandbox.AppGroups], id)
	}
	for kind, ids := range parents {
		for _, parent := range ids {
			got, rows, err := c.all(edgePath(kind, parent) + "?limit=50")
			if err != nil || !slices.Equal(got, children(c.org, kind, parent)) {
				t.Fatalf("%s of %s = %q %v, want %q", kind, parent, got, err, children(c.org, kind, parent))
			}
			for i, row := range rows {
				if want, _ := c.org.EdgeJSON(kind, parent, got[i]); !bytes.Equal(row, want) || !json.Valid(row) {
					t.Fatalf("%s = %s, want %s", kind, row, want)
				}
			}
			switch {
			case kind == sandbox.AppUsers:
				assignments += len(got)
			case kind == sandbox.GroupMembers && parent != groupsByName(t, c.org)["Everyone"].ID:
				memberships += len(got)
			}
		}
	}
	if memberships != 1500 || assignments != 900 {
		t.Errorf("memberships = %d, assignments = %d; want 1500 and 900", memberships, assignments)
	}
	c.noViolations()
}

// Rule 50: limits of the lists.
func TestAccessLimits(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 1200, Apps: 260, Assignments: 6000})
	groups, apps := groupsByName(t, c.org), appsByLabel(t, c.org)
	app := c.org.AddApp("Everyone's")
	for i := range 210 {
		group := c.org.AddGroup("G", "")
		if err := c.org.AssignGroup(app, group, 210-i); err != nil {
			t.Fatal(err)
		}
		c.org.AddRule("R", "true", group)
	}
	if err := c.org.AssignGroup(app, groups["Everyone"].ID, 0); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][3]int{ // usual, most, least
		"/api/v1/apps": {20, 200, 1}, "/api/v1/groups/rules": {50, 200, 1}, edgePath(sandbox.AppUsers, app): {50, 500, 1},
		edgePath(sandbox.AppGroups, app): {20, 200, 20}, edgePath(sandbox.GroupMembers, groups["Everyone"].ID): {1000, 1000, 1},
	} {
		for target, want := range map[string]int{path: want[0], path + "?limit=100000": want[1], fmt.Sprintf("%s?limit=%d", path, want[2]): want[2]} {
			r := c.get(target)
			var page []json.RawMessage
			if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page) != want || r.next() == "" {
				t.Errorf("%s: %d rows, next %q, %v; want %d and a next link", target, len(page), r.next(), err, want)
			}
		}
		c.get(fmt.Sprintf("%s?limit=%d", path, want[2]-1)).want(t, 400, "E0000001", "")
		c.get(path+"?after=AA%3D%3D%2Fx&limit=20").want(t, 400, "E0000029", "")
	}
	if got := c.mustAll(edgePath(sandbox.AppGroups, app)); got[0] != groups["Everyone"].ID || len(got) != 211 {
		t.Errorf("%d groups of the app, the first is %s; want Everyone, which has the lowest priority number", len(got), got[0])
	}
	if got := len(children(c.org, sandbox.AppUsers, apps["Salesforce"].ID)); got != 1200 {
		t.Errorf("the second app has %d users, want all", got)
	}
}

// Pages that an org keeps are the same as those that it builds, also after a change.
func TestCachedEdges(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50, CachePages: true})
	group := groupsByName(t, c.org)["Everyone"].ID
	path := edgePath(sandbox.GroupMembers, group)
	for range 3 {
		want := c.get(path).body
		for range 2 {
			req := c.request(path, nil)
			req.Header.Set("Accept-Encoding", "gzip")
			r := c.must(req)
			z, err := gzip.NewReader(strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(z); err != nil || string(got) != want {
				t.Fatalf("cached page differs: %v", err)
			}
		}
		c.org.Move(1)
		c.org.Join(1)
		c.org.Delete(1)
	}
}

// Rule 51: members are complete users of every status, by id; Everyone contains
// all users.
func TestMembers(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 300, Deprovisioned: 40})
	groups := groupsByName(t, c.org)
	ids, rows, err := c.all(edgePath(sandbox.GroupMembers, groups["Everyone"].ID) + "?limit=77")
	if err != nil || len(ids) != 300 || !slices.IsSorted(ids) {
		t.Errorf("members of Everyone = %d %v, want 300 by id", len(ids), err)
	}
	gone := 0
	for i, row := range rows {
		if want, _ := c.org.User(ids[i]); !bytes.Equal(row, want) {
			t.Fatalf("member = %s, want %s", row, want)
		}
		if strings.Contains(string(row), `"status":"DEPROVISIONED"`) {
			gone++
		}
	}
	if gone != 40 {
		t.Errorf("%d deprovisioned members, want 40", gone)
	}
	if got := len(c.mustAll(edgePath(sandbox.GroupMembers, groups["Okta Administrators"].ID))); got != 3 {
		t.Errorf("administrators = %d, want 3", got)
	}
	finance := groups["Finance"].ID
	member := children(c.org, sandbox.GroupMembers, finance)[0]
	if ids := c.mustAll("/api/v1/users/" + member + "/groups"); !slices.IsSorted(ids) || !slices.Contains(ids, finance) || !slices.Contains(ids, groups["Everyone"].ID) {
		t.Errorf("groups of %s = %q, want them by id, with Finance and Everyone", member, ids)
	}
	for target, want := range map[string]int{"": 300, "?limit=5000": 300, "?limit=299": 299} {
		var page []json.RawMessage
		if _ = json.Unmarshal([]byte(c.get(edgePath(sandbox.GroupMembers, groups["Everyone"].ID)+target).body), &page); len(page) != want {
			t.Errorf("%q: %d members, want %d", target, len(page), want)
		}
	}
	c.get(edgePath(sandbox.GroupMembers, finance)+"?limit=0").want(t, 400, "E0000001", "")
	c.get("/api/v1/groups/00gnone/users").want(t, 404, "E0000007", "00gnone (UserGroup)")
	c.get("/api/v1/users/00unone/groups").want(t, 404, "E0000007", "00unone (User)")
}

// Rule 52: apps by id, with INACTIVE ones, a null or unknown signOnMode, and
// implicit assignment.
func TestApps(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 100})
	if ids := c.mustAll("/api/v1/apps?limit=5"); len(ids) != 12 || !slices.IsSorted(ids) {
		t.Errorf("apps = %q, want 12 by id", ids)
	}
	apps := appsByLabel(t, c.org)
	if a := apps["brightwater.example"]; a.SignOnMode != nil || a.Name != "active_directory" {
		t.Errorf("directory = %+v, want signOnMode null", a)
	}
	if a := apps["Cafeteria Menu"]; !a.Settings.ImplicitAssignment || len(c.mustAll(edgePath(sandbox.AppUsers, a.ID))) != 0 {
		t.Errorf("implicit app = %+v, want no users", a)
	}
	if got := len(c.mustAll("/api/v1/apps?filter=status+eq+%22INACTIVE%22")); got != 2 {
		t.Errorf("inactive apps = %d, want 2", got)
	}
	for _, bad := range []string{`lastUpdated gt "2020-01-01T00:00:00.000Z"`, `status eq "ACTIVE" and name eq "bookmark"`, `(status eq "ACTIVE")`} {
		c.get("/api/v1/apps?"+query("filter", bad)).want(t, 400, "E0000031", "")
	}
	c.get("/api/v1/apps?"+query("search", `status eq "ACTIVE"`)).want(t, 400, "E0000031", "")
	id := apps["Salesforce"].ID
	if want, _ := c.org.App(id); c.get("/api/v1/apps/"+id).body != string(want) {
		t.Errorf("app by id differs from the list")
	}
	c.get("/api/v1/apps/0oanone").want(t, 404, "E0000007", "0oanone (AppInstance)")
	c.noViolations()
	if r := c.get("/api/v1/apps/" + id + "/credentials/secrets"); r.status != 200 || !strings.Contains(r.body, sandbox.PlantedSecret) {
		t.Errorf("secrets = %d %s", r.status, r.body)
	}
	c.oneViolation()
}

// Rule 53: users of an app by time of assignment, in both scopes and every status;
// its groups by priority.
func TestAssignments(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 500, Apps: 40, Assignments: 4000})
	statuses, scopes, withoutSync, withoutCredentials := map[string]int{}, map[string]int{}, 0, 0
	for _, a := range appsByLabel(t, c.org) {
		created := ""
		_, rows, err := c.all(edgePath(sandbox.AppUsers, a.ID))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			var u struct {
				ID, Status, Scope, Created string
				LastSync, Credentials      any
				Links                      map[string]any `json:"_links"`
			}
			if err := json.Unmarshal(row, &u); err != nil || u.Created < created || (u.Links["group"] != nil) != (u.Scope == "GROUP") ||
				!strings.Contains(string(row), sandbox.PlantedSecret) {
				t.Fatalf("user of app after %s = %s: %v", created, row, err)
			}
			created = u.Created
			statuses[u.Status]++
			scopes[u.Scope]++
			if u.LastSync == nil {
				withoutSync++
			}
			if u.Credentials == nil {
				withoutCredentials++
			}
			if a.Status == "INACTIVE" && u.Scope == "GROUP" {
				t.Errorf("inactive app %s has the user %s through a group", a.ID, u.ID)
			}
		}
		priority := -1
		_, rows, _ = c.all(edgePath(sandbox.AppGroups, a.ID))
		for _, row := range rows {
			var g struct{ Priority int }
			if _ = json.Unmarshal(row, &g); g.Priority < priority {
				t.Errorf("group of app after priority %d = %s", priority, row)
			}
			priority = g.Priority
		}
		c.get(edgePath(sandbox.AppGroups, a.ID)+"?limit=19").want(t, 400, "E0000001", "")
	}
	if len(statuses) != 13 || len(scopes) != 2 || withoutSync == 0 || withoutCredentials == 0 {
		t.Errorf("statuses = %v, scopes = %v, %d without lastSync, %d without credentials", statuses, scopes, withoutSync, withoutCredentials)
	}
}

// Rule 54: a user gets an app through a group, and loses it with the last
// assignment. A direct assignment comes first.
func TestAccessThroughGroup(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 40})
	group, second, app := c.org.AddGroup("Reviewers", ""), c.org.AddGroup("Auditors", ""), c.org.AddApp("Ledger")
	user := c.mustAll("/api/v1/users?limit=5")[0]
	row := "/api/v1/apps/" + app + "/users/" + user
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	scope := func(want string) {
		t.Helper()
		if r := c.get(row); want == "" && r.status != 404 || want != "" && r.json["scope"] != want {
			t.Errorf("row = %d %s, want scope %q", r.status, r.body, want)
		}
	}
	do(c.org.AddMember(group, user))
	do(c.org.AddMember(second, user))
	scope("")
	do(c.org.AssignGroup(app, group, 0))
	scope("GROUP")
	do(c.org.AssignGroup(app, second, 1))
	do(c.org.RemoveMember(group, user))
	scope("GROUP")
	do(c.org.AssignUser(app, user, "PROVISIONED"))
	scope("USER")
	do(c.org.UnassignGroup(app, second))
	scope("USER")
	do(c.org.AddMember(group, user))
	do(c.org.UnassignUser(app, user))
	scope("GROUP")
	do(c.org.SetAppActive(app, false))
	scope("")
	if got := c.mustAll(edgePath(sandbox.AppGroups, app)); !slices.Equal(got, []string{group}) {
		t.Errorf("groups of the inactive app = %q, want %q", got, group)
	}
	do(c.org.SetAppActive(app, true))
	scope("GROUP")
	do(c.org.DeleteGroup(group))
	scope("")
	log := c.get("/api/v1/logs?limit=1000").body
	for _, event := range []string{"group.user_membership.add", "group.user_membership.remove", "application.user_membership.add", "group.application_assignment.add", "application.lifecycle.deactivate"} {
		if !strings.Contains(log, event) {
			t.Errorf("the log has no %s", event)
		}
	}
	for _, err := range []error{c.org.AddMember("00gnone", user), c.org.AddMember(second, "00unone"), c.org.AssignUser(app, user, "UNKNOWN"),
		c.org.AddMember(groupsByName(t, c.org)["Everyone"].ID, user), c.org.AssignGroup("0oanone", second, 0)} {
		if err == nil {
			t.Error("a change that can't be made was made")
		}
	}
}

// Rule 55: the deletion of a user, a group or an app ends its edges, and the org
// keeps their history.
func TestDeletedEdges(t *testing.T) {
	org := sandbox.NewOrg(sandbox.Config{Users: 60})
	group, app := org.AddGroup("Pilots", ""), org.AddApp("Charts")
	users := slices.Sorted(maps.Keys(snapshot(org)))[:3]
	for _, user := range users {
		if err := org.AddMember(group, user); err != nil {
			t.Fatal(err)
		}
	}
	if err := org.AssignGroup(app, group, 0); err != nil {
		t.Fatal(err)
	}
	middle := time.Now()
	if err := org.Change(sandbox.Delete, users[0]); err != nil {
		t.Fatal(err)
	}
	for kind, parent := range map[sandbox.EdgeKind]string{sandbox.GroupMembers: group, sandbox.AppUsers: app} {
		if got := children(org, kind, parent); !slices.Equal(got, users[1:]) {
			t.Errorf("%s after the deletion of a user = %q, want %q", kind, got, users[1:])
		}
		all := org.EdgesOf(kind, parent)
		if len(all) != 3 || all[0].Until.IsZero() || !all[0].Existed(middle, middle) || all[0].Existed(middle.Add(-time.Hour), middle.Add(-time.Hour)) ||
			all[0].Existed(time.Now(), time.Now()) || !all[1].Existed(time.Now(), time.Now()) {
			t.Errorf("history of %s = %+v", kind, all)
		}
	}
	if err := org.DeleteGroup(group); err != nil {
		t.Fatal(err)
	}
	if m, a := children(org, sandbox.GroupMembers, group), children(org, sandbox.AppUsers, app); len(m)+len(a) > 0 {
		t.Errorf("after the deletion of the group: members %q, users of the app %q", m, a)
	}
	if err := org.AssignUser(app, users[1], ""); err != nil {
		t.Fatal(err)
	}
	if err := org.DeleteApp(app); err != nil {
		t.Fatal(err)
	}
	if a := children(org, sandbox.AppUsers, app); len(a) > 0 {
		t.Errorf("users of a deleted app = %q", a)
	}
}

// Rule 56: scopes, roles and licenses for apps and edges.
func TestAccessRoles(t *testing.T) {
	with := func(cfg sandbox.Config, role string, scopes ...string) *client {
		cfg.Users, cfg.Clients = 400, []sandbox.ClientApp{{RequireDPoP: true, Scopes: scopes, Role: role}}
		c := newClient(t, cfg)
		c.scope = strings.Join(scopes, " ")
		return c
	}
	all := []string{"okta.users.read", "okta.groups.read", "okta.apps.read"}
	lists := []string{"/api/v1/apps", "/api/v1/groups/rules", edgePath(sandbox.GroupMembers, "x"), edgePath(sandbox.AppUsers, "x"), edgePath(sandbox.AppGroups, "x")}
	c := with(sandbox.Config{}, sandbox.RoleReadOnly, "okta.users.read")
	for _, path := range append(lists, "/api/v1/apps/x", "/api/v1/apps/x/users/y", "/api/v1/groups/rules/x") {
		c.get(path).wantChallenge(t, 403, "Bearer", "insufficient_scope", "")
	}
	c = with(sandbox.Config{}, sandbox.RoleNone, all...)
	for _, path := range append(lists, "/api/v1/users/x/groups") {
		if r := c.get(path); r.status != 200 || r.body != "[]" {
			t.Errorf("%s without a role = %d %s, want 200 []", path, r.status, r.body)
		}
	}
	c.get("/api/v1/apps/x").want(t, 403, "E0000006", "")

	c = with(sandbox.Config{Groups: 40}, sandbox.RoleHalf, all...)
	groups := groupsByName(t, c.org)
	visible := c.mustAll("/api/v1/groups")
	if len(visible) < 12 || len(visible) > 30 || !slices.Contains(visible, groups["Everyone"].ID) {
		t.Errorf("%d of 40 groups are visible, want about half, and Everyone", len(visible))
	}
	users := slices.Concat(c.mustAll("/api/v1/users"), c.mustAll("/api/v1/users?"+query("filter", `status eq "DEPROVISIONED"`)))
	members := c.mustAll(edgePath(sandbox.GroupMembers, groups["Everyone"].ID))
	if len(users) < 50 || len(users) > 380 || len(members) != len(users) {
		t.Errorf("users = %d of 400, members of Everyone = %d", len(users), len(members))
	}
	for name, g := range groups {
		switch r := c.get(edgePath(sandbox.GroupMembers, g.ID)); {
		case slices.Contains(visible, g.ID) && r.status != 200:
			t.Errorf("members of %s = %d %s", name, r.status, r.body)
		case !slices.Contains(visible, g.ID):
			r.want(t, 403, "E0000006", "")
		}
	}
	for _, id := range c.mustAll("/api/v1/users/" + users[0] + "/groups") {
		if !slices.Contains(visible, id) {
			t.Errorf("the groups of a user contain %s, which the role doesn't include", id)
		}
	}

	c = with(sandbox.Config{Unlicensed: []string{"/api/v1/groups/rules"}}, "", all...)
	c.get("/api/v1/groups/rules").want(t, 401, "E0000015", "")
	c.get("/api/v1/groups").want(t, 200, "", "")
	c.noViolations()
}

// Rule 57: rules.
func TestRules(t *testing.T) {
	c := newClient(t, sandbox.Config{})
	status := func() (all []string) {
		_, rows, err := c.all("/api/v1/groups/rules?limit=2")
		for _, row := range rows {
			var r struct{ Status, Type string }
			if _ = json.Unmarshal(row, &r); r.Type != "group_rule" {
				t.Errorf("rule = %s", row)
			}
			all = append(all, r.Status)
		}
		if err != nil {
			t.Error(err)
		}
		return all
	}
	if got := status(); !slices.Equal(got, []string{"ACTIVE", "INACTIVE", "INVALID"}) {
		t.Errorf("rules = %q", got)
	}
	id := c.org.AddRule("New", `user.title == "x"`, "00g1")
	if err := c.org.SetRuleActive(id, true); err != nil {
		t.Error(err)
	}
	if err := c.org.SetRule(id, "name", json.RawMessage(`"Newer"`)); err != nil {
		t.Error(err)
	}
	if r := c.get("/api/v1/groups/rules/" + id); r.json["name"] != "Newer" || r.json["status"] != "ACTIVE" {
		t.Errorf("rule = %d %s", r.status, r.body)
	}
	if err := c.org.DeleteRule(id); err != nil || len(status()) != 3 {
		t.Errorf("delete rule: %v, then %d", err, len(status()))
	}
	c.get("/api/v1/groups/rules/"+id).want(t, 404, "E0000007", id+" (GroupRule)")
}

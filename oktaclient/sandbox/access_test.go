package sandbox_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

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

// children returns the children that a parent has now, in the order of the org's
// Rule 50: a correct client reads exactly the org's edges, in the order of each
// Rule 51: members are complete users of every status, by id; Everyone contains
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
	created := c.get(row).json["created"]
	time.Sleep(2 * time.Millisecond)
	do(c.org.AssignUser(app, user, "PROVISIONED"))
	scope("USER")
	if got := c.get(row).json["created"]; got != created {
		t.Errorf("a direct assignment changed created from %v to %v", created, got)
	}
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

// Rule 64: deactivation suspends a user in apps with credentials of their own.
func TestSuspendedAssignments(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50})
	app, user := appsByLabel(t, c.org)[`Parts "Legacy" Portal`].ID, c.mustAll("/api/v1/users?" + query("filter", `status eq "ACTIVE"`))[0]
	group := c.org.AddGroup("Mechanics", "")
	_ = c.org.UnassignUser(app, user)
	for _, err := range []error{c.org.AddMember(group, user), c.org.AssignGroup(app, group, 0), c.org.Change(sandbox.Deactivate, user)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	row := "/api/v1/apps/" + app + "/users/" + user
	if r := c.get(row); r.json["status"] != "SUSPENDED" || r.json["scope"] != "GROUP" {
		t.Errorf("row of a deactivated user = %d %s", r.status, r.body)
	}
	if got := c.mustAll(edgePath(sandbox.GroupMembers, group)); !slices.Contains(got, user) {
		t.Error("a deactivated user is no member")
	}
	if err := c.org.Change(sandbox.Reactivate, user); err != nil {
		t.Fatal(err)
	}
	if r := c.get(row); r.json["status"] != "ACTIVE" || r.json["scope"] != "USER" {
		t.Errorf("row of a reactivated user = %d %s", r.status, r.body)
	}
}

// Each control of /sandbox/ for members, apps and rules changes the org.
func TestAccessControls(t *testing.T) {
	org := sandbox.NewOrg(sandbox.Config{Users: 20, Control: true})
	s, err := sandbox.NewServer(org, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	post := func(target, body string) string {
		t.Helper()
		resp, err := s.Client().Post(s.URL+"/sandbox/"+target, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct{ IDs []string }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", target, resp.StatusCode, err)
		}
		return strings.Join(answer.IDs, "")
	}
	user := slices.Sorted(maps.Keys(snapshot(org)))[0]
	group, app := post("add-group?name=G", ""), post("add-app?label=A", "")
	post("add-member?group="+group+"&user="+user, "")
	post("assign-group?app="+app+"&group="+group+"&priority=2", "")
	post("assign-user?app="+app+"&user="+user+"&status=STAGED", "")
	if all := org.EdgesOf(sandbox.AppUsers, app); len(all) != 2 || all[1].Status != "STAGED" || all[1].Scope != "USER" || all[0].Until.IsZero() {
		t.Errorf("users of the app = %+v", all)
	}
	if all := org.EdgesOf(sandbox.AppGroups, app); len(all) != 1 || all[0].Priority != 2 {
		t.Errorf("groups of the app = %+v", all)
	}
	post("unassign-user?app="+app+"&user="+user, "")
	post("unassign-group?app="+app+"&group="+group, "")
	post("remove-member?group="+group+"&user="+user, "")
	for _, kind := range sandbox.EdgeKinds() {
		for e := range org.Edges(kind, time.Time{}) {
			if e.Parent == group || e.Parent == app {
				t.Errorf("%+v is left", e)
			}
		}
	}
	post("set-app?id="+app+"&path=label", `"B"`)
	post("deactivate-app?id="+app, "")
	if a := appsByLabel(t, org)["B"]; a.Status != "INACTIVE" {
		t.Errorf("app = %+v", a)
	}
	post("activate-app?id="+app, "")
	post("delete-app?id="+app, "")
	post("put-app", `{"id":"0oaput","status":"ACTIVE","label":"Put"}`)
	if all := appsByLabel(t, org); all["B"].ID != "" || all["Put"].ID != "0oaput" {
		t.Errorf("apps = %+v", all)
	}
	rule := post("add-rule?name=R&expression=true&group="+group, "")
	post("activate-rule?id="+rule, "")
	post("set-rule?id="+rule+"&path=name", `"S"`)
	post("deactivate-rule?id="+rule, "")
	post("delete-rule?id="+rule, "")
	for _, name := range []string{"apps", "rules", "group_members", "app_users", "app_groups"} {
		resp, err := s.Client().Get(s.URL + "/sandbox/" + name)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %v %v", name, resp, err)
		}
		resp.Body.Close()
	}
}

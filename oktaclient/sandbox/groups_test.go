package sandbox_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

type group struct {
	ID, Type, Created, LastUpdated, LastMembershipUpdated string
	ObjectClass                                           []string
	Profile                                               map[string]any
	Source                                                struct{ ID string }
	Links                                                 map[string]any `json:"_links"`
}

// groupsByName decodes all groups.
func groupsByName(t *testing.T, org *sandbox.Org) map[string]group {
	t.Helper()
	all := map[string]group{}
	for id, text := range org.GroupsJSON() {
		var g group
		if err := json.Unmarshal(text, &g); err != nil || g.ID != id {
			t.Fatalf("group %s = %s: %v", id, text, err)
		}
		all[g.Profile["name"].(string)] = g
	}
	return all
}

// Rule 48: the groups at the start.
func TestGroups(t *testing.T) {
	org := sandbox.NewOrg(sandbox.Config{Users: 300, Seed: 7})
	all := groupsByName(t, org)
	if again := groupsByName(t, sandbox.NewOrg(sandbox.Config{Users: 300, Seed: 7})); len(all) != 13 || !reflect.DeepEqual(all, again) {
		t.Errorf("groups = %v, then %v; want 13, and the same for the same seed", all, again)
	}
	types := map[string]int{}
	for name, g := range all {
		types[g.Type]++
		imported := g.Type == "APP_GROUP"
		wantClass := "okta:user_group"
		if imported {
			wantClass = "okta:windows_security_principal"
		}
		_, described := g.Profile["description"]
		if !regexp.MustCompile(`^00g[0-9A-Za-z]{17}$`).MatchString(g.ID) || !described || !slices.Equal(g.ObjectClass, []string{wantClass}) ||
			(g.Source.ID != "") != imported || (g.Profile["objectSid"] != nil) != imported {
			t.Errorf("group %s = %+v", name, g)
		}
		if g.Created == "" || g.LastUpdated < g.Created || g.LastMembershipUpdated < g.Created {
			t.Errorf("group %s was created at %s, updated at %s and %s", name, g.Created, g.LastUpdated, g.LastMembershipUpdated)
		}
		if g.Links["users"] == nil || g.Links["apps"] == nil || g.Links["logo"] == nil || g.Links["self"] != nil {
			t.Errorf("links of %s = %v, want logo, users, apps and no self", name, g.Links)
		}
	}
	if want := map[string]int{"BUILT_IN": 2, "OKTA_GROUP": 10, "APP_GROUP": 1}; !reflect.DeepEqual(types, want) {
		t.Errorf("types = %v, want %v", types, want)
	}
	newest := ""
	for _, user := range snapshot(org) {
		newest = max(newest, user["created"].(string))
	}
	if got := all["Everyone"].LastMembershipUpdated; got != newest {
		t.Errorf("lastMembershipUpdated of Everyone = %s, want %s: when the newest user was created", got, newest)
	}
}

// Rule 47: order, limit and pages of the list.
func TestGroupLists(t *testing.T) {
	for cfg, most := range map[int]int{0: 313, 200: 200} {
		c := newClient(t, sandbox.Config{Users: 5, GroupLimit: cfg})
		for i := range 300 {
			c.org.AddGroup(fmt.Sprintf("project %03d", i*7%300), "")
		}
		var names []string
		_, rows, err := c.all(groups("limit", "20"))
		for _, row := range rows {
			names = append(names, sortKey(row, "profile.name"))
		}
		if err != nil || len(names) != 313 || !slices.IsSorted(names) {
			t.Errorf("groups = %d %v, want 313 sorted by name: %q", len(names), err, names)
		}
		for _, row := range rows {
			var g group
			_ = json.Unmarshal(row, &g)
			if want, _ := c.org.Group(g.ID); string(row) != string(want) {
				t.Fatalf("listed = %s, want %s", row, want)
			}
		}
		for target, want := range map[string]int{
			"/api/v1/groups": most, groups("limit", "10000"): most, groups("limit", "10001"): most, groups("limit", "50"): 50, groups("limit", "0"): 0,
			groups("q", "PROJECT 0"): 100, groups("q", "project", "limit", "1000"): 300, groups("q", "project", "limit", "7"): 7,
		} {
			r := c.get(target)
			var page []json.RawMessage
			if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page) != want {
				t.Errorf("%s: %d groups %v, want %d", target, len(page), err, want)
			}
			if more := want < 313 && want > 0 && !strings.Contains(target, "q="); (r.next() != "") != more {
				t.Errorf("%s: next = %q", target, r.next())
			}
		}
		c.noViolations()
		c.get(groups("limit", "-1")).want(t, 400, "E0000001", "")
		next := c.get(groups("limit", "5")).next()
		c.get(strings.Replace(next, "/groups?", "/users?", 1)).want(t, 400, "E0000029", "")
	}
}

// A group that is renamed while a client pages is listed twice, or not at all.
func TestGroupRenamedBetweenPages(t *testing.T) {
	c := newClient(t, sandbox.Config{})
	ids := c.mustAll("/api/v1/groups")
	next := c.get(groups("limit", "5")).next()
	for i, name := range map[int]string{0: `"zzz"`, 12: `"aaa"`} {
		if err := c.org.SetGroup(ids[i], "profile.name", json.RawMessage(name)); err != nil {
			t.Fatal(err)
		}
	}
	if rest := c.mustAll(next); len(rest) != 8 || !slices.Contains(rest, ids[0]) || slices.Contains(rest, ids[12]) {
		t.Errorf("the next pages = %q, want the first group %s again and the last one %s missing", rest, ids[0], ids[12])
	}
}

// Rule 47: filter and search of groups.
func TestGroupExpressions(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 5})
	all := groupsByName(t, c.org)
	finance, everyone := all["Finance"], all["Everyone"]
	for param, expressions := range map[string][]expression{
		"filter": {
			{`type eq "OKTA_GROUP"`, 10},
			{`type eq "okta_group"`, none},
			{`type eq "BUILT_IN" or type eq "APP_GROUP"`, 3},
			{fmt.Sprintf(`id eq "%s"`, finance.ID), one},
			{fmt.Sprintf(`lastUpdated eq "%s" and id eq "%s"`, finance.LastUpdated, finance.ID), one},
			{fmt.Sprintf(`lastMembershipUpdated gt "%s" and type eq "BUILT_IN"`, everyone.LastMembershipUpdated), none},
			{fmt.Sprintf(`lastMembershipUpdated ge "%s" and type eq "BUILT_IN"`, everyone.LastMembershipUpdated), one},
			{`created gt "2000-01-01T00:00:00.000Z"`, rejected},
			{`profile.name eq "Finance"`, rejected},
			{`status eq "ACTIVE"`, rejected},
			{`type sw "OKTA"`, rejected},
			{`type ne "OKTA_GROUP"`, rejected},
		},
		"search": {
			{`type eq "okta_group"`, 10},
			{`profile.name sw "e"`, 2},
			{`profile.name co "access"`, one},
			{`profile.description co "okta manages"`, one},
			{`profile.samAccountName pr`, one},
			{`source.id eq "` + all["Lab Access"].Source.ID + `"`, one},
			{`created gt "2000-01-01T00:00:00.000Z"`, 13},
			{`profile.samAccountName co "lab"`, rejected},
			{`profile.department eq "Finance"`, rejected},
			{`status eq "ACTIVE"`, rejected},
		},
	} {
		for _, test := range expressions {
			target := groups(param, test.text)
			if test.want == rejected {
				c.get(target).want(t, 400, "E0000031", "")
			} else if got := len(c.mustAll(target)); got != test.want {
				t.Errorf("%s=%s: %d groups, want %d", param, test.text, got, test.want)
			}
		}
	}
	c.get(groups("search", `type pr`, "filter", `type eq "BUILT_IN"`)).want(t, 400, "E0000033", "")
	if ids := c.mustAll(groups("search", "type pr", "sortBy", "id", "sortOrder", "desc", "limit", "3")); len(ids) != 13 || !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("by id, descending = %q", ids)
	}
}

// Rule 48: each change sets the right times, and the index lags.
func TestGroupChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 20, IndexLag: time.Second})
		all := groupsByName(t, c.org)
		time.Sleep(time.Hour)
		now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		id := c.org.AddGroup("Visitors", "")
		if found := c.mustAll(groups("q", "visitors")); len(found) != 0 {
			t.Errorf("q found %q at once, want the index to lag", found)
		}
		want := c.get("/api/v1/groups/" + id)
		if want.status != 200 || want.json["type"] != "OKTA_GROUP" || want.json["created"] != now || want.json["lastMembershipUpdated"] != now {
			t.Errorf("group = %d %s", want.status, want.body)
		}
		finance := all["Finance"]
		if err := c.org.SetGroup(finance.ID, "profile.description", json.RawMessage(`"Money"`)); err != nil {
			t.Error(err)
		}
		if err := c.org.SetGroup(all["Sales"].ID, "lastMembershipUpdated", json.RawMessage(`"`+now+`"`)); err != nil {
			t.Error(err)
		}
		c.org.Move(3)
		if changed := groupsByName(t, c.org); changed["Finance"].LastUpdated != now || changed["Finance"].LastMembershipUpdated != finance.LastMembershipUpdated ||
			changed["Sales"].LastUpdated != all["Sales"].LastUpdated || !reflect.DeepEqual(changed["Everyone"], all["Everyone"]) {
			t.Errorf("after the changes: %+v", changed)
		}
		for name, change := range map[string]func(){
			"Join": func() { c.org.Join(1) }, "Delete": func() { c.org.Delete(1) },
			"Put": func() { _ = c.org.Put([]byte(`{"id":"00uput","status":"ACTIVE"}`)) },
		} {
			time.Sleep(time.Minute)
			change()
			changed, now := groupsByName(t, c.org)["Everyone"], time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
			if changed.LastMembershipUpdated != now || changed.LastUpdated != all["Everyone"].LastUpdated {
				t.Errorf("Everyone after %s at %s: %+v", name, now, changed)
			}
		}
		if err := c.org.DeleteGroup(id); err != nil {
			t.Error(err)
		}
		c.get("/api/v1/groups/"+id).want(t, 404, "E0000007", "Not found: Resource not found: "+id+" (UserGroup)")
		if log := c.get("/api/v1/logs").body; !strings.Contains(log, "group.lifecycle.create") || !strings.Contains(log, "group.profile.update") ||
			!strings.Contains(log, `"eventType":"group.lifecycle.delete"`) || !strings.Contains(log, `"type":"UserGroup","alternateId":"unknown","displayName":"Visitors"`) {
			t.Errorf("log = %s", log)
		}
		for _, err := range []error{c.org.DeleteGroup(id), c.org.DeleteGroup(all["Everyone"].ID), c.org.SetGroup(id, "profile.name", json.RawMessage(`"x"`)),
			c.org.PutGroup([]byte(`{"id":"00g0"}`))} {
			if err == nil {
				t.Error("a change that can't be made was made")
			}
		}
		text := `{"id":"00g0", "type":"APP_GROUP", "profile":{"name":"0","n":1.0e5}}`
		if err := c.org.PutGroup([]byte(text)); err != nil {
			t.Error(err)
		}
		if _, rows, err := c.all("/api/v1/groups"); err != nil || string(rows[0]) != text {
			t.Errorf("first group = %s, %v; want %s", rows[0], err, text)
		}
		c.org.Wipe()
		if ids := c.mustAll("/api/v1/groups"); len(ids) != 0 {
			t.Errorf("groups after a wipe = %q", ids)
		}
	})
}

// Rule 49: scope, roles, bucket and faults of groups.
func TestGroupAccess(t *testing.T) {
	with := func(role string, scopes ...string) *client {
		c := newClient(t, sandbox.Config{Users: 5, Clients: []sandbox.ClientApp{{RequireDPoP: true, Scopes: scopes, Role: role}},
			RateLimit: sandbox.WorkforceLimits()})
		c.scope = strings.Join(scopes, " ")
		return c
	}
	c := with("", "okta.users.read")
	c.get("/api/v1/groups").wantChallenge(t, 403, "Bearer", "insufficient_scope", "does not contain the required scopes")
	c.get("/api/v1/groups/00g0").wantChallenge(t, 403, "Bearer", "insufficient_scope", "")

	c = with(sandbox.RoleNone, "okta.groups.read")
	if r := c.get("/api/v1/groups"); r.status != 200 || r.body != "[]" {
		t.Errorf("list without a role = %d %s, want 200 []", r.status, r.body)
	}
	c.get("/api/v1/groups/00g0").want(t, 403, "E0000006", "")
	with(sandbox.RoleForbidden, "okta.groups.read").get("/api/v1/groups").want(t, 403, "E0000006", "You do not have permission")

	c = with(sandbox.RoleGroup("Finance"), "okta.groups.read")
	all := groupsByName(t, c.org)
	if ids := c.mustAll("/api/v1/groups"); !slices.Equal(ids, []string{all["Finance"].ID}) {
		t.Errorf("groups of a role over Finance = %q", ids)
	}
	c.get("/api/v1/groups/"+all["Everyone"].ID).want(t, 403, "E0000006", "")

	c = with("", "okta.groups.read")
	for target, want := range map[string]int{"/api/v1/groups": 250, "/api/v1/groups/00g0": 500, "/api/v1/groups/00g0/users": 250} {
		if limit, _, _ := rate(t, c.get(target)); limit != want {
			t.Errorf("%s: limit = %d, want %d: half of the bucket", target, limit, want)
		}
	}
	c.inject("path=/api/v1/groups,next=loop,nth=2")
	if _, _, err := c.all(groups("limit", "2")); err != nil {
		t.Errorf("groups with a fault at the second page: %v", err)
	}
	if s := c.org.Stats(); s.Faults != 1 || s.ByPath["/api/v1/groups/{id}"] != 1 || s.ByPath["/api/v1/groups/{id}/users"] != 1 {
		t.Errorf("stats = %+v", s)
	}
	c.noViolations()
}

// Rule 57: rules.
func TestRules(t *testing.T) {
	c := newClient(t, sandbox.Config{})
	status := func() (all []string) {
		_, rows, err := c.all("/api/v1/groups/rules?limit=2")
		for _, row := range rows {
			var r struct {
				Status, Type   string
				AllGroupsValid bool
			}
			if _ = json.Unmarshal(row, &r); r.Type != "group_rule" || r.AllGroupsValid != (r.Status != "INVALID") {
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

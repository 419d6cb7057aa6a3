package oktaclient_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
)

// administrators returns an org of 120 users, and the record that each of its roles must
// have.
func administrators(t *testing.T, cfg sandbox.Config) (*bearer, map[string]map[string]any) {
	t.Helper()
	cfg.Users, cfg.RateLimit = 120, sandbox.Limits(1_000_000)
	b := newSandbox(t, cfg)
	org, roles := b.org, b.org.Roles()
	var users []string
	for id := range org.UsersJSON() {
		users = append(users, id)
	}
	full, empty, target := org.AddGroup("Operators", ""), org.AddGroup("Empty", ""), org.AddGroup("Target", "")
	for _, user := range users[20:60] {
		must(t, org.AddMember(full, user))
	}
	service := `{"id":"0oaservice","status":"ACTIVE","settings":{"oauthClient":{"application_type":"service"}},"credentials":{"oauthClient":{"client_id":"0oaservice"}}}`
	must(t, org.PutApp([]byte(service)))
	must(t, org.PutApp([]byte(strings.ReplaceAll(service, "0oaservice", "0oaother")))) // a service app without roles
	custom := roles.AddRole("Help <Line>", "okta.users.read", "okta.groups.read")
	set := roles.AddResourceSet("Berlin", "orn:okta:directory:o:users", "orn:okta:directory:o:groups:00g1")
	var list []sandbox.RoleAssignment
	for i, kind := range []string{"SUPER_ADMIN", "APP_ADMIN", "USER_ADMIN", "HELP_DESK_ADMIN", "MOBILE_ADMIN", "WORKFLOWS_ADMIN", "FRONTIER_ADMIN"} {
		list = append(list, sandbox.RoleAssignment{PrincipalType: "USER", Principal: users[i+1], Type: kind})
	}
	for i := range 25 {
		list[1].Targets = append(list[1].Targets, sandbox.RoleTarget{Type: "APP", ID: fmt.Sprintf("0oa%02d", 30-i), App: "salesforce"})
		list[3].Targets = append(list[3].Targets, sandbox.RoleTarget{Type: "GROUP", ID: target})
	}
	list[1].Targets = append(list[1].Targets, sandbox.RoleTarget{Type: "APP", App: "bookmark"})
	list[5].Expiration = "2024-12-09 14:17:22.0"
	for i := range 110 { // two pages of members
		list = append(list, sandbox.RoleAssignment{PrincipalType: "USER", Principal: users[i+3], Type: "CUSTOM", Role: custom, ResourceSet: set})
	}
	for _, principal := range []sandbox.RoleAssignment{{PrincipalType: "GROUP", Principal: full}, {PrincipalType: "GROUP", Principal: empty}, {PrincipalType: "CLIENT", Principal: "0oaservice"}, {PrincipalType: "CLIENT", Principal: "0oaoutside"}} {
		principal.Type, principal.Role, principal.ResourceSet = "CUSTOM", custom, set
		list = append(list, principal)
		if principal.Principal != "0oaoutside" { // no app has it, so only the binding does
			principal.Type, principal.Role, principal.ResourceSet = "ORG_ADMIN", "", ""
			list = append(list, principal)
		}
	}
	for _, a := range list {
		must(t, roles.Grant(a))
	}
	must(t, org.Change(sandbox.Deactivate, users[3]))
	want := map[string]map[string]any{}
	for _, a := range roles.Assignments() {
		r := map[string]any{"principal_type": a.PrincipalType, "principal_id": a.Principal, "role_type": a.Type, "role_id": a.Role,
			"resource_set_id": a.ResourceSet, "assignment_id": a.ID(), "status": "ACTIVE", "created": a.Created.UTC().Format("2006-01-02T15:04:05.000Z"), "targets": []any{}}
		var user struct{ Status string }
		if text, ok := org.User(a.Principal); ok && json.Unmarshal(text, &user) == nil && (user.Status == "DEPROVISIONED" || user.Status == "SUSPENDED") {
			r["status"] = "INACTIVE"
		}
		switch {
		case a.Type == "CUSTOM" && a.Role == custom:
			r["permissions"], r["resources"] = []any{"okta.groups.read", "okta.users.read"}, []any{"orn:okta:directory:o:groups:00g1", "orn:okta:directory:o:users"}
			delete(r, "targets")
		case a.Type == "FRONTIER_ADMIN":
			delete(r, "targets")
		case a.IsPolicy():
			r["role_id"], r["resource_set_id"] = a.Type, a.Type+"_IAM_POLICY"
		case a.Type == "APP_ADMIN":
			r["targets"] = len(a.Targets)
		case a.Type == "HELP_DESK_ADMIN":
			r["targets"] = len(a.Targets)
		}
		want[roleKey(r)] = r
	}
	return b, want
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func roleKey(r map[string]any) string {
	return fmt.Sprint(r["principal_type"], " ", r["principal_id"], " ", r["role_type"], " ", r["role_id"], " ", r["resource_set_id"])
}

// readRoles reads all roles, by their keys.
func readRoles(t *testing.T, c *oktaclient.Client) (map[string]map[string]any, *sink, oktaclient.ReadResult) {
	t.Helper()
	s := &sink{}
	result, err := c.Read(t.Context(), oktaclient.Query{Resource: oktaclient.RoleAssignments}, s)
	must(t, err)
	got := map[string]map[string]any{}
	for _, record := range s.users {
		var r map[string]any
		must(t, json.Unmarshal(record.JSON, &r))
		if got[roleKey(r)] != nil || record.Status != r["role_type"] || record.ID != r["principal_id"] {
			t.Errorf("record %+v = %v", record, r)
		}
		got[roleKey(r)] = r
	}
	return got, s, result
}

// The record equals the org, whether or not Okta lists administrators through a group,
// and whatever hosts and forms its links have.
func TestReadRolesOfAllShapes(t *testing.T) {
	for name, cfg := range map[string]sandbox.Config{
		"all": {}, "direct assignees, no stats": {DirectAssignees: true, GroupStats: sandbox.GroupStats{Missing: true, Limit: 100}}, "joined links": {JoinLinks: true},
	} {
		for _, next := range append(sandbox.Nexts(), "") {
			if next == sandbox.NextLoop || next == sandbox.NextEmpty && name != "all" {
				continue
			}
			b, want := administrators(t, cfg)
			if next == sandbox.NextOtherHost { // of a page that has a next one
				b.org.Inject(sandbox.Fault{Path: "/api/v1/iam/assignees", Next: next})
			} else if next != "" {
				b.org.Inject(sandbox.Fault{Path: "/api/v1/iam/", Next: next, Forever: next == sandbox.NextShort})
			}
			got, s, result := readRoles(t, b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency, cfg.PageSize, cfg.BaseWait = 4, 0, 1 }))
			if !result.Settled || result.Rows != len(want) || len(s.outside) > 0 {
				t.Errorf("%s, %s: result = %+v, want %d rows", name, next, result, len(want))
			}
			compareRoles(t, got, want)
			rows := 0
			for _, r := range s.requests {
				if rows += r.Rows; r.Resource != "role_assignments" {
					t.Errorf("request of %s: %s", r.Resource, r.Path)
				}
			}
			if rows != len(want) {
				t.Errorf("%d rows in the requests, want %d", rows, len(want))
			}
			if v := b.org.Stats().Violations; len(v) > 0 {
				t.Errorf("violations: %v", v)
			}
		}
	}
}

func compareRoles(t *testing.T, got, want map[string]map[string]any) {
	t.Helper()
	for key, w := range want {
		g := maps.Clone(got[key])
		if targets, _ := g["targets"].([]any); len(targets) > 0 {
			g["targets"] = len(targets)
		}
		if g["label"] == "" {
			t.Errorf("%s has no label", key)
		}
		delete(g, "label")
		if fmt.Sprint(g) != fmt.Sprint(w) {
			t.Errorf("%s = %v, want %v", key, g, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d roles read, want %d", len(got), len(want))
	}
}

// Principals and roles that end during the read leave no record. A role that is granted
// while others are read is found.
func TestReadRolesThatChangeMeanwhile(t *testing.T) {
	b, want := administrators(t, sandbox.Config{})
	keys := slices.Sorted(maps.Keys(want))
	gone := strings.Fields(keys[len(keys)-1])[1]
	late := strings.Fields(keys[len(keys)-2])[1]
	b.org.OnRequest(func(n int, r *http.Request) {
		switch {
		case r.URL.Path == "/api/v1/users/"+gone+"/roles":
			_ = b.org.Change(sandbox.Delete, gone)
		case strings.HasSuffix(r.URL.Path, "/targets/catalog/apps"): // revoked after the list of roles was read
			for _, a := range b.org.Roles().Assignments() {
				if a.Type == "APP_ADMIN" {
					_ = b.org.Roles().Revoke(a)
				}
			}
		case n == 60:
			_ = b.org.Roles().Grant(sandbox.RoleAssignment{PrincipalType: "USER", Principal: late + "x", Type: "REPORT_ADMIN"}) // of no user
			_ = b.org.Roles().Grant(sandbox.RoleAssignment{PrincipalType: "GROUP", Principal: b.org.AddGroup("Late", ""), Type: "REPORT_ADMIN"})
		}
	})
	got, _, result := readRoles(t, b.client(t, func(cfg *oktaclient.Config) { cfg.PageSize = 0 }))
	late = ""
	for key, r := range got {
		if r["principal_id"] == gone || r["role_type"] == "APP_ADMIN" {
			t.Errorf("a role that ended is read: %s", key)
		}
		if r["role_type"] == "REPORT_ADMIN" {
			late = key
		}
	}
	if late == "" || !result.Settled {
		t.Errorf("late role = %q, settled = %t", late, result.Settled)
	}
}

// Each list is read to its end: the first page of each is empty.
func TestReadRolesOfAllPages(t *testing.T) {
	const iam, user = "/api/v1/iam/", "/api/v1/users/00u1/roles"
	second := map[string]string{
		iam + "assignees/users": `"value":[{"id":"00u1"}]`, iam + "resource-sets": `"resource-sets":[{"id":"iam1"}]`, iam + "resource-sets/iam1/bindings": `"roles":[{"id":"cr1"}]`,
		iam + "resource-sets/iam1/bindings/cr1/members": `"members":[{"_links":{"self":{"href":"https://acme.okta.example/oauth2/v1/clients/0oa1"}}}]`,
		iam + "resource-sets/iam1/resources":            `"resources":[{"orn":"orn1"}]`, iam + "roles/cr1/permissions": `"permissions":[{"label":"okta.users.read"}]`,
		"/api/v1/groups": `{"id":"00g1"}`, "/api/v1/apps": `{"settings":{"oauthClient":{"application_type":"service"}},"credentials":{"oauthClient":{"client_id":"0oa2"}}}`,
		user + "/t/targets/groups": `{"id":"00g2"}`,
	}
	roles := map[string]string{
		user: `[{"id":"t","type":"USER_ADMIN"},{"id":"irb1","type":"CUSTOM","role":"cr1","resource-set":"iam1"}]`, "/api/v1/groups/00g1/roles": `[{"id":"r","type":"ORG_ADMIN"}]`,
		"/oauth2/v1/clients/0oa1/roles": `[{"id":"r","type":"REPORT_ADMIN"}]`, "/oauth2/v1/clients/0oa2/roles": `[{"id":"r","type":"MOBILE_ADMIN"}]`,
	}
	o := newOrg(0)
	o.hook = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		list, isList := second[r.URL.Path]
		member, _, inObject := strings.Cut(list, ":[")
		first, next := r.URL.Query().Get("after") == "", "https://acme-admin.okta.example"+r.URL.Path+"?after=2"
		switch inObject = inObject && member[0] == '"'; {
		case !isList:
			w.Write([]byte(roles[r.URL.Path]))
		case first && inObject:
			fmt.Fprintf(w, `{%s:[],"_links":{"next":{"href":%q}}}`, member, next)
		case inObject:
			fmt.Fprintf(w, "{%s}", list)
		case first:
			w.Header().Set("Link", "<"+next+`>; rel="next"`)
			w.Write([]byte("[]"))
		default:
			fmt.Fprintf(w, "[%s]", list)
		}
		return true
	}
	got, _, _ := readRoles(t, o.client(t, nil))
	var text []string
	for _, r := range got {
		text = append(text, fmt.Sprint(r["principal_id"], r["role_type"], r["targets"], r["permissions"], r["resources"]))
	}
	slices.Sort(text)
	const want = "00g1ORG_ADMIN[]<nil><nil>, 00u1CUSTOM<nil>[okta.users.read][orn1], 00u1USER_ADMIN[map[id:00g2 type:GROUP]]<nil><nil>, 0oa1REPORT_ADMIN[]<nil><nil>, 0oa2MOBILE_ADMIN[]<nil><nil>"
	if strings.ReplaceAll(strings.Join(text, ", "), " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("roles = %s", strings.Join(text, ", "))
	}
}

// Responses that are no list of administrators, and those that are too large, end the
// read with an error without control characters.
func TestReadRolesRejects(t *testing.T) {
	const iam, members = "/api/v1/iam/", "/api/v1/iam/resource-sets/iam1/bindings/b/members"
	member := func(href string) string {
		return `{"members":[{"id":"irb1","_links":{"self":{"href":"` + href + `"}}}]}`
	}
	list := func(n int, format string) string { return "[" + strings.Repeat(format+",", n-1) + format + "]" }
	next := func(list, cursor string) string {
		return `{` + list + `,"_links":{"next":{"href":"https://acme.okta.example/x?after=` + cursor + `"}}}`
	}
	var numbered strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&numbered, `%c{"id":"00u~-%d"}`, "[,"[min(i, 1)], i)
	}
	custom := `{"id":"irb1","type":"CUSTOM","role":"cr1","resource-set":"iam1"}`
	for _, test := range []struct{ path, body, want string }{
		{iam + "assignees/users", next(`"value":[{"id":"00u1"}]`, "x"), "endless"},
		{iam + "assignees/users", `{"value":[],"_links":{"next":{"href":"https://acme.okta.example/"}}}`, "broken Link"},
		{iam + "assignees/users", `{"value":[],"_links":{"next":"https://acme.okta.example/?after=x"}}`, "broken JSON"},
		{iam + "assignees/users", next(`"value":[]`, strings.Repeat("x", 33<<10)), "broken Link"},
		{iam + "assignees/users", `{"value":[null]}`, "broken JSON"},
		{iam + "assignees/users", `{"value":` + list(10_001, `{"id":"00u1"}`) + `}`, "too large"},
		{iam + "assignees/users", `{"value":[{}]}`, "a user that can have roles has no valid id"},
		{iam + "assignees/users", `{"value":[{"id":".."}]}`, "a user that can have roles has no valid id"},
		{iam + "assignees/users", `{"value":[{"id":"00u\u0000"}]}`, "a user that can have roles has no valid id"},
		{iam + "assignees/users", `{"value":[{"id":"\u001b[2J"}]}`, "a user that can have roles has no valid id"},
		{iam + "assignees/users", next(`"value":`+numbered.String()+"]", "~"), "over 100000 users, groups and clients"},
		{members, member("https://acme.okta.example/api/v1/realms/guo1"), "neither a user nor a group nor a client"},
		{members, member("https://acme.okta.example/api/v1/users/..%2f..%2fx"), "neither a user nor a group nor a client"},
		{members, member("https://acme.okta.example/api/v1/groups/.."), "neither a user nor a group nor a client"},
		{members, member("https://acme.okta.example/api/v1/users/%1b"), "neither a user nor a group nor a client"},
		{iam + "resource-sets", `{"roles":[]}`, "broken JSON"},
		{iam + "resource-sets", next(`"resource-sets":[{"id":"iam1"}]`, "x"), "endless"}, // after a page with a set
		{iam + "resource-sets", `{"resource-sets":[{"id":""}]}`, "an element of resource-sets has no valid id"},
		{iam + "resource-sets/iam1/bindings", next(`"roles":`+list(9_000, `{"id":"b"}`), "~"), "over 10000 roles"},
		{"/api/v1/users/00u1/roles", `[{"id":"x","assignmentType":"USER"}]`, "broken JSON"},
		{"/api/v1/users/00u1/roles", `[{"id":"..","type":"USER_ADMIN"}]`, "broken JSON"},
		{"/api/v1/users/00u1/roles", `[{"id":"x","type":"CUSTOM"}]`, "broken JSON"},
		{"/api/v1/users/00u1/roles", `[{"id":"x","type":"` + strings.Repeat("X", 257) + `"}]`, "broken JSON"},
		{"/api/v1/users/00u1/roles", list(9_000, custom), "of all roles of a principal"},
		{"/api/v1/users/00u1/roles/t/targets/groups", list(10_000, `{"id":"`+strings.Repeat("x", 100)+`"}`), "bytes of targets"},
		{iam + "resource-sets/iam1/resources", next(`"resources":`+list(9_000, `{"orn":"orn:okta:directory:o:users"}`), "~"), "bytes of resources"},
		{"/api/v1/users/00u1/roles", `{"errorCode":"E0000007"}`, "changed during each try"}, // of a user that exists
		{"/api/v1/groups", `{}`, "broken JSON"},
	} {
		bodies := map[string]string{iam + "assignees/users": `{"value":[{"id":"00u1"}]}`, iam + "resource-sets": `{"resource-sets":[{"id":"iam1"}]}`,
			iam + "resource-sets/iam1/bindings": `{"roles":[{"id":"b"}]}`, members: `{"members":[]}`,
			"/api/v1/groups": `[]`, "/api/v1/apps": `[]`, "/api/v1/users/00u1": `{}`, "/api/v1/users/00u1/roles": `[` + custom + `,{"id":"t","type":"USER_ADMIN"}]`, "/api/v1/users/00u1/roles/t/targets/groups": `[]`,
			iam + "roles/cr1/permissions": `{"permissions":[{"label":"` + strings.Repeat("x", 1000) + `"}]}`, iam + "resource-sets/iam1/resources": `{"resources":[]}`}
		bodies[test.path] = test.body
		o := newOrg(0)
		o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Link", `<https://acme.okta.example/>; rel="self"`)
			if strings.Contains(bodies[r.URL.Path], "E0000007") {
				w.WriteHeader(http.StatusNotFound)
			}
			w.Write([]byte(strings.ReplaceAll(bodies[r.URL.Path], "~", fmt.Sprint(n)))) // a number in each response
			return true
		}
		_, err := o.client(t, func(cfg *oktaclient.Config) { cfg.Tries, cfg.BaseWait = 1, time.Nanosecond }).
			Read(t.Context(), oktaclient.Query{Resource: oktaclient.RoleAssignments}, &sink{})
		text := fmt.Sprint(err, " ", classOf(err))
		if err == nil || !strings.Contains(text, test.want) || strings.ContainsFunc(text, unicode.IsControl) || len(text) > 200 {
			t.Errorf("%s: %.60s: Read() = %.300s, want %s", test.path, test.body, text, test.want)
		}
	}
}

func classOf(err error) string {
	e, ok := errors.AsType[*oktaclient.Error](err)
	if !ok {
		return ""
	}
	return e.Class()
}

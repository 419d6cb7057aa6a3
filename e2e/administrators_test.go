package e2e

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// withRoles declares administrators, with the names of their holders.
const withRoles = "    users: {}\n    groups: {}\n    group_members: {}\n    apps: {}\n    role_assignments: {}\n"

// newAdministrators returns an org with 60 administrators in every shape that Okta has,
// the ids of its users, and a group of 40 users without a role.
func newAdministrators(t *testing.T) (s *site, users []string, group string) {
	t.Helper()
	s = newSite(t, sandbox.Config{Seed: 1, Users: 130}, "okta.users.read", "okta.groups.read", "okta.apps.read", "okta.roles.read")
	for id := range s.org.UsersJSON() {
		users = append(users, id)
	}
	roles := s.org.Roles()
	grant := func(kind, id, role string, more sandbox.RoleAssignment) {
		more.PrincipalType, more.Principal, more.Type = kind, id, role
		check(t, roles.Grant(more))
	}
	operators, empty := s.org.AddGroup("Operators", ""), s.org.AddGroup("=Empty", "")
	for _, user := range users[40:50] {
		check(t, s.org.AddMember(operators, user))
	}
	check(t, s.org.PutApp([]byte(`{"id":"0oaservice","status":"ACTIVE","label":"Backup","settings":{"oauthClient":{"application_type":"service"}},"credentials":{"oauthClient":{"client_id":"0oaservice"}}}`)))
	custom := roles.AddRole("Help <Line>", "okta.users.read", "okta.groups.read")
	set := roles.AddResourceSet("Berlin", "orn:okta:directory:o:users")
	scoped := sandbox.RoleAssignment{Role: custom, ResourceSet: set}
	targets := sandbox.RoleAssignment{Targets: []sandbox.RoleTarget{{Type: "GROUP", ID: operators}, {Type: "GROUP", ID: empty}}}
	apps := sandbox.RoleAssignment{Targets: []sandbox.RoleTarget{{Type: "APP", ID: "0oaservice", App: "backup"}, {Type: "APP", App: "salesforce"}}}
	for i, user := range users[1:41] { // with two of the generator: 42 users with roles of their own
		switch i % 8 {
		case 0:
			grant("USER", user, "CUSTOM", scoped)
		case 1:
			grant("USER", user, "HELP_DESK_ADMIN", targets) // the id is that of all such roles
		case 2:
			grant("USER", user, "APP_ADMIN", apps)
		case 3:
			grant("USER", user, "WORKFLOWS_ADMIN", sandbox.RoleAssignment{Expiration: "2027-12-09 14:17:22.0"})
		case 4:
			grant("USER", user, "FRONTIER_ADMIN", sandbox.RoleAssignment{})
		case 5:
			grant("USER", user, "SUPER_ADMIN", sandbox.RoleAssignment{})
			grant("USER", user, "CUSTOM", scoped)
		default:
			grant("USER", user, "USER_ADMIN", sandbox.RoleAssignment{})
		}
	}
	grant("GROUP", operators, "ORG_ADMIN", sandbox.RoleAssignment{}) // 9 more users
	grant("GROUP", operators, "CUSTOM", scoped)
	grant("GROUP", empty, "READ_ONLY_ADMIN", sandbox.RoleAssignment{})
	grant("CLIENT", "0oaservice", "CUSTOM", scoped)
	grant("CLIENT", "0oaservice", "READ_ONLY_ADMIN", sandbox.RoleAssignment{})
	for i := range 8 { // API service integrations, which /apps doesn't have
		grant("CLIENT", fmt.Sprint("0oaintegration", i), "CUSTOM", scoped)
	}
	group = s.org.AddGroup("Night Shift", "")
	for _, user := range users[60:100] {
		check(t, s.org.AddMember(group, user))
	}
	s.configure(t, withRoles)
	return s, users, group
}

// role is a record of role_assignments.
type role struct {
	PrincipalType string `json:"principal_type"`
	PrincipalID   string `json:"principal_id"`
	RoleType      string `json:"role_type"`
	RoleID        string `json:"role_id"`
	ResourceSetID string `json:"resource_set_id"`
	AssignmentID  string `json:"assignment_id"`
	Status        string
	Created       string
	Targets       []roleTarget
	Permissions   []string
	Resources     []string
}

type roleTarget struct{ Type, ID, Name string }

func byID(a, b roleTarget) int { return strings.Compare(a.ID, b.ID) }

// recordedRoles returns the records of the newest snapshot, as text.
func (s *site) recordedRoles(t *testing.T) (all []string) {
	t.Helper()
	for line := range strings.Lines(s.must(t, 0, "show", "all-users", "role_assignments").stdout) {
		var r role
		check(t, json.Unmarshal([]byte(line), &r))
		slices.SortFunc(r.Targets, byID)
		all = append(all, fmt.Sprintf("%#v", r)) // shows whether targets are missing or empty
	}
	slices.Sort(all)
	return all
}

// rolesOfOrg returns the records that the org's roles must have.
func (s *site) rolesOfOrg(t *testing.T) (all []string) {
	t.Helper()
	for _, a := range s.org.Roles().Assignments() {
		r := role{PrincipalType: a.PrincipalType, PrincipalID: a.Principal, RoleType: a.Type, RoleID: a.Role, ResourceSetID: a.ResourceSet, AssignmentID: a.ID(), Status: "ACTIVE",
			Created: a.Created.UTC().Format("2006-01-02T15:04:05.000Z")}
		var user struct{ Status string }
		if text, ok := s.org.User(a.Principal); ok && json.Unmarshal(text, &user) == nil && (user.Status == "DEPROVISIONED" || user.Status == "SUSPENDED") {
			r.Status = "INACTIVE"
		}
		for _, target := range a.Targets {
			if target.Type == "GROUP" {
				target.App = ""
			}
			r.Targets = append(r.Targets, roleTarget{target.Type, target.ID, target.App})
		}
		slices.SortFunc(r.Targets, byID)
		for _, role := range s.org.Roles().Roles() {
			if role.ID == a.Role {
				r.Permissions = slices.Sorted(slices.Values(role.Permissions))
			}
		}
		for _, set := range s.org.Roles().ResourceSets() {
			if set.ID == a.ResourceSet {
				r.Resources = set.Resources
			}
		}
		if a.IsPolicy() {
			r.RoleID, r.ResourceSetID = a.Type, a.Type+"_IAM_POLICY"
		}
		if len(r.Targets) == 0 && a.Type != "CUSTOM" && a.Type != "FRONTIER_ADMIN" {
			r.Targets = []roleTarget{}
		}
		all = append(all, fmt.Sprintf("%#v", r))
	}
	slices.Sort(all)
	return all
}

// changesOf returns the lines of the changes of roles in the newest snapshot: kind,
// label, paths.
func (s *site) changesOf(t *testing.T) (all []string) {
	t.Helper()
	for line := range strings.Lines(read(t, s.path("snapshots/all-users/latest/role_assignments.changes.ndjson"))) {
		var c struct {
			Kind, Name string
			Paths      []string
		}
		check(t, json.Unmarshal([]byte(line), &c))
		all = append(all, fmt.Sprint(c.Kind, " ", c.Name, " ", c.Paths))
	}
	return all
}

// The record of administrators in every shape equals the org. Each kind of change is one
// line. A role through a group is one line for the group, and a row of the CSV file for
// each member.
func TestAdministrators(t *testing.T) {
	t.Parallel()
	s, users, group := newAdministrators(t)
	s.must(t, 0, "apply")
	compare := func() {
		t.Helper()
		if got, want := s.recordedRoles(t), s.rolesOfOrg(t); !slices.Equal(got, want) {
			t.Errorf("%d roles are recorded, and the org has %d:\n%s\nwant\n%s", len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		s.must(t, 0, "verify")
	}
	compare()
	changed := func(want ...string) {
		t.Helper()
		s.must(t, 0, "apply")
		compare()
		if got := s.changesOf(t); !slices.Equal(got, want) {
			t.Errorf("changes = %q, want %q", got, want)
		}
	}

	help := sandbox.RoleAssignment{PrincipalType: "GROUP", Principal: group, Type: "HELP_DESK_ADMIN"}
	check(t, s.org.Roles().Grant(help))
	changed("granted Help Desk Administrator []")
	out := s.must(t, 0, "diff", "all-users").stdout
	if !strings.Contains(out, "\nAdministrators\n  + granted      Help Desk Administrator: group Night Shift  20") || strings.Count(out, "granted ") != 1 {
		t.Errorf("diff = %s", out)
	}
	s.derivedRows(t, group, users[60:100])

	help.Targets = []sandbox.RoleTarget{{Type: "GROUP", ID: group}}
	check(t, s.org.Roles().SetTargets(help))
	changed("changed Help Desk Administrator [assignment_id targets]")

	check(t, s.org.Roles().SetPermissions(s.org.Roles().Roles()[0].ID, "okta.users.manage")) // of a role that no one has
	changed()

	check(t, s.org.Roles().Revoke(help))
	changed("revoked Help Desk Administrator []")
	s.noViolations(t)

	check(t, s.org.Roles().Grant(sandbox.RoleAssignment{PrincipalType: "USER", Principal: users[110], Type: "SUPER_ADMIN"}))
	changed("granted Super Organization Administrator []")
	if r := s.must(t, 0, "history", "all-users", users[110]); !strings.Contains(r.stdout, "  + granted      Super Organization Administrator: user ") || strings.Count(r.stdout, "granted") != 1 {
		t.Errorf("history = %s", r.stdout)
	}

	check(t, s.org.Change(sandbox.Delete, users[8])) // the org keeps the role, but shows it no longer
	s.must(t, 0, "apply")
	if got := s.changesOf(t); !slices.Equal(got, []string{"revoked Group Administrator []"}) {
		t.Errorf("changes = %q", got)
	}

	if r := s.checkStore(t, "snapshots"); r.status != 0 {
		t.Errorf("check.py: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
}

// derivedRows checks the rows of the CSV file for a group with one role: one for the
// group, and one for each member.
func (s *site) derivedRows(t *testing.T, group string, members []string) {
	t.Helper()
	text := read(t, s.path("snapshots/all-users/latest/role_assignments.csv"))
	if shown := s.must(t, 0, "show", "all-users", "role_assignments", "--format", "csv").stdout; shown != text {
		t.Errorf("show --format csv differs from the CSV file")
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	check(t, err)
	if want := "login,user_id,group_name,app_label,role_type,label,status,targets,permissions,resources,created,principal_type,principal_id,role_id,resource_set_id,assignment_id"; strings.Join(rows[0], ",") != want {
		t.Errorf("header = %q, want %q", rows[0], want)
	}
	var got []string
	kinds := map[string]int{}
	for _, row := range rows[1:] {
		switch {
		case row[11] == "CLIENT":
			kinds["client "+row[3]]++
		case row[2] == "'=Empty":
			kinds["empty"]++
		}
		if row[12] != group {
			continue
		}
		if row[2] != "Night Shift" || row[4] != "HELP_DESK_ADMIN" || (row[0] == "") != (row[1] == "") {
			t.Errorf("row = %q", row)
		}
		got = append(got, row[1])
	}
	if !slices.Equal(got, append([]string{""}, members...)) {
		t.Errorf("rows through the group = %q, want one for the group, and %d", got, len(members))
	}
	if kinds["client Backup"] != 2 || kinds["client "] != 8 || kinds["empty"] != 1 {
		t.Errorf("rows = %v, want 2 of Backup, 8 of integrations, and one of the empty group", kinds)
	}
	s.holders(t, rows[1:])
}

// holders compares access --role all with the rows of the CSV file. Super Administrators
// come first.
func (s *site) holders(t *testing.T, rows [][]string) {
	t.Helper()
	listed, err := csv.NewReader(strings.NewReader(s.must(t, 0, "access", "all-users", "--role", "all", "--format", "csv").stdout)).ReadAll()
	check(t, err)
	column := func(row []string, names ...string) (values []string) {
		for _, name := range names {
			values = append(values, row[slices.Index(listed[0], name)])
		}
		return values
	}
	var got, want []string
	others := false
	for _, row := range listed[1:] {
		if super := column(row, "role_type")[0] == "SUPER_ADMIN"; super && others {
			t.Errorf("a Super Administrator comes after other roles: %q", row)
		} else if !super {
			others = true
		}
		if note := column(row, "note")[0]; (column(row, "status")[0] == "INACTIVE") && note == "" {
			t.Errorf("an inactive holder has no note: %q", row)
		}
		got = append(got, fmt.Sprint(column(row, "login", "user_id", "group_name", "role_type", "role_label", "status", "granted_at_okta", "principal_type", "role_id", "resource_set_id")))
	}
	for _, row := range rows {
		if row[11] == "GROUP" && row[1] != "" {
			row[10] = "" // the time is that of the group
		}
		want = append(want, fmt.Sprint([]string{row[0], row[1], row[2], row[4], row[5], row[6], row[10], row[11], row[13], row[14]}))
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) || !others {
		t.Errorf("access --role all has %d rows, and the CSV file %d:\n%s\nwant\n%s", len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A CSV file that lacks a derived row is a finding, and the guard stops a read that lost
// a quarter of the roles.
func TestAdministratorsAreGuarded(t *testing.T) {
	t.Parallel()
	s, _, _ := newAdministrators(t)
	s.must(t, 0, "apply")
	path := s.path("snapshots/all-users/latest/role_assignments.csv")
	text := read(t, path)
	at := strings.LastIndex(strings.TrimSuffix(text, "\r\n"), "\r\n")
	s.sh(t, "chmod u+w snapshots/all-users/latest/role_assignments.csv")
	write(t, path, text[:at+2])
	if r := s.must(t, 1, "verify"); !strings.Contains(r.stdout+r.stderr, "role_assignments.csv") {
		t.Errorf("verify = %s%s", r.stdout, r.stderr)
	}
	write(t, path, text)
	s.must(t, 0, "verify")
	for i, a := range s.org.Roles().Assignments() {
		if i%3 == 0 {
			check(t, s.org.Roles().Revoke(a))
		}
	}
	if r := s.must(t, 3, "apply"); !strings.Contains(r.stderr, "role_assignments gone, the guard allows 25%") {
		t.Errorf("apply = %s", r.stderr)
	}
}

// Without the permission, the error names the scope and the role.
func TestAdministratorsNeedAPermission(t *testing.T) {
	t.Parallel()
	s, _, _ := newAdministrators(t)
	check(t, s.register(func(app *sandbox.ClientApp) {
		app.Scopes = []string{"okta.users.read", "okta.groups.read", "okta.apps.read", "okta.roles.read"}
	}))
	r := s.must(t, 1, "apply")
	if !strings.Contains(r.stderr, "read role_assignments: okta: 403 E0000006") || !strings.Contains(r.stderr, "and a custom role with okta.iam.read") {
		t.Errorf("apply = %s", r.stderr)
	}
	s.configure(t, strings.Replace(withRoles, "role_assignments: {}", "role_assignments: {optional: true}", 1))
	s.must(t, 0, "apply")
	if m := read(t, s.path("snapshots/all-users/latest/manifest.json")); !strings.Contains(m, `"available":false`) {
		t.Errorf("manifest = %s", m)
	}
	s.must(t, 0, "verify")
}

// The daemon notifies of changes of administrators, without names, and shows their number
// and the time of the last change.
func TestDaemonReportsAdministrators(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 150, Seed: 74}, "okta.users.read", "okta.groups.read", "okta.apps.read", "okta.roles.read")
	messages := s.newHook(t)
	d := s.start(t, everySecond+"    snapshot: on_change\n    users: {}\n    role_assignments: {guard: {max_removed: 100%}}\n", "notify: [{url_file: hook.url, on: [privileged]}]")
	d.wait("snapshot published")
	d.wantPage("/exports/all-users", http.StatusOK, "2 roles, no change is recorded")
	d.wantPage("/metrics", http.StatusOK, `oktasync_admin_roles{export="all-users",role="SUPER_ADMIN"} 1`)
	user := s.org.Join(1)[0]
	role := sandbox.RoleAssignment{PrincipalType: "USER", Principal: user, Type: "FRONTIER_ADMIN"}
	check(t, s.org.Roles().Grant(role))
	d.wait("snapshot published") // the first can be of the user alone
	m := wantMessage(t, messages, "privileged", "has snapshot 20")
	if want := ": 1 administrator role granted, 0 revoked; to see them: oktasync diff all-users role_assignments"; !strings.HasSuffix(m.Text, want) {
		t.Errorf("message = %q, want it to end with %q", m.Text, want)
	}
	d.wantPage("/", http.StatusOK, ">role_assignments<", "last change ")
	d.wantPage("/exports/all-users", http.StatusOK, "3 roles, last changed ")
	d.wantPage("/metrics", http.StatusOK, `oktasync_admin_roles{export="all-users",role="other"} 1`)
	check(t, s.org.Roles().Revoke(role))
	if m := wantMessage(t, messages, "privileged", "has snapshot 20"); !strings.Contains(m.Text, ": 0 administrator roles granted, 1 revoked;") {
		t.Errorf("message = %q", m.Text)
	}
	d.stop(syscall.SIGTERM)
}

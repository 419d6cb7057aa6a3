package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

const withFactors = withRoles + "    app_users: {}\n    factors: {}\n"

// oddUser creates a user. The members of profile and of more replace the usual ones.
func (s *site) oddUser(t *testing.T, id, status string, profile, more map[string]any) {
	t.Helper()
	user := map[string]any{
		"id": id, "status": status, "created": ago(400 * day), "statusChanged": ago(100 * day), "lastLogin": ago(time.Hour),
		"lastUpdated": ago(time.Hour),
		"profile":     map[string]any{"login": id + "@acme.example", "email": id + "@acme.example", "firstName": id, "lastName": "Odd"},
	}
	maps.Copy(user["profile"].(map[string]any), profile)
	maps.Copy(user, more)
	data, err := json.Marshal(user)
	check(t, err)
	check(t, s.org.Put(data))
}

const day = 24 * time.Hour

// ago returns a time of Okta before now.
func ago(d time.Duration) string { return time.Now().Add(-d).UTC().Format("2006-01-02T15:04:05.000Z") }

// An org in which each section of a report about one snapshot has rows, and users just
// outside of it.
func newOddOrg(t *testing.T) *site {
	t.Helper()
	s := newSite(t, sandbox.Config{Users: 60, Seed: 5, Deprovisioned: 4}, "okta.users.read", "okta.groups.read", "okta.apps.read", "okta.roles.read")
	type m = map[string]any
	s.oddUser(t, "00uboss", "ACTIVE", m{"login": "Boss@acme.example", "email": "the.boss@acme.example", "employeeNumber": "E-1", "displayName": "Ada Boss"}, m{"lastLogin": nil})
	s.oddUser(t, "00ugone", "DEPROVISIONED", m{"login": "gone@acme.example", "email": "was.here@acme.example", "employeeNumber": "E-2", "displayName": "Eve Gone"}, nil)
	s.oddUser(t, "00uecho", "ACTIVE", m{"displayName": "gone@acme.example"}, nil)
	s.oddUser(t, "00utwin1", "DEPROVISIONED", m{"displayName": "Same Name"}, nil)
	s.oddUser(t, "00utwin2", "SUSPENDED", m{"displayName": "Same Name"}, nil)
	for i, manager := range []m{
		{"manager": "boss@ACME.example"}, {"managerId": "e-1"}, {"manager": "ada boss"}, {"managerId": "00uboss", "manager": "Eve Gone"},
		{"managerId": "00ugone", "manager": "Ada Boss"}, {"manager": "was.here@acme.example"}, {"managerId": "E-2"}, {"manager": "Eve Gone"},
		{"manager": "Same Name"}, {"managerId": "HR-77", "manager": "Nobody"}, {"managerId": "HR-77", "manager": "gone@acme.example"},
		{"manager": ""}, {"manager": nil, "managerId": nil}, {"department": "<b>R&D</b> & \"Law\""},
	} {
		s.oddUser(t, fmt.Sprintf("00umanaged%02d", i), "ACTIVE", manager, nil)
	}
	for i, status := range []string{"ACTIVE", "PASSWORD_EXPIRED", "RECOVERY", "LOCKED_OUT", "SUSPENDED", "STAGED", "PROVISIONED", "DEPROVISIONED"} {
		s.oddUser(t, fmt.Sprint("00unever", i), status, nil, m{"lastLogin": nil, "created": ago(time.Duration(i) * 31 * day)})
		s.oddUser(t, fmt.Sprint("00udormant", i), status, nil, m{"lastLogin": ago(90*day + time.Hour)})
		s.oddUser(t, fmt.Sprint("00uawake", i), status, nil, m{"lastLogin": ago(90*day - time.Hour)})
		s.oddUser(t, fmt.Sprint("00unew", i), status, nil, m{"statusChanged": nil, "created": ago(30*day + time.Hour)})
		s.oddUser(t, fmt.Sprint("00ulate", i), status, nil, m{"statusChanged": ago(30*day - time.Hour)})
	}
	for i := range 12 {
		group := s.org.AddGroup(fmt.Sprintf("Team %02d", i), "")
		check(t, s.org.AddMember(group, "00ugone"))
		if i == 0 {
			check(t, s.org.AddMember(group, "00utwin1"))
		}
	}
	roles, operators := s.org.Roles(), s.org.AddGroup("Operators", "")
	for _, user := range []string{"00uboss", "00udormant0", "00udormant7"} {
		check(t, s.org.AddMember(operators, user))
	}
	check(t, s.org.PutApp([]byte(`{"id":"0oaservice","status":"ACTIVE","label":"Backup","settings":{"oauthClient":{"application_type":"service"}},"credentials":{"oauthClient":{"client_id":"0oaservice"}}}`)))
	targets := []sandbox.RoleTarget{{Type: "GROUP", ID: operators}}
	for _, grant := range []sandbox.RoleAssignment{
		{PrincipalType: "USER", Principal: "00ugone", Type: "SUPER_ADMIN"},
		{PrincipalType: "USER", Principal: "00udormant4", Type: "HELP_DESK_ADMIN", Targets: targets},
		{PrincipalType: "GROUP", Principal: operators, Type: "ORG_ADMIN"},
		{PrincipalType: "CLIENT", Principal: "0oaservice", Type: "READ_ONLY_ADMIN"},
	} {
		check(t, roles.Grant(grant))
	}
	check(t, s.org.AddMember(s.org.AddGroup("Everyone", "not the one of Okta"), "00unever7"))
	app := s.org.AddApp("Logbook")
	check(t, s.org.AssignUser(app, "00ugone", "ACTIVE"))
	check(t, s.org.AssignUser(app, "00udormant7", "SUSPENDED"))
	return s
}

// The rows of the sections about one snapshot are those that a script of its own computes
// from the records.
func TestReportOfASnapshotEqualsItsRecords(t *testing.T) {
	t.Parallel()
	needs(t, "python3", "zstd")
	s := newOddOrg(t)
	for _, export := range []string{withFactors, "    users: {}\n    app_users: {}\n    apps: {}\n"} {
		s.configure(t, export)
		s.must(t, 0, "apply")
		write(t, s.path("report.html"), s.must(t, 0, "report", "all-users").stdout)
		script, err := filepath.Abs("testdata/report_state.py")
		check(t, err)
		cmd := exec.Command("python3", script, "snapshots/all-users/latest", "report.html")
		cmd.Dir = s.dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if empty := regexp.MustCompile(`(?m)^.* 0$`).FindString(string(out)); empty != "" {
			t.Errorf("a section has no rows: %s", empty)
		}
	}
	if out := s.must(t, 0, "report", "all-users").stdout; !strings.Contains(out, "Not recorded: factors.") || !strings.Contains(out, "So groups is empty.") {
		t.Error("the report doesn't name the resources that aren't recorded")
	}
}

// Outputs don't have words that promise more than a snapshot can show. A configuration or
// a certificate can be valid, and a group can have the name Everyone.
func TestNoOutputPromisesTooMuch(t *testing.T) {
	t.Parallel()
	s := newOddOrg(t)
	s.configure(t, withFactors+"    app_groups: {}\n")
	outputs := map[string]string{"messages.txt": read(t, messagesFile), "apply": s.must(t, 0, "apply").stdout}
	s.org.Move(3)
	s.org.Delete(2)
	s.org.SetClockOffset(2 * time.Second)
	for _, command := range []string{
		"apply", "plan", "status", "list", "verify", "diff all-users", "access all-users --app Logbook", "validate", "doctor",
		"report all-users --from @-1", "report all-users@-1",
	} {
		outputs[command] = s.must(t, 0, strings.Fields(command)...).stdout
	}
	s.must(t, 0, "man", "--dir", "man1")
	pages, err := filepath.Glob(s.path("man1/*.1"))
	check(t, err)
	for _, page := range pages {
		outputs[filepath.Base(page)] = read(t, page)
	}
	promise := regexp.MustCompile(`(?i)\b(complete|completely|completeness|valid|validated|certified|everyone|approved)\b`)
	permitted := regexp.MustCompile(`oktasync\.yaml is valid|"valid": (true|false)|, valid until |(no|not|isn't) valid|` +
		`group Everyone|>Everyone</td>|["“][Ee]veryone|&#34;Everyone|\\\(dqEveryone|"everyone"|It doesn&#39;t show that Okta&#39;s answers were right, that access was approved|` +
		`They don&#39;t show that Okta&#39;s answers were right, that access was approved`)
	for name, output := range outputs {
		for line := range strings.Lines(output) {
			rest := permitted.ReplaceAllString(line, "")
			if !strings.HasPrefix(line, "# ") && promise.MatchString(rest) {
				t.Errorf("%s: %q in %s", name, promise.FindString(rest), line)
			}
		}
	}
}

package e2e

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// withAccess declares what the sections about a period need.
const withAccess = "    schedule: \"0 6 * * *\"\n    users: {}\n    groups: {}\n    group_members: {}\n    apps: {}\n    app_users: {}\n    app_groups: {}\n    role_assignments: {}\n"

// newPeriod returns a site whose store has seven snapshots with every kind of event, and
// failed, cancelled and quarantined reads. Three snapshots are pruned. It returns the
// first snapshot too.
func newPeriod(t *testing.T) (s *site, first string) {
	t.Helper()
	s = newSite(t, sandbox.Config{Seed: 7, Users: 80}, "okta.users.read", "okta.groups.read", "okta.apps.read", "okta.roles.read")
	var active []string
	for id, text := range s.org.UsersJSON() {
		var user struct{ Status string }
		check(t, json.Unmarshal(text, &user))
		if user.Status == "ACTIVE" {
			active = append(active, id)
		}
	}
	org, roles := s.org, s.org.Roles()
	set := func(user, path, value string) { check(t, org.Set(user, path, json.RawMessage(value))) }
	status := func(user, value string) { set(user, "status", `"`+value+`"`) }
	change := func(op sandbox.Op, users ...string) { check(t, org.Change(op, users...)) }
	pilots, crew := org.AddGroup("Pilots & <Crew>", ""), org.AddGroup("=Crew", "")
	logbook := org.AddApp("Logbook")
	for _, user := range active[:12] {
		check(t, org.AddMember(crew, user))
		check(t, org.AssignUser(logbook, user, "ACTIVE"))
	}
	status(active[20], "STAGED")
	s.configure(t, withAccess)
	apply := func(status int) { s.must(t, status, "apply") }
	apply(0)
	first = strings.TrimSpace(s.sh(t, "readlink snapshots/all-users/latest"))

	org.Join(2)
	set(active[1], "profile.department", `"Law <b>"`)
	set(active[2], "profile.manager", `"Grace Hopper"`)
	set(active[3], "profile.managerId", `"00u1"`)
	set(active[3], "profile.title", `"Pilot"`)
	change(sandbox.Suspend, active[4], active[5], active[6])
	check(t, roles.Grant(sandbox.RoleAssignment{PrincipalType: "GROUP", Principal: pilots, Type: "USER_ADMIN"}))
	apply(0)

	change(sandbox.Deactivate, active[4], active[7], active[8])
	change(sandbox.Unsuspend, active[5])
	change(sandbox.Reactivate, active[8])
	status(active[20], "ACTIVE")
	check(t, roles.Grant(sandbox.RoleAssignment{PrincipalType: "USER", Principal: active[9], Type: "HELP_DESK_ADMIN", Targets: []sandbox.RoleTarget{{Type: "GROUP", ID: pilots}}}))
	check(t, org.AssignGroup(logbook, pilots, 1))
	check(t, org.AssignUser(logbook, active[13], "ACTIVE"))
	check(t, org.AssignUser(logbook, active[14], "ACTIVE"))
	check(t, org.AddMember(pilots, active[9]))
	apply(0)
	org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	apply(1)
	org.ClearFaults()

	change(sandbox.Deactivate, active[6], active[8], active[10])
	change(sandbox.Delete, active[10])
	check(t, org.DeleteGroup(crew))
	check(t, roles.Revoke(sandbox.RoleAssignment{PrincipalType: "USER", Principal: active[9], Type: "HELP_DESK_ADMIN"}))
	apply(0)
	org.Wipe()
	apply(3)
	org.Restore()

	change(sandbox.Deactivate, active[5])
	change(sandbox.Delete, active[4], active[7])
	check(t, org.UnassignUser(logbook, active[0]))
	s.configure(t, withAccess, "group_members: {}", "group_members: {guard: {max_removed: 20%}}")
	apply(0)

	change(sandbox.Suspend, active[11])
	change(sandbox.Reactivate, active[8])
	set(active[12], "profile.manager", `"Ada"`)
	apply(0)
	change(sandbox.Deactivate, active[11])
	s.configure(t, withAccess+"    retain: {last: 3, changes: 84}\n    hold: ["+first+"]\n")
	apply(0)
	return s, first
}

// The rows of each section about a period are those that a script, which shares no code
// with oktasync, computes from the files of the store.
func TestReportOfAPeriod(t *testing.T) {
	t.Parallel()
	needs(t, "python3", "zstd")
	s, first := newPeriod(t)
	s.must(t, 0, "report", "all-users", "--from", first, "--output", "report.html")
	out := s.periodRows(t, first, "latest", "report.html")
	for _, want := range []string{"administrator-changes 3\n", "movers 2\n", "manager-changes 2\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	t.Log(out)
	s.noViolations(t)
}

// periodRows compares the sections of a report with the files of the store, and returns
// the number of rows of each section.
func (s *site) periodRows(t *testing.T, from, to, report string) string {
	t.Helper()
	script, err := filepath.Abs("testdata/report_period.py")
	check(t, err)
	var out bytes.Buffer
	cmd := exec.Command("python3", script, "snapshots/all-users", from, to, report)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	return out.String()
}

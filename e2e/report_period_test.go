package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// withAccess declares what the sections about a period need.
const withAccess = "    schedule: \"0 6 * * *\"\n    users: {}\n    groups: {}\n    group_members: {}\n    apps: {}\n    app_users: {}\n    app_groups: {}\n    role_assignments: {}\n"

// newPeriod returns a site whose store has seven snapshots with every kind of event, and
// the first of them. One read failed, one was quarantined, and a guard was overridden.
// Three snapshots are pruned, and their changes files are kept.
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

	joined := org.Join(2)
	check(t, org.AddMember(pilots, joined[0]))
	set(active[1], "profile.department", `"Law <b>"`)
	set(active[2], "profile.manager", `"Grace Hopper"`)
	set(active[3], "profile.managerId", `"00u1"`)
	set(active[3], "profile.title", `"Pilot"`)
	change(sandbox.Suspend, active[4], active[5], active[6])
	check(t, roles.Grant(sandbox.RoleAssignment{PrincipalType: "GROUP", Principal: pilots, Type: "USER_ADMIN"}))
	apply(0)

	change(sandbox.Deactivate, active[4], active[7], active[8], joined[0])
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
	check(t, org.RemoveMember(pilots, joined[0]))
	check(t, roles.Revoke(sandbox.RoleAssignment{PrincipalType: "USER", Principal: active[9], Type: "HELP_DESK_ADMIN"}))
	apply(0)
	org.Wipe()
	apply(3)
	org.Restore()

	change(sandbox.Deactivate, active[5])
	change(sandbox.Delete, active[4], active[7], joined[0])
	check(t, org.UnassignUser(logbook, active[0]))
	s.configure(t, withAccess, "users: {}", "users: {guard: {min: 1000}}")
	s.must(t, 0, "apply", "--publish-anyway", "--reason", "CHG-7")

	change(sandbox.Suspend, active[11])
	change(sandbox.Reactivate, active[8])
	set(active[12], "profile.manager", `"Ada"`)
	s.configure(t, withAccess+"    retain: {last: 3, changes: 84}\n    hold: ["+first+"]\n")
	apply(0)
	change(sandbox.Deactivate, active[11])
	apply(0)
	return s, first
}

// The rows of each section about a period are those that a script, which shares no code
// with oktasync, computes from the files of the store.
func TestReportOfAPeriod(t *testing.T) {
	t.Parallel()
	needs(t, "python3", "zstd")
	s, first := newPeriod(t)
	out := s.periodRows(t, first)
	for _, want := range []string{
		"administrator-changes 3\n", "leavers 11\n", "joiners 4\n", "movers 2\n", "manager-changes 2\n", "reads 8\n", "declarations 8\n",
		"app_groups.granted", "app_users.granted", "app_users.revoked", "group_members.granted", "group_members.revoked", "role_assignments.granted", "role_assignments.revoked",
		"users.activated", "users.deactivated", "users.deleted", "users.joined", "users.moved", "users.reactivated", "users.suspended", "users.unsuspended",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	s.periodRows(t, strings.TrimSpace(s.sh(t, "ls snapshots/all-users | grep Z$ | tail -n 3 | head -n 1")))
	s.checkSample(t, first)
	s.noViolations(t)

	later := time.Now().AddDate(0, 0, 4).Add(time.Second) // SOURCE_DATE_EPOCH has whole seconds
	gap := s.command(t.Context(), "report", "all-users", "--from", first, "--to", later.Format(time.DateOnly), "--nearest")
	gap.Env = append(os.Environ(), fmt.Sprint("SOURCE_DATE_EPOCH=", later.Unix()))
	page, err := gap.Output() // at 06:00, the fifth read is due
	if check(t, err); !regexp.MustCompile(`<dt>Gaps</dt>\s*<dd>(<p>)?No read was published or unchanged from .*, 4 days, with [45] due reads\.`).Match(page) {
		t.Errorf("the cover has no gap: %.3000s", page)
	}

	changes := strings.Fields(s.sh(t, "ls snapshots/all-users/pruned/*/users.changes.ndjson"))[0]
	s.sh(t, "sed -i s/ACTIVE/ACTIVF/ "+changes)
	if r := s.must(t, 1, "report", "all-users", "--from", first); !strings.Contains(r.stderr, "users.changes.ndjson: its digest is not the one in the manifest") {
		t.Errorf("a changed changes file: %s", r.stderr)
	}
	s.sh(t, "rm "+changes+" snapshots/all-users/pruned/*/group_members.changes.ndjson snapshots/all-users/pruned/*/app_users.changes.ndjson")
	report := s.must(t, 0, "report", "all-users", "--from", first).stdout
	pruned := strings.Split(changes, "/")[3]
	for _, want := range []string{"users: the changes file of " + pruned + " wasn&#39;t kept.", "group_members: the changes file of 3 snapshots (" + pruned + " to ", ">unknown<"} {
		if !strings.Contains(report, want) {
			t.Errorf("with missing changes files, the report doesn't have %q", want)
		}
	}
	if !regexp.MustCompile(`Accounts closed</a> <span>(none|[0-9]+ rows?), with gaps<`).MatchString(report) {
		t.Error("with missing changes files, the number of closed accounts has no mark")
	}
	if r := s.must(t, 0, "report", "all-users", "--from", first, "--format", "csv", "--section", "leavers"); !strings.Contains(r.stderr, "note: users: the changes file of "+pruned+" wasn't kept.") {
		t.Errorf("CSV with missing changes files: %s", r.stderr)
	}
	s.sh(t, "rm snapshots/all-users/latest/apps.changes.ndjson")
	if r := s.must(t, 1, "report", "all-users", "--from", first); !strings.Contains(r.stderr, "apps.changes.ndjson: it is missing") {
		t.Errorf("a changes file of a snapshot that wasn't pruned is missing: %s", r.stderr)
	}
}

// A report about a period has a row for each way in which a read can end, and for each event
// that changes what the store has: also a removal after the period, if it is of the period.
func TestReportOfAllEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 60})
	newest := func() string { return strings.TrimSpace(s.sh(t, "readlink snapshots/all-users/latest")) }
	quarantine := func() (name string) {
		s.org.Wipe()
		s.must(t, 3, "apply")
		s.org.Restore()
		return filepath.Base(s.only(t, "snapshots/.quarantine/all-users/*"))
	}
	s.configure(t, "    snapshot: on_change\n")
	s.must(t, 0, "apply")
	first := newest()
	s.must(t, 0, "apply") // unchanged

	s.org.Inject(sandbox.Fault{Stall: -1})
	reading, once := make(chan struct{}), sync.Once{}
	s.org.OnRequest(func(int, *http.Request) { once.Do(func() { close(reading) }) })
	apply := s.command(t.Context(), "apply")
	check(t, apply.Start())
	<-reading
	check(t, apply.Process.Signal(os.Interrupt))
	apply.Wait()
	s.org.OnRequest(nil)
	s.org.ClearFaults()

	quarantine()
	s.must(t, 0, "quarantine", "release", "all-users", "--reason", "CHG-1")
	s.must(t, 0, "apply")
	dropped := quarantine()
	s.org.Join(1)
	s.must(t, 0, "apply")
	last := newest()
	s.must(t, 0, "quarantine", "drop", "all-users@"+dropped, "--reason", "CHG-2")
	later := quarantine()
	s.must(t, 0, "quarantine", "drop", "all-users@"+later, "--reason", "CHG-3")
	s.org.Join(1)
	s.must(t, 0, "apply")
	lost := newest()
	s.sh(t, "rm -r snapshots/all-users/"+lost)
	s.must(t, 0, "adopt", "all-users", "--reason", "INC-7")

	rows := func(section string, columns []int, args ...string) (rows []string) {
		_, all := readCSV(t, s.must(t, 0, append([]string{"report", "all-users", "--from", first, "--format", "csv", "--section", section}, args...)...).stdout)
		for _, row := range all {
			var cells []string
			for _, column := range columns {
				cells = append(cells, row[column])
			}
			rows = append(rows, strings.Join(cells, " "))
		}
		return rows
	}
	want := []string{"unchanged", "cancelled", "quarantined", "published", "published", "quarantined", "published"}
	if got := rows("reads", []int{1}, "--to", last); !slices.Equal(got, want) {
		t.Errorf("reads: %q, want %q", got, want)
	}
	want = []string{"adopted INC-7", "dropped CHG-2", "guard override CHG-1"} // in any order: a snapshot is dated at least a second after the previous one
	if got := slices.Sorted(slices.Values(rows("declarations", []int{2, 6}, "--to", last))); !slices.Equal(got, want) {
		t.Errorf("declarations: %q, want %q", got, want)
	}
	s.must(t, 0, "apply")
	if got := rows("declarations", []int{2, 6}); !slices.Contains(got, "adopted INC-7") || !slices.Contains(got, "dropped CHG-3") {
		t.Errorf("declarations up to the newest snapshot: %q", got)
	}
}

// checkSample checks that a sample has the rows that its method describes.
func (s *site) checkSample(t *testing.T, from string) {
	t.Helper()
	keys := func(args ...string) (section string, keys []string) {
		page := s.must(t, 0, append([]string{"report", "all-users", "--from", from}, args...)...).stdout
		_, section, _ = strings.Cut(page, `<section aria-labelledby="leavers">`)
		section, _, _ = strings.Cut(section, "</section>")
		for _, key := range regexp.MustCompile(`<td class="key">([^<]*)</td>`).FindAllStringSubmatch(section, -1) {
			keys = append(keys, key[1])
		}
		return section, keys
	}
	_, all := keys()
	slices.Sort(all)
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(all, "\n")+"\n")))
	slices.SortFunc(all, func(a, b string) int {
		x, y := sha256.Sum256([]byte("audit 2026\n"+digest+"\n"+a)), sha256.Sum256([]byte("audit 2026\n"+digest+"\n"+b))
		return bytes.Compare(x[:], y[:])
	})
	section, drawn := keys("--sample", "leavers:3", "--seed", "audit 2026")
	if !slices.Equal(drawn, all[:3]) {
		t.Errorf("the sample is %q, want %q", drawn, all[:3])
	}
	for _, want := range []string{"3 of 11 rows", "audit 2026", digest} {
		if !strings.Contains(section, want) {
			t.Errorf("the sample doesn't state %q", want)
		}
	}
}

// periodRows compares the sections of a report with the files of the store, and returns
// the number of rows of each section.
func (s *site) periodRows(t *testing.T, from string) string {
	t.Helper()
	s.must(t, 0, "report", "all-users", "--from", from, "--output", "report.html")
	script, err := filepath.Abs("testdata/report_period.py")
	check(t, err)
	var out bytes.Buffer
	cmd := exec.Command("python3", script, "snapshots/all-users", from, "latest", "report.html")
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	return out.String()
}

package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// A reviewSite is a site with a snapshot to review, and the file of the review.
type reviewSite struct {
	*site
	snapshot      string
	header        []string
	rows          [][]string // with a decision in each
	pilots        string     // the id of a group
	logbook       string     // the ids of apps
	tower         string
	secondsPassed int
}

// newReviewSite publishes a snapshot with sixteen paths, and reads the file of its review.
// Each row has the decision keep.
func newReviewSite(t *testing.T) *reviewSite {
	t.Helper()
	s := &reviewSite{site: newSite(t, sandbox.Config{}, append(usersAndGroups, "okta.apps.read", "okta.roles.read")...)}
	for _, user := range []struct{ id, profile, status string }{
		{"00uada", `{"login":"ada@acme.example","email":"countess@acme.example","department":"Flight; 1","manager":"bob@acme.example"}`, "ACTIVE"},
		{"00ubob", `{"login":"bob@acme.example","department":"'Ops","manager":"lee@acme.example"}`, "ACTIVE"},
		{"00ueve", `{"login":"eve@acme.example","department":"=1+1","manager":"bob@acme.example"}`, "SUSPENDED"},
		{"00ulee", `{"login":"lee@acme.example"}`, "ACTIVE"},
	} {
		check(t, s.putUser(user.id, user.profile, user.status))
	}
	s.pilots, s.logbook, s.tower = s.org.AddGroup("Pilots", ""), s.org.AddApp("Logbook"), s.org.AddApp("Tower")
	check(t, errors.Join(
		s.org.AddMember(s.pilots, "00uada"), s.org.AddMember(s.pilots, "00ueve"), s.org.AssignGroup(s.logbook, s.pilots, 0),
		s.org.AssignUser(s.logbook, "00ubob", ""), s.org.AssignUser(s.logbook, "00ulee", ""),
		s.org.AssignUser(s.tower, "00uada", ""), s.org.AssignUser(s.tower, "00ubob", ""),
		s.org.Roles().Grant(sandbox.RoleAssignment{PrincipalType: "USER", Principal: "00ubob", Type: "SUPER_ADMIN"}),
		s.org.Roles().Grant(sandbox.RoleAssignment{PrincipalType: "GROUP", Principal: s.pilots, Type: "HELP_DESK_ADMIN"})))
	s.sh(t, "ssh-keygen -q -t ed25519 -N '' -f signing-key && printf 'ops@acme.example %s\\n' \"$(cut -d' ' -f1,2 signing-key.pub)\" > allowed_signers")
	s.configure(t, "    users: {}\n    groups: {}\n    group_members: {}\n    apps: {}\n    app_users: {}\n    app_groups: {}\n    role_assignments: {}\n",
		"store:\n", "store:\n  signing_key_file: signing-key\n  allowed_signers_file: allowed_signers\n")
	s.apply(t)
	link, err := os.Readlink(s.path("snapshots/all-users/latest"))
	check(t, err)
	s.snapshot = link
	s.header, s.rows = readCSV(t, s.must(t, 0, "report", "all-users", "--review", "manager", "--format", "csv").stdout)
	for _, row := range s.rows {
		s.set(row, "decision", "keep")
		s.set(row, "decided_at", s.afterRead(t).Format(time.DateOnly))
		s.set(row, "decided_by", "LEE@acme.example")
		if s.get(row, "user_id") == "00ulee" {
			s.set(row, "decided_by", "00ubob")
		}
	}
	return s
}

// afterRead returns a time shortly after the read of the snapshot began.
func (s *reviewSite) afterRead(t *testing.T) time.Time {
	t.Helper()
	began, err := time.Parse("20060102T150405Z", s.snapshot)
	check(t, err)
	return began.Add(time.Second)
}

// apply publishes a snapshot, a few seconds of the org later.
func (s *reviewSite) apply(t *testing.T) {
	t.Helper()
	s.secondsPassed += 2
	s.org.SetClockOffset(time.Duration(s.secondsPassed) * time.Second)
	s.must(t, 0, "apply")
}

func readCSV(t *testing.T, text string) (header []string, rows [][]string) {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	check(t, err)
	return all[0], all[1:]
}

func (s *reviewSite) get(row []string, column string) string {
	return row[slices.Index(s.header, column)]
}

func (s *reviewSite) set(row []string, column, value string) {
	row[slices.Index(s.header, column)] = value
}

func (s *reviewSite) row(rows [][]string, user, app string) []string {
	return rows[slices.IndexFunc(rows, func(row []string) bool {
		return s.get(row, "user_id") == user && s.get(row, "app_label") == app
	})]
}

// copyRows returns a copy of the rows that a test can change.
func (s *reviewSite) copyRows() [][]string {
	rows := make([][]string, len(s.rows))
	for i, row := range s.rows {
		rows[i] = slices.Clone(row)
	}
	return rows
}

// write writes rows to a file with a separator.
func (s *reviewSite) write(t *testing.T, name string, comma rune, rows ...[]string) {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Comma = comma
	check(t, w.WriteAll(append([][]string{s.header}, rows...)))
	write(t, s.path(name), b.String())
}

// check runs review check with a file, and returns its output.
func (s *reviewSite) check(t *testing.T, status int, args ...string) string {
	t.Helper()
	r := s.must(t, status, append([]string{"review", "check", "--against", "all-users@" + s.snapshot}, args...)...)
	return r.stdout + r.stderr
}

// The population of a review is what access prints, and a workbook has a sheet for each
// reviewer.
func TestReviewPopulation(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	s := newReviewSite(t)
	var facts [][]string
	from := slices.Index(s.header, "login")
	for _, row := range s.rows {
		facts = append(facts, row[from:slices.Index(s.header, "decision")])
		if s.get(row, "reviewer") != s.get(row, "manager") {
			t.Errorf("the reviewer of %q isn't the manager", row)
		}
	}
	apps := make(map[string]bool)
	for _, row := range s.rows {
		apps[s.get(row, "app_id")] = true
	}
	var want [][]string
	for app := range apps {
		header, rows := readCSV(t, s.must(t, 0, "access", "all-users", "--app", app, "--format", "csv").stdout)
		if columns := s.header[from:slices.Index(s.header, "decision")]; !slices.Equal(columns, header) {
			t.Errorf("columns of a review %q, of access %q", columns, header)
		}
		want = append(want, rows...)
	}
	slices.SortFunc(facts, slices.Compare[[]string])
	slices.SortFunc(want, slices.Compare[[]string])
	if !slices.EqualFunc(facts, want, slices.Equal[[]string]) || len(facts) != 16 {
		t.Errorf("rows of a review\n%q\nof access\n%q", facts, want)
	}

	s.must(t, 0, "report", "all-users", "--review", "manager", "--format", "xlsx", "--output", "review.xlsx")
	book, err := zip.OpenReader(s.path("review.xlsx"))
	check(t, err)
	defer book.Close()
	f, err := book.Open("xl/workbook.xml")
	check(t, err)
	names, err := io.ReadAll(f)
	check(t, err)
	for _, sheet := range []string{"bob@acme.example", "lee@acme.example", "no reviewer"} {
		if strings.Count(string(names), `name="`+sheet+`"`) != 1 {
			t.Errorf("the workbook has no sheet %q:\n%s", sheet, names)
		}
	}
	_, rows := readCSV(t, s.must(t, 0, "report", "all-users", "--review", "department", "--user", "ada@acme.example", "--app", "Tower", "--format", "csv").stdout)
	if len(rows) != 1 || rows[0][len(rows[0])-1] != "apps by=department app="+s.tower+" user=00uada" {
		t.Errorf("rows of one user and app: %q", rows)
	}
}

// The population can be the admin roles: a row for each holder, also through a group.
func TestReviewOfRoles(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	s := newReviewSite(t)
	s.header, s.rows = readCSV(t, s.must(t, 0, "report", "all-users", "--review", "role_type", "--role", "all", "--format", "csv").stdout)
	header, want := readCSV(t, s.must(t, 0, "access", "all-users", "--role", "all", "--format", "csv").stdout)
	from, to := slices.Index(s.header, "reviewer")+1, slices.Index(s.header, "decision")
	if !slices.Equal(s.header[from:to], header) || len(s.rows) != len(want) || len(want) < 4 {
		t.Fatalf("%d rows with the columns %q, want %d with %q", len(s.rows), s.header, len(want), header)
	}
	for i, row := range s.rows {
		if !slices.Equal(row[from:to], want[i]) {
			t.Errorf("row of a review %q, of access %q", row[from:to], want[i])
		}
		s.set(row, "decision", "keep")
		s.set(row, "decided_by", "lee@acme.example")
		s.set(row, "decided_at", s.afterRead(t).Format(time.RFC3339))
	}
	revoked := s.rows[slices.IndexFunc(s.rows, func(row []string) bool { return s.get(row, "login") == "eve@acme.example" })]
	s.set(revoked, "decision", "revoke")
	s.write(t, "f.csv", ',', s.rows...)
	s.check(t, 0, "f.csv")
	check(t, s.org.RemoveMember(s.pilots, "00ueve"))
	s.apply(t)
	if got := s.check(t, 0, "f.csv"); !strings.Contains(got, ": gone: eve@acme.example, ") {
		t.Errorf("output\n%s", got)
	}
}

// Each way in which a file doesn't match is a finding.
func TestReviewFindings(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	s := newReviewSite(t)
	due, after := s.afterRead(t).Format(time.RFC3339), s.afterRead(t).Add(30*time.Second).Format(time.RFC3339)
	set := func(column, value string) func([][]string) [][]string {
		return func(rows [][]string) [][]string {
			s.set(s.row(rows, "00uada", "Tower"), column, value)
			return rows
		}
	}
	line := 2 + slices.IndexFunc(s.rows, func(row []string) bool {
		return s.get(row, "user_id") == "00uada" && s.get(row, "app_label") == "Tower"
	})
	ada := fmt.Sprintf("f.csv:%d: %%s: ada@acme.example, Tower, direct: ", line)
	for _, c := range []struct {
		name, args, kind, want string
		change                 func(rows [][]string) [][]string
	}{
		{name: "no change", change: func(rows [][]string) [][]string { return rows }},
		{name: "another order, and an empty row", change: func(rows [][]string) [][]string {
			slices.Reverse(rows)
			return slices.Insert(rows, 2, make([]string, len(s.header)))
		}},
		{name: "missing", want: "missing: ada@acme.example, Tower, direct: no file has it", change: func(rows [][]string) [][]string {
			return slices.DeleteFunc(rows, func(row []string) bool {
				return s.get(row, "user_id") == "00uada" && s.get(row, "app_label") == "Tower"
			})
		}},
		{name: "extra", want: "f.csv:18: extra: mallory, Tower, direct: " + s.snapshot + " doesn't have it in this population", change: func(rows [][]string) [][]string {
			row := slices.Clone(s.row(rows, "00uada", "Tower"))
			s.set(row, "key", s.tower+":00umallory:direct:")
			s.set(row, "login", "mallory")
			return append(rows, row)
		}},
		{name: "duplicate", want: "f.csv:18: duplicate: ada@acme.example, Tower, direct: an earlier row is about the same item", change: func(rows [][]string) [][]string {
			return append(rows, s.row(rows, "00uada", "Tower"))
		}},
		{name: "altered department", kind: "altered", want: `department is "Sales", and "Flight; 1" in the snapshot`, change: set("department", "Sales")},
		{name: "altered population", kind: "altered", want: `population is "apps by=manager app=x", and "apps by=manager" in the snapshot`, change: set("population", "apps by=manager app=x")},
		{name: "undecided", kind: "undecided", want: "has no decision", change: set("decision", " ")},
		{name: "unknown decision", kind: "undecided", want: `the decision "maybe" is neither keep nor revoke`, change: set("decision", "maybe")},
		{name: "no reviewer", kind: "reviewer_missing", want: "decided_by is empty", change: set("decided_by", "")},
		{name: "unknown reviewer", kind: "reviewer_unknown", want: `decided by "Lee": no user in the snapshot has this id, login or email address`, change: set("decided_by", "Lee")},
		{name: "inactive reviewer", kind: "reviewer_inactive", want: `decided by "eve@acme.example", whose status in the snapshot is SUSPENDED`, change: set("decided_by", "eve@acme.example")},
		{name: "self-review", kind: "self_review", want: `decided by "Countess@acme.example" about their own access`, change: set("decided_by", "Countess@acme.example")},
		{name: "no time", kind: "undated", want: "decided_at is empty", change: set("decided_at", "")},
		{name: "unknown time", kind: "undated", want: `decided_at: "soon" isn't a date such as 2026-11-23, or a time`, change: set("decided_at", "soon")},
		{name: "late", kind: "late", args: "--due=" + due, want: "decided at " + after + ", after the due date", change: func(rows [][]string) [][]string {
			for _, row := range rows {
				s.set(row, "decided_at", due)
			}
			return set("decided_at", after)(rows)
		}},
		{name: "future", kind: "future", want: "decided at 2999-01-01 18:00, in the future", change: set("decided_at", "2999-01-01 18:00")},
		{name: "early", kind: "early", want: "decided at 2020-02-02, before the read of the snapshot began", change: set("decided_at", "2020-02-02")},
		{name: "revoked, without a later snapshot", kind: "pending", want: "revoked; there is no later snapshot yet", change: set("decision", "Revoke")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.write(t, "f.csv", ',', c.change(s.copyRows())...)
			status := 0
			if c.want != "" && c.kind != "pending" {
				status = 1
			}
			args := []string{"f.csv", "--no-record"}
			if c.args != "" {
				args = append(args, c.args)
			}
			got := s.check(t, status, args...)
			if c.kind != "" {
				c.want = fmt.Sprintf(ada, c.kind) + c.want
			}
			if !strings.Contains(got, c.want+"\n") {
				t.Errorf("output\n%s\nwant %q", got, c.want)
			}
			if problems := strings.Count(got, "f.csv:") + strings.Count(got, "\nmissing:"); c.want == "" && problems > 1 || problems > 2 {
				t.Errorf("more findings:\n%s", got)
			}
		})
	}
	if strings.Contains(s.journal(t), "review_recorded") {
		t.Error("--no-record has recorded a file")
	}
}

// A review can be in several files, as spreadsheets save sheets in several countries. No
// cell can control the terminal. The summary names the population, which a file can change.
func TestReviewFiles(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	s := newReviewSite(t)
	rows := s.copyRows()
	s.set(rows[0], "decided_by", "\x1b[2J\u202e")
	s.write(t, "a.csv", ';', rows[:4]...)
	write(t, s.path("a.csv"), "\ufeffReview of Lee\n\n"+read(t, s.path("a.csv")))
	s.write(t, "b.csv", '\t', rows[4:]...)
	got := s.check(t, 1, "a.csv", "b.csv", "--no-record")
	if strings.Contains(got, "\x1b") || strings.Contains(got, "\u202e") || !strings.Contains(got, "16 rows: 16 keep, 0 revoke, 0 undecided") || !strings.Contains(got, "oktasync: error: 1 problem found") {
		t.Errorf("output %q", got)
	}
	if got = s.check(t, 1, "b.csv", "--no-record"); strings.Count(got, "missing: ") != 4 {
		t.Errorf("with one of two files:\n%s", got)
	}
	rows = slices.DeleteFunc(s.copyRows(), func(row []string) bool {
		return s.get(row, "app_label") != "Tower" || s.get(row, "user_id") != "00uada"
	})
	smaller := "apps by=manager app=" + s.tower + " user=00uada"
	s.set(rows[0], "population", smaller)
	s.write(t, "smaller.csv", ',', rows...)
	if got = s.check(t, 0, "smaller.csv", "--no-record"); !strings.Contains(got, "\npopulation: "+smaller+"\n1 row: ") {
		t.Errorf("with a smaller population:\n%s", got)
	}
}

// Without a folder for temporary files, the error says what to set.
func TestReviewWithoutTemporaryFiles(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	s := newReviewSite(t)
	s.write(t, "f.csv", ',', s.rows...)
	for op, args := range map[string][]string{
		"copy f.csv":                    {"review", "check", "--against", "all-users@" + s.snapshot, "f.csv"},
		"write review.xlsx: write rows": {"report", "all-users", "--review", "manager", "--format", "xlsx", "--output", "review.xlsx"},
	} {
		cmd := s.command(t.Context(), args...)
		cmd.Env = append(os.Environ(), "TMPDIR=/nonexistent")
		got, err := cmd.CombinedOutput()
		want := "oktasync: error: " + op + " to a temporary file in /nonexistent: no such file or directory\n" +
			"oktasync: hint: set TMPDIR to a folder in which this process can create files\n"
		if err == nil || string(got) != want {
			t.Errorf("%s: %v\n%swant\n%s", op, err, got, want)
		}
	}
}

// Many apps are read together, and each row has the same result as that of a single app.
func TestReviewOfManyApps(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	s := newReviewSite(t)
	apps := []string{s.logbook, s.tower}
	for i := range 4 {
		apps = append(apps, s.org.AddApp(fmt.Sprint("App ", i)))
		check(t, s.org.AssignUser(apps[i+2], "00uada", ""))
	}
	s.apply(t)
	var err error
	s.snapshot, err = os.Readlink(s.path("snapshots/all-users/latest"))
	check(t, err)
	s.header, s.rows = readCSV(t, s.must(t, 0, "report", "all-users", "--review", "manager", "--format", "csv").stdout)
	campaign := "reviewItem.principalUserd,reviewItem.resourceId,reviewItem.reviewerEmail,decision,decided\n"
	var items []string
	for _, row := range s.rows {
		s.set(row, "decision", "revoke")
		if app := s.get(row, "app_id"); slices.Contains(apps, app) {
			items = append(items, fmt.Sprintf("%s,%s,lee@acme.example,REVOKE,%s\n", s.get(row, "user_id"), app, s.afterRead(t).Format(time.DateOnly)))
		}
	}
	slices.Sort(items)
	items = slices.Compact(items)
	s.write(t, "f.csv", ',', s.rows...)
	write(t, s.path("campaign.csv"), campaign+strings.Join(items, ""))
	check(t, s.org.UnassignUser(apps[3], "00uada"))
	s.apply(t)
	for file, rows := range map[string]int{"f.csv": len(s.rows), "campaign.csv": len(items)} {
		got := s.check(t, 1, file, "--no-record", "--all")
		if strings.Count(got, ": gone: ada@acme.example, App 1") != 1 || strings.Count(got, ": still_present: ") != rows-1 || strings.Contains(got, "\nmissing: ") ||
			!strings.Contains(got, fmt.Sprintf("%d rows: 0 keep, %d revoke, 0 undecided", rows, rows)) {
			t.Errorf("%s with %d rows:\n%s", file, rows, got)
		}
	}
}

// A file of Okta Identity Governance is compared with the users of its apps and the members of
// its groups.
func TestReviewOfACampaign(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	s := newReviewSite(t)
	today := s.afterRead(t).Format(time.DateOnly)
	s.header = []string{"campaign.name", "reviewItem.principalUserd", "reviewItem.principalUserEmail", "reviewItem.resourceType", "reviewItem.resourceName", "reviewItem.resourceId", "reviewItem.entitlementName", "reviewItem.reviewerEmail", "reviewItem.outcome", "reviewItem.certified"}
	item := func(user, email, resource, entitlement, reviewer, decision string) []string {
		return []string{"Q4", user, email, "Application", "Tower", resource, entitlement, reviewer, decision, today}
	}
	s.write(t, "campaign.csv", ',',
		item("00uada", "countess@acme.example", s.tower, "", "lee@acme.example", "APPROVE"),
		item("00uada", "countess@acme.example", s.tower, "Editor", "lee@acme.example", "REVOKE"),
		item("00uada", "countess@acme.example", s.pilots, "", "Countess@acme.example", "APPROVE"),
		item("00ueve", "eve@acme.example", s.pilots, "", "lee@acme.example", "UNREVIEWED"),
		item("00uold", "old@acme.example", s.tower, "", "lee@acme.example", "APPROVE"))
	if got := s.check(t, 1, "campaign.csv"); !strings.Contains(got, "campaign.csv:1: lacks the column decision") || !strings.Contains(got, "hint: name the columns") {
		t.Errorf("output\n%s", got)
	}
	r := s.must(t, 1, "review", "check", "campaign.csv", "--against", "all-users@"+s.snapshot, "--column", "decision=reviewItem.outcome", "--json")
	var doc struct {
		Findings []struct{ Kind, Item, Problem string }
		Summary  struct {
			Items, Keep, Revoke, Undecided int
			Population                     string
		}
	}
	check(t, json.Unmarshal([]byte(r.stdout), &doc))
	var kinds []string
	for _, f := range doc.Findings {
		kinds = append(kinds, f.Kind+" "+f.Item)
	}
	want := []string{
		"self_review 00uada, " + s.pilots, "undecided 00ueve, " + s.pilots, "missing bob@acme.example, Tower",
		"extra old@acme.example, Tower", "pending ada@acme.example, Tower",
	}
	if !slices.Equal(kinds, want) || doc.Summary.Items != 4 || doc.Summary.Keep != 2 || doc.Summary.Revoke != 1 || doc.Summary.Undecided != 1 || doc.Summary.Population != "campaign of Okta with apps=1 groups=1" {
		t.Errorf("findings %q, want %q\n%s", kinds, want, r.stdout)
	}
}

package snapshot_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// The CSV files of edges have the names of their ends beside the ids.
func TestCSVOfEdges(t *testing.T) {
	s := storetest.New(t)
	snap := storetest.Publish(t, s, storetest.Day(1), storetest.Access(1)...)
	for name, want := range map[string]string{
		"group_members.csv": "group_name,login,group_id,user_id\r\n" +
			"Everyone,p1@acme.example,00g0001,00u0001\r\n" +
			"Everyone,p2@acme.example,00g0001,00u0002\r\n" +
			"Everyone,,00g0001,00u0099\r\n" +
			"'=Sales,p3@acme.example,00g0002,00u0003\r\n" +
			"Law,p1@acme.example,00g0003,00u0001\r\n" +
			"Law,p4@acme.example,00g0003,00u0004\r\n",
		"app_groups.csv": "app_label,group_name,priority,lastUpdated,app_id,group_id\r\n" +
			"Mail,Everyone,0,,0oa0001,00g0001\r\n" +
			"Wiki,Law,1,,0oa0002,00g0003\r\n",
	} {
		got, err := os.ReadFile(filepath.Join(snap.Dir(), name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %v, got:\n%s\nwant:\n%s", name, err, got, want)
		}
	}
	got, err := os.ReadFile(filepath.Join(snap.Dir(), "app_users.csv"))
	if want := "app_label,login,scope,status,username,"; err != nil || !strings.HasPrefix(string(got), want) {
		t.Errorf("app_users.csv: %v, got:\n%s\nwant a header that begins with %s", err, got, want)
	}
	storetest.CheckOK(t, s)
}

// Names are in the CSV file of edges whatever attributes are selected.
func TestCSVOfEdgesWithSelectedAttributes(t *testing.T) {
	for _, test := range []struct{ include, exclude, want string }{
		{"status", "", "app_label,login,status\r\nMail,p1@acme.example,PROVISIONED\r\n"},
		{"login", "", "app_label,login\r\nMail,p1@acme.example\r\n"},
		{"", "login", "app_label,login,scope,status,"},
	} {
		s := storetest.New(t)
		d := storetest.Draft(t, s, storetest.Day(1), append(storetest.People(1), storetest.App(1, "Mail", "ACTIVE"), storetest.AppUser(1, 1, "PROVISIONED"))...)
		declared := d.Declared.Resources["app_users"]
		declared.Attributes.Include, declared.Attributes.Exclude = strings.Fields(test.include), strings.Fields(test.exclude)
		d.Declared.Resources["app_users"] = declared
		w := storetest.Writer(t, s)
		snap, err := w.Publish(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(snap.Dir(), "app_users.csv"))
		if err != nil || !strings.HasPrefix(string(got), test.want) {
			t.Errorf("include %q, exclude %q: %v, got:\n%s\nwant:\n%s", test.include, test.exclude, err, got, test.want)
		}
		storetest.CheckOK(t, s)
	}
}

// Edges whose other end isn't recorded are kept and counted, with and without CSV.
func TestUnresolvedEdges(t *testing.T) {
	for _, formats := range [][]string{{"ndjson", "csv"}, {"ndjson"}} {
		s := storetest.New(t)
		d := storetest.Draft(t, s, storetest.Day(1), storetest.Access(1)...)
		d.Declared.Formats = formats
		snap, err := storetest.Writer(t, s).Publish(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int{"group_members": 1, "app_users": 1, "app_groups": 0, "users": 0} {
			if got := snap.Manifest.Resources[name].Unresolved; got != want {
				t.Errorf("unresolved of %s with %v = %d, want %d", name, formats, got, want)
			}
		}
		storetest.CheckOK(t, s)
	}
}

// Without users, no edge to a user is unresolved, and its login is empty.
func TestEdgesWithoutTheirOtherEnd(t *testing.T) {
	s := storetest.New(t)
	d := storetest.Draft(t, s, storetest.Day(1), storetest.Group(1, "Everyone"), storetest.Member(1, 1))
	delete(d.Declared.Resources, "users")
	d.Resources = d.Resources[1:]
	snap, err := storetest.Writer(t, s).Publish(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(snap.Dir(), "group_members.csv"))
	if want := "group_name,login,group_id,user_id\r\nEveryone,,00g0001,00u0001\r\n"; err != nil || string(got) != want {
		t.Errorf("group_members.csv: %v, got:\n%s\nwant:\n%s", err, got, want)
	}
	if n := snap.Manifest.Resources["group_members"].Unresolved; n != 0 {
		t.Errorf("unresolved = %d, want 0", n)
	}
	storetest.CheckOK(t, s)
}

// A deleted group revokes its memberships, and each is in the changes file once.
func TestChangesOfEdges(t *testing.T) {
	s := storetest.New(t)
	storetest.Publish(t, s, storetest.Day(1), storetest.Access(1)...)
	snap := storetest.Publish(t, s, storetest.Day(2), storetest.Access(2)...)
	for name, want := range map[string]map[diff.Kind]int{
		"groups":        {diff.Deleted: 1},
		"group_members": {diff.Granted: 1, diff.Revoked: 3},
		"apps":          {diff.Deleted: 1},
		"app_users":     {diff.Revoked: 2},
		"app_groups":    {diff.Granted: 1, diff.Revoked: 1},
	} {
		if got := snap.Manifest.Resources[name].Kinds; !equalKinds(got, want) {
			t.Errorf("kinds of %s = %v, want %v", name, got, want)
		}
	}
	storetest.CheckOK(t, s)
}

func equalKinds(a, b map[diff.Kind]int) bool {
	same := len(a) == len(b)
	for kind, n := range a {
		same = same && b[kind] == n
	}
	return same
}

// Publish rejects an edge whose parent isn't recorded, and resources out of order.
func TestPublishRejectsEdges(t *testing.T) {
	s := storetest.New(t)
	w := storetest.Writer(t, s)
	d := storetest.Draft(t, s, storetest.Day(1), append(storetest.People(1), storetest.Group(1, "Everyone"), storetest.Member(2, 1))...)
	_, err := w.Publish(t.Context(), d)
	if want := `publish snapshot: write group_members.csv: the parent "00g0002" isn't recorded`; err == nil || err.Error() != want {
		t.Errorf("Publish() = %v, want %s", err, want)
	}
	d = storetest.Draft(t, s, storetest.Day(1), storetest.Access(1)...)
	d.Resources[1], d.Resources[2] = d.Resources[2], d.Resources[1]
	if _, err = w.Publish(t.Context(), d); err == nil || !strings.Contains(err.Error(), "in the order of Resources") {
		t.Errorf("Publish() = %v, want an error about the order", err)
	}
	d = storetest.Draft(t, s, storetest.Day(1), append(storetest.People(1), storetest.Member(1, 1))...)
	if _, err = w.Publish(t.Context(), d); err == nil || !strings.Contains(err.Error(), "group_members without groups") {
		t.Errorf("Publish() = %v, want an error about the parents", err)
	}
}

// The groups that the transcript doesn't have are carried: their members must be those
// of the newest snapshot, and the file of parents has their last read.
func TestCarriedMembers(t *testing.T) {
	s := storetest.New(t)
	publish := func(day int, records []string, read ...string) (*snapshot.Snapshot, error) {
		d := storetest.Draft(t, s, storetest.Day(day), records...)
		storetest.Incremental(t, &d, read...)
		w := storetest.Writer(t, s)
		snap, err := w.Publish(t.Context(), d)
		storetest.Must(t, w.Close())
		return snap, err
	}
	fails := func(want string, records []string, read ...string) {
		t.Helper()
		if _, err := publish(2, records, read...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Publish() = %v, want %s", err, want)
		}
	}
	all := []string{"00g0001", "00g0002", "00g0003"}
	fails(`group "00g0003": its members were not read, and there is no earlier snapshot`, storetest.Access(1), all[:2]...)
	first, err := publish(1, storetest.Access(1), all...)
	storetest.Must(t, err)
	if got := first.Manifest.Resources["group_members"]; got.Refresh != snapshot.RefreshFull || got.CarriedSince != nil {
		t.Errorf("counts of the first snapshot = %+v, want a full refresh", got)
	}
	fails(`group "00g0002": its members were not read, and aren't those of the newest snapshot`, storetest.Access(2), "00g0001")
	other := storetest.Access(1)
	other[slices.Index(other, storetest.Member(1, 99))] = storetest.Member(1, 98)
	fails(`group "00g0001": its members were not read, and aren't those of the newest snapshot`, other, "00g0002", "00g0003")
	second, err := publish(2, storetest.Access(2), "00g0002", "00g0001")
	storetest.Must(t, err)
	third, err := publish(3, storetest.Access(2), "00g0002")
	storetest.Must(t, err)
	got := third.Manifest.Resources["group_members"]
	if since := second.Manifest.Read.Started.Add(time.Second); got.Refresh != snapshot.RefreshIncremental || got.Carried != 2 || got.Rows != 2 || !got.CarriedSince.Equal(since) {
		t.Errorf("counts = %+v, want an incremental refresh with 2 of 4 records carried since %s", got, since)
	}
	var lines []string
	for line := range strings.Lines(storetest.Read(t, filepath.Join(third.Dir(), "group_members.parents.ndjson"))) {
		_, line, _ = strings.Cut(line, `"read":`)
		lines = append(lines, line[:strings.Index(line, `,"sha256"`)])
	}
	want := []string{`"2026-11-24T06:00:01.000Z","rows":2`, `"2026-11-25T06:00:00.000Z","rows":2`}
	if !slices.Equal(lines, want) {
		t.Errorf("reads and rows = %q, want %q", lines, want)
	}
	storetest.CheckOK(t, s)
	checker(t, s)
}

// A released read carries the members of the newest snapshot.
func TestReleaseOfCarriedMembers(t *testing.T) {
	s := storetest.New(t)
	w := storetest.Writer(t, s)
	d := storetest.Draft(t, s, storetest.Day(1), storetest.Access(2)...)
	storetest.Incremental(t, &d, "00g0001", "00g0002")
	_, err := w.Publish(t.Context(), d)
	storetest.Must(t, err)
	d = storetest.Draft(t, s, storetest.Day(2), append(storetest.Access(2), storetest.Member(2, 6))...)
	storetest.Incremental(t, &d, "00g0002")
	name, err := w.Quarantine(t.Context(), d, "too many members")
	storetest.Must(t, err, w.Close())
	adopted := storetest.Copy(t, s.Dir(), t.TempDir())
	storetest.Write(t, adopted.Path(staff, "notes.txt"), "x")
	storetest.Adopt(t, adopted)
	_, err = storetest.Release(t, adopted, name)
	if want := "it carries members of 20261123T060000Z, which was adopted since the read"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Release() = %v, want %s", err, want)
	}
	w = storetest.Writer(t, s)
	snap, err := w.Release(t.Context(), name, snapshot.Override{User: "ops", Reason: "checked"}, snapshot.Tool{Name: "oktasync"})
	storetest.Must(t, err)
	if got := snap.Manifest.Resources["group_members"]; got.Carried != 2 || got.Refresh != snapshot.RefreshIncremental {
		t.Errorf("counts = %+v, want 2 carried", got)
	}
	storetest.CheckOK(t, s)
}

// A released read has the changes and the names that an ordinary publish has.
func TestReleaseOfEdges(t *testing.T) {
	s := storetest.New(t)
	storetest.Publish(t, s, storetest.Day(1), storetest.Access(1)...)
	w := storetest.Writer(t, s)
	name, err := w.Quarantine(t.Context(), storetest.Draft(t, s, storetest.Day(2), storetest.Access(2)...), "too few groups")
	if err != nil {
		t.Fatal(err)
	}
	snap, err := w.Release(t.Context(), name, snapshot.Override{User: "ops", Reason: "checked"}, snapshot.Tool{Name: "oktasync"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := snap.Manifest.Resources["group_members"].Kinds, (map[diff.Kind]int{diff.Granted: 1, diff.Revoked: 3}); !equalKinds(got, want) {
		t.Errorf("kinds = %v, want %v", got, want)
	}
	storetest.CheckOK(t, s)
}

// The next writer restores a CSV file of edges that is missing.
func TestRepairOfEdges(t *testing.T) {
	s := storetest.New(t)
	snap := storetest.Publish(t, s, storetest.Day(1), storetest.Access(1)...)
	if err := os.Remove(filepath.Join(snap.Dir(), "app_users.csv")); err != nil {
		t.Fatal(err)
	}
	storetest.Writer(t, s)
	storetest.CheckOK(t, s)
}

// checker runs check.py, which must accept a store.
func checker(t *testing.T, s *snapshot.Store) {
	t.Helper()
	for _, program := range []string{"python3", "zstd", "sha256sum"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	out, err := exec.Command("python3", "../../docs/check.py", s.Dir()).CombinedOutput()
	if err != nil {
		t.Errorf("check.py: %v\n%s", err, out)
	}
}

// Publish and verify compare control totals with the records.
func TestControl(t *testing.T) {
	control := func(change func(c *snapshot.Control)) *snapshot.Control {
		c := &snapshot.Control{
			Everyone: &snapshot.Total{Okta: 7, Counted: 6},
			Groups:   &snapshot.GroupsControl{Compared: 3, Okta: 7, Counted: 6, Different: []snapshot.GroupTotal{{ID: "00g0001", Okta: 4, Counted: 3}}},
		}
		change(c)
		return c
	}
	for _, test := range []struct {
		name   string
		change func(c *snapshot.Control)
		want   string // a part of the error; "": none
	}{
		{"different", func(*snapshot.Control) {}, ""},
		{"only everyone", func(c *snapshot.Control) { c.Groups = nil }, ""},
		{"only groups", func(c *snapshot.Control) { c.Everyone = nil }, ""},
		{"one group without a number", func(c *snapshot.Control) { c.Groups.Compared, c.Groups.Counted = 2, 4 }, ""},
		{"equal", func(c *snapshot.Control) {
			*c = snapshot.Control{Everyone: &snapshot.Total{Okta: 6, Counted: 6}, Groups: &snapshot.GroupsControl{Compared: 3, Okta: 6, Counted: 6, Different: []snapshot.GroupTotal{}}, Reconciled: true}
		}, ""},
		{"equal and not reconciled", func(c *snapshot.Control) { c.Everyone.Okta, c.Groups = 6, nil }, "reconciled: there is no difference"},
		{"nothing", func(c *snapshot.Control) { c.Everyone, c.Groups = nil, nil }, "there is nothing to compare"},
		{"wrong number of users", func(c *snapshot.Control) { c.Everyone.Counted = 5 }, "everyone: impossible numbers"},
		{"wrong number of members", func(c *snapshot.Control) { c.Groups.Counted = 5 }, "groups: impossible numbers"},
		{"too many groups", func(c *snapshot.Control) { c.Groups.Compared = 4 }, "groups: impossible numbers"},
		{"no difference", func(c *snapshot.Control) { c.Groups.Different[0].Okta = 3 }, "groups: impossible numbers"},
		{"wrong number of members of a group", func(c *snapshot.Control) { c.Groups.Different[0].Counted = 2 },
			"the group 00g0001 has 3 members, and the control total has 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := storetest.New(t)
			d := storetest.Draft(t, s, storetest.Day(1), storetest.Access(1)...)
			d.Control = control(test.change)
			_, err := storetest.Writer(t, s).Publish(t.Context(), d)
			if test.want == "" && err == nil {
				storetest.CheckOK(t, s)
			} else if err == nil || test.want == "" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Publish() = %v, want %q", err, test.want)
			}
		})
	}
}

// unavailable publishes records of a day, of which the members couldn't be read.
func unavailable(t *testing.T, s *snapshot.Store, day int) *snapshot.Snapshot {
	t.Helper()
	d := storetest.Draft(t, s, storetest.Day(day), storetest.Access(day)...)
	declared := d.Declared.Resources["group_members"]
	declared.Optional = true
	d.Declared.Resources["group_members"] = declared
	rows := d.Resources[2].Rows
	d.Resources[2] = snapshot.ResourceDraft{Resource: snapshot.GroupMembers, Unavailable: "okta: 403 E0000006", Rows: rows, Outside: rows}
	w := storetest.Writer(t, s)
	snap, err := w.Publish(t.Context(), d)
	storetest.Must(t, errors.Join(err, w.Close()))
	return snap
}

// A resource that couldn't be read isn't removed: the next read is compared with the
// last available one, which retention keeps.
func TestUnavailable(t *testing.T) {
	s := storetest.New(t)
	first := storetest.Publish(t, s, storetest.Day(1), storetest.Access(1)...)
	unavailable(t, s, 2)
	snap := unavailable(t, s, 3)
	counts := snap.Manifest.Resources["group_members"]
	if counts.IsAvailable() || counts.Last == nil || counts.Last.Snapshot != first.Name() || slices.Contains(snap.Recorded(), snapshot.GroupMembers) {
		t.Errorf("counts = %+v, want the last snapshot %s", counts, first.Name())
	}
	storetest.CheckOK(t, s)
	if names, err := storetest.Prune(t, s, snapshot.Retention{Last: 1}); err != nil || len(names) != 1 || names[0] == first.Name() {
		t.Errorf("Prune() = %s, %v, want the second snapshot only", names, err)
	}
	last := storetest.Publish(t, s, storetest.Day(4), storetest.Access(4)...)
	// Another transcript proves that the third group was deleted.
	if got, want := last.Manifest.Resources["group_members"].Kinds, (map[diff.Kind]int{diff.Granted: 1, diff.Revoked: 1, diff.NotListed: 2}); !equalKinds(got, want) {
		t.Errorf("kinds = %v, want %v", got, want)
	}
	storetest.CheckOK(t, s)
	checker(t, s)
}

// The first snapshot of a resource can be one in which it isn't available.
func TestUnavailableFirst(t *testing.T) {
	s := storetest.New(t)
	unavailable(t, s, 1)
	snap := storetest.Publish(t, s, storetest.Day(2), storetest.Access(2)...)
	if base := snap.Manifest.Resources["group_members"].Base; base != snapshot.BaseNone {
		t.Errorf("base = %q, want none", base)
	}
	storetest.CheckOK(t, s)
}

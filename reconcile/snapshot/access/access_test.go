package access_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
)

// org is a random org: which edges exist, by their ends.
type org struct {
	users, groups, apps int
	implicit            map[int]bool
	members             map[[2]int]bool // group, user
	appGroups           map[[2]int]bool
	appUsers            map[[2]int]bool
}

func newOrg(random *rand.Rand) *org {
	o := &org{users: 12, groups: 5, apps: 5, implicit: map[int]bool{2: true},
		members: map[[2]int]bool{}, appGroups: map[[2]int]bool{}, appUsers: map[[2]int]bool{}}
	for range 60 {
		o.change(random)
	}
	return o
}

// change adds or removes one edge. User 13 isn't recorded.
func (o *org) change(random *rand.Rand) {
	edges, ends := o.members, [2]int{1 + random.IntN(o.apps), 1 + random.IntN(o.users+1)}
	switch random.IntN(3) {
	case 0:
		edges = o.appUsers
	case 1:
		edges, ends[1] = o.appGroups, 1+random.IntN(o.groups)
	}
	if edges[ends] {
		delete(edges, ends)
	} else {
		edges[ends] = true
	}
}

// isDirect reports whether a row of app_users has the scope USER.
func isDirect(app, user int) bool { return (app+user)%2 == 0 }

func (o *org) records() []string {
	var records []string
	for i := range o.users {
		records = append(records, storetest.Person(i+1, "ACTIVE", "Sales"))
	}
	for i := range o.groups {
		records = append(records, storetest.Group(i+1, fmt.Sprintf("Group %d", i+1)))
	}
	for i := range o.apps {
		app := storetest.App(i+1, "App", "ACTIVE")
		if o.implicit[i+1] {
			app = strings.Replace(app, `"name"`, `"settings":{"implicitAssignment":true},"name"`, 1)
		}
		records = append(records, app)
	}
	for _, e := range sorted(o.members) {
		records = append(records, storetest.Member(e[0], e[1]))
	}
	for _, e := range sorted(o.appGroups) {
		records = append(records, storetest.AppGroup(e[0], e[1], 0))
	}
	for _, e := range sorted(o.appUsers) {
		record := storetest.AppUser(e[0], e[1], "ACTIVE")
		if isDirect(e[0], e[1]) {
			record = strings.Replace(record, `"GROUP"`, `"USER"`, 1)
		}
		records = append(records, record)
	}
	return records
}

func sorted(edges map[[2]int]bool) [][2]int {
	return slices.SortedFunc(maps.Keys(edges), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
}

// path is a path from a user to an app.
type path struct{ app, user, via, group string }

// paths returns all paths, without the merges and blocks of package access.
func (o *org) paths() map[path]bool {
	paths := map[path]bool{}
	for app := 1; app <= o.apps; app++ {
		for user := 1; user <= o.users+1; user++ {
			p := path{app: fmt.Sprintf("0oa%04d", app), user: fmt.Sprintf("00u%04d", user)}
			groups := 0
			for group := 1; group <= o.groups; group++ {
				if o.appGroups[[2]int{app, group}] && o.members[[2]int{group, user}] {
					p.via, p.group = access.Group, fmt.Sprintf("00g%04d", group)
					paths[p] = true
					groups++
				}
			}
			p.group = ""
			switch given := o.appUsers[[2]int{app, user}]; {
			case given && isDirect(app, user):
				p.via = access.Direct
				paths[p] = true
			case given && groups == 0:
				p.via = access.Group
				paths[p] = true
			}
			if o.implicit[app] && user <= o.users || o.implicit[app] && (groups > 0 || o.appUsers[[2]int{app, user}]) {
				p.via = access.Implicit
				paths[p] = true
			}
		}
	}
	return paths
}

// In random orgs, each query returns the paths that a search of all pairs finds, in their
// order, with the snapshots in which they appeared. Few edges are in memory at a time.
func TestPathsOfRandomOrgs(t *testing.T) {
	access.UseSmallBlocks(t)
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 16))
		store, o := storetest.New(t), newOrg(random)
		var days []map[path]bool
		var names []string
		for day := range 3 {
			s := storetest.Publish(t, store, storetest.Day(day+1), o.records()...)
			days, names = append(days, o.paths()), append(names, s.Name())
			for range 8 {
				o.change(random)
			}
		}
		s, err := store.Latest(storetest.Export)
		storetest.Must(t, err)
		for _, q := range queries() {
			var got []path
			for row, err := range access.Paths(store, s, q) {
				storetest.Must(t, err)
				p := path{row.AppID, row.UserID, row.Via, row.GroupID}
				got = append(got, p)
				checkSeen(t, days, names, p, row)
			}
			var want []path
			for p := range maps.Keys(days[2]) {
				if (q.User == "" || p.user == q.User) && (q.App == "" || p.app == q.App) && (q.Group == "" || p.group == q.Group) {
					want = append(want, p)
				}
			}
			slices.SortFunc(want, func(a, b path) int {
				if q == (access.Query{}) && a.user != b.user {
					return strings.Compare(a.user, b.user)
				}
				return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
			})
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d: Paths(%+v) = %v\nwant %v", seed, q, got, want)
			}
		}
	}
}

func queries() []access.Query {
	list := []access.Query{{}, {User: "00u0001", App: "0oa0002"}, {User: "00u0002", Group: "00g0001"}, {App: "0oa0001", Group: "00g0002"}}
	for i := 1; i <= 13; i++ {
		list = append(list, access.Query{User: fmt.Sprintf("00u%04d", i)})
		if i <= 5 {
			list = append(list, access.Query{App: fmt.Sprintf("0oa%04d", i)}, access.Query{Group: fmt.Sprintf("00g%04d", i)})
		}
	}
	return list
}

// checkSeen compares the time of a path with the days on which it existed.
func checkSeen(t *testing.T, days []map[path]bool, names []string, p path, row *access.Row) {
	t.Helper()
	first, absent := names[0], ""
	for day := len(days) - 2; day >= 0; day-- {
		if !days[day][p] {
			first, absent = names[day+1], names[day]
			break
		}
	}
	if p.via == access.Implicit {
		first, absent = "", "" // no edge shows it
	}
	if p.via == access.Group && p.group == "" {
		return // the row can be older than the removal of the user from the group
	}
	if row.FirstSeen != first || row.AbsentIn != absent {
		t.Errorf("%v: first seen %q, absent in %q, want %q, %q", p, row.FirstSeen, row.AbsentIn, first, absent)
	}
}

// If a snapshot is the first that records a resource, its records can be older.
func TestFirstSeenOfANewResource(t *testing.T) {
	store := storetest.New(t)
	records := []string{storetest.Person(1, "ACTIVE", "Sales"), storetest.Group(1, "Crew"), storetest.Member(1, 1), storetest.App(1, "Mail", "ACTIVE"), storetest.AppGroup(1, 1, 0)}
	storetest.Publish(t, store, storetest.Day(1), records...)
	s := storetest.Publish(t, store, storetest.Day(2), append(slices.Clone(records[:4]), storetest.AppUser(1, 1, "ACTIVE"), records[4])...)
	var got []string
	for row, err := range access.Paths(store, s, access.Query{App: "0oa0001"}) {
		storetest.Must(t, err)
		got = append(got, row.Via, row.FirstSeen, row.AbsentIn)
	}
	first, err := store.Find(storetest.Export, "@-1", nil)
	storetest.Must(t, err)
	if want := []string{access.Group, first.Name(), ""}; !slices.Equal(got, want) {
		t.Errorf("paths %q, want %q", got, want)
	}
	s = storetest.Publish(t, store, storetest.Day(3), storetest.Person(1, "ACTIVE", "Sales"), storetest.Group(1, "Crew"), storetest.Member(1, 1),
		storetest.App(1, "Mail", "ACTIVE"), strings.Replace(storetest.AppUser(1, 1, "ACTIVE"), "GROUP", "USER", 1), storetest.AppGroup(1, 1, 0))
	for row, err := range access.Paths(store, s, access.Query{User: "00u0001"}) {
		storetest.Must(t, err)
		if row.Via == access.Direct && (row.FirstSeen == first.Name() || row.AbsentIn != "") {
			t.Errorf("the direct path was first seen in %s, before app_users was recorded; absent in %q", row.FirstSeen, row.AbsentIn)
		}
	}
}

// Between returns what one sequence of paths has more than the other.
func TestBetween(t *testing.T) {
	store, random := storetest.New(t), rand.New(rand.NewPCG(1, 16))
	o := newOrg(random)
	before := storetest.Publish(t, store, storetest.Day(1), o.records()...)
	was := o.paths()
	for range 30 {
		o.change(random)
	}
	after := storetest.Publish(t, store, storetest.Day(2), o.records()...)
	is := o.paths()
	q := access.Query{App: "0oa0002"}
	got := map[path]string{}
	for change, err := range access.Between(access.Paths(store, before, q), access.Paths(store, after, q)) {
		storetest.Must(t, err)
		got[path{change.Row.AppID, change.Row.UserID, change.Row.Via, change.Row.GroupID}] = change.Change
	}
	want := map[path]string{}
	for p := range was {
		if p.app == q.App && !is[p] {
			want[p] = "revoked"
		}
	}
	for p := range is {
		if p.app == q.App && !was[p] {
			want[p] = "granted"
		}
	}
	if len(want) < 5 || !maps.Equal(got, want) {
		t.Errorf("Between() = %v\nwant %v", got, want)
	}
}

// A records file that was changed is an error, also if no record that is wanted is in the
// changed part, and if all wanted records come long before its end.
func TestPathsOfADamagedFile(t *testing.T) {
	store, others := storetest.New(t), storetest.New(t)
	publish := func(store *snapshot.Store, name string) *snapshot.Snapshot {
		records := []string{
			storetest.Group(1, name), storetest.Group(2, name), storetest.App(1, name, "ACTIVE"), storetest.App(2, name, "ACTIVE"),
			storetest.AppGroup(1, 1, len(name)), storetest.AppGroup(2, 2, len(name)), storetest.AppUser(1, 1, name), storetest.AppUser(2, 2, name),
			storetest.Member(1, 1), storetest.Member(2, len(name)),
		}
		for i := range 5000 {
			records = append(records, storetest.Person(i+1, "ACTIVE", name))
		}
		return storetest.Publish(t, store, storetest.Day(1), records...)
	}
	s, other := publish(store, "Sales"), publish(others, "Forged")
	for _, r := range s.Recorded() {
		path := filepath.Join(s.Dir(), r.RecordsFile())
		kept := storetest.Read(t, path)
		storetest.CopyFile(t, filepath.Join(other.Dir(), r.RecordsFile()), path)
		for _, q := range []access.Query{{User: "00u0001"}, {App: "0oa0001"}, {Group: "00g0001"}, {}} {
			var err error
			for _, e := range access.Paths(store, s, q) {
				err = errors.Join(err, e)
			}
			if damaged := (*snapshot.DamagedError)(nil); !errors.As(err, &damaged) || damaged.Path != path {
				t.Errorf("%s: Paths(%+v): %v, want a DamagedError", r.Name, q, err)
			}
		}
		storetest.Write(t, path, kept)
	}
}

func TestFindWithoutAUniqueName(t *testing.T) {
	s := storetest.Publish(t, storetest.New(t), storetest.Day(1), newOrg(rand.New(rand.NewPCG(1, 16))).records()...)
	for text, want := range map[string]string{"P3@ACME.example": "00u0003", "00u0004": "00u0004"} {
		if id, err := access.Find(s, snapshot.Users, text); id != want || err != nil {
			t.Errorf("Find(%s) = %s, %v", text, id, err)
		}
	}
	if _, err := access.Find(s, snapshot.Apps, "App"); err == nil || !strings.HasSuffix(err.Error(), "use one of the ids 0oa0001, 0oa0002, 0oa0003, 0oa0004, 0oa0005") {
		t.Errorf("Find(App): %v", err)
	}
}

func TestPanicInAGoroutine(t *testing.T) {
	for name, call := range map[string]func() error{
		"both":       func() error { return access.Both(func() error { panic("broken") }, func() error { return nil }) },
		"userCursor": func() error { return access.LoadUser(func(func([]byte, error) bool) { panic("broken") }) },
	} {
		func() {
			defer func() {
				if got := recover(); got != "broken" {
					t.Errorf("%s: recovered %v", name, got)
				}
			}()
			t.Errorf("%s: no panic, error %v", name, call())
		}()
	}
}

package access_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
)

// roleOrg is an org whose users, groups and service apps have random roles.
type roleOrg struct {
	members map[[2]int]bool // group, user; group 4 has none, and user 13 isn't recorded
	roles   map[assigned]bool
}

// assigned is a role of a principal.
type assigned struct{ kind, principal, role string }

// roleTypes are in the order of rows. C has the id cr1 and the resource set iam1.
var roleTypes = []string{"SUPER_ADMIN", "USER_ADMIN", "CUSTOM", "FRONTIER_ADMIN"}

func newRoleOrg(random *rand.Rand) *roleOrg {
	o := &roleOrg{map[[2]int]bool{}, map[assigned]bool{}}
	for range 40 {
		o.change(random)
	}
	return o
}

// change adds or removes one membership or role.
func (o *roleOrg) change(random *rand.Rand) {
	flip := func(kind string, id string) {
		a := assigned{kind, id, roleTypes[random.IntN(len(roleTypes))]}
		if o.roles[a] = !o.roles[a]; !o.roles[a] {
			delete(o.roles, a)
		}
	}
	switch random.IntN(5) {
	case 0:
		flip("USER", fmt.Sprintf("00u%04d", 1+random.IntN(13)))
	case 1:
		flip("GROUP", fmt.Sprintf("00g%04d", 1+random.IntN(4)))
	case 2:
		flip("CLIENT", fmt.Sprintf("0oa%04d", 1+random.IntN(3)))
	default:
		m := [2]int{1 + random.IntN(3), 1 + random.IntN(13)}
		if o.members[m] = !o.members[m]; !o.members[m] {
			delete(o.members, m)
		}
	}
}

func (o *roleOrg) records() []string {
	records := []string{storetest.App(1, "Backup", "ACTIVE"), storetest.App(2, "Old", "INACTIVE")}
	for i := range 12 {
		status := "ACTIVE"
		if i == 4 {
			status = "SUSPENDED"
		}
		records = append(records, storetest.Person(i+1, status, "Sales"))
	}
	for i := range 4 {
		records = append(records, storetest.Group(i+1, fmt.Sprintf("Group %d", i+1)))
	}
	for _, m := range sorted(o.members) {
		records = append(records, storetest.Member(m[0], m[1]))
	}
	for _, a := range slices.SortedFunc(maps.Keys(o.roles), func(a, b assigned) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
		role, set, targets := "", "", "[]"
		switch a.role {
		case "CUSTOM":
			role, set, targets = "cr1", "iam1", ""
		case "USER_ADMIN":
			targets = `[{"type":"GROUP","id":"00g0001"}]`
		case "FRONTIER_ADMIN":
			targets = ""
		}
		records = append(records, storetest.Role(a.kind, a.principal, a.role, role, set, targets))
	}
	return records
}

// rolePath is a path to a role. user is "" for a group itself, and for a client.
type rolePath struct {
	assigned
	user string
}

func (o *roleOrg) paths() map[rolePath]bool {
	paths := map[rolePath]bool{}
	for a := range o.roles {
		switch a.kind {
		case "USER":
			paths[rolePath{a, a.principal}] = true
		case "CLIENT":
			paths[rolePath{a, ""}] = true
		case "GROUP":
			paths[rolePath{a, ""}] = true
			for m := range o.members {
				if fmt.Sprintf("00g%04d", m[0]) == a.principal {
					paths[rolePath{a, fmt.Sprintf("00u%04d", m[1])}] = true
				}
			}
		}
	}
	return paths
}

func pathOf(r *access.RoleRow) rolePath {
	return rolePath{assigned{r.PrincipalType, r.GroupID + r.ClientID, r.RoleType}, r.UserID}.normal()
}

// normal sets the principal of a user's own role.
func (p rolePath) normal() rolePath {
	if p.kind == "USER" {
		p.principal = p.user
	}
	return p
}

func comparePaths(a, b rolePath) int {
	kinds := []string{"USER", "GROUP", "CLIENT"}
	return cmp.Or(cmp.Compare(slices.Index(roleTypes, a.role), slices.Index(roleTypes, b.role)), cmp.Compare(slices.Index(kinds, a.kind), slices.Index(kinds, b.kind)),
		strings.Compare(a.principal, b.principal), strings.Compare(a.user, b.user))
}

// In random orgs, each query returns the paths of a simple search, in their order, with the
// snapshots in which they appeared. Few holders are in memory at a time.
func TestRolesOfRandomOrgs(t *testing.T) {
	access.UseSmallBlocks(t)
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 15))
		store, o := storetest.New(t), newRoleOrg(random)
		var days []map[rolePath]bool
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
		for _, q := range roleQueries() {
			var got []rolePath
			for row, err := range access.Roles(store, s, q) {
				storetest.Must(t, err)
				p := pathOf(row)
				got = append(got, p)
				first, absent := names[0], ""
				for day := len(days) - 2; day >= 0; day-- {
					if !days[day][p] {
						first, absent = names[day+1], names[day]
						break
					}
				}
				if row.FirstSeen != first || row.AbsentIn != absent {
					t.Errorf("%v: first seen %q, absent in %q, want %q, %q", p, row.FirstSeen, row.AbsentIn, first, absent)
				}
			}
			var want []rolePath
			for p := range days[2] {
				if (q.Role == "" || q.Role == p.role || q.Role == "cr1" && p.role == "CUSTOM" || q.Role == "the user_admin" && p.role == "USER_ADMIN") &&
					(q.User == "" || p.user == q.User) && (q.Group == "" || p.principal == q.Group) && (q.App == "" || p.principal == q.App) {
					want = append(want, p)
				}
			}
			if slices.SortFunc(want, comparePaths); !slices.Equal(got, want) {
				t.Fatalf("seed %d: Roles(%+v) = %v\nwant %v", seed, q, got, want)
			}
		}
	}
}

func roleQueries() []access.RoleQuery {
	list := []access.RoleQuery{{}, {Role: "SUPER_ADMIN"}, {Role: "cr1"}, {Role: "the user_admin"}, {User: "00u0003", Group: "00g0001"}, {App: "0oa0001"}, {App: "0oa0003"}}
	for i := 1; i <= 13; i++ {
		list = append(list, access.RoleQuery{User: fmt.Sprintf("00u%04d", i)})
	}
	for i := 1; i <= 4; i++ {
		list = append(list, access.RoleQuery{Group: fmt.Sprintf("00g%04d", i)})
	}
	return list
}

// The values of rows: scopes, names, notes on holders that can't use a role.
func TestRoleRows(t *testing.T) {
	o := &roleOrg{map[[2]int]bool{{1, 1}: true, {1, 5}: true}, map[assigned]bool{}}
	for _, a := range []assigned{{"USER", "00u0001", "SUPER_ADMIN"}, {"USER", "00u0013", "SUPER_ADMIN"}, {"GROUP", "00g0001", "USER_ADMIN"}, {"GROUP", "00g0004", "FRONTIER_ADMIN"},
		{"CLIENT", "0oa0001", "CUSTOM"}, {"CLIENT", "0oa0002", "CUSTOM"}, {"CLIENT", "0oa0003", "CUSTOM"}} {
		o.roles[a] = true
	}
	store := storetest.New(t)
	rows := func(s *snapshot.Snapshot) (all []string) {
		for r, err := range access.Roles(store, s, access.RoleQuery{}) {
			storetest.Must(t, err)
			all = append(all, fmt.Sprintf("%s %s%s%s: %s, %s%s", r.RoleType, cmp.Or(r.UserID, r.GroupID+r.ClientID), map[string]string{"direct": " ", "group": " through "}[r.Via],
				cmp.Or(r.Login, r.GroupName+r.Name), r.Scope, map[bool]string{true: "in " + r.GroupName + ", "}[r.Via == access.Group], r.Note))
		}
		return all
	}
	s := storetest.Publish(t, store, storetest.Day(1), o.records()...)
	want := []string{
		"SUPER_ADMIN 00u0001 p1@acme.example: ALL, ",
		"SUPER_ADMIN 00u0013 : ALL, the user isn't recorded",
		"USER_ADMIN 00g0001 Group 1: targets, ",
		"USER_ADMIN 00u0001 through p1@acme.example: targets, in Group 1, ",
		"USER_ADMIN 00u0005 through p5@acme.example: targets, in Group 1, the user is SUSPENDED",
		"CUSTOM 0oa0001 Backup: resource set, ",
		"CUSTOM 0oa0002 Old: resource set, the app is INACTIVE",
		"CUSTOM 0oa0003 : resource set, the app isn't recorded",
		"FRONTIER_ADMIN 00g0004 Group 4: unknown, the group has no members",
	}
	if got := rows(s); !slices.Equal(got, want) {
		t.Errorf("Roles() = %q\nwant %q", got, want)
	}
	withoutMembers := slices.DeleteFunc(o.records(), func(r string) bool { return strings.HasPrefix(r, `{"group_id"`) })
	got := rows(storetest.Publish(t, store, storetest.Day(2), withoutMembers...))
	if group := "USER_ADMIN 00g0001 Group 1: targets, the members of the group aren't recorded"; len(got) != len(want)-2 || !slices.Contains(got, group) {
		t.Errorf("Roles() without members = %q, want %q and no members", got, group)
	}
	for text, want := range map[string]bool{"org_admin": true, "The CUSTOM": true, "cr1": true, "CR1": false, "ROOT": false} {
		err := access.CheckRole([]*snapshot.Snapshot{s}, text)
		if notFound := errors.As(err, new(*access.NotFoundError)); notFound == want || want && err != nil {
			t.Errorf("CheckRole(%s) = %v", text, err)
		}
	}
}

package snapshot_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

func TestRulesFor(t *testing.T) {
	type declared = snapshot.DeclaredResource
	for _, test := range []struct {
		name    string
		change  func(users, groups *declared)
		base    string // of users
		project int    // projections of users
	}{
		{"nothing", func(_, _ *declared) {}, snapshot.BasePrevious, 0},
		{"groups", func(_, g *declared) { g.Attributes.Exclude = nil }, snapshot.BasePrevious, 0},
		{"search", func(u, _ *declared) { u.Search = `status eq "ACTIVE"` }, snapshot.BaseReset, 0},
		{"deprovisioned", func(u, _ *declared) { u.IncludeDeprovisioned = false }, snapshot.BaseReset, 0},
		{"included", func(u, _ *declared) { u.Attributes.Include = []string{"profile"} }, snapshot.BasePrevious, 2},
		{"excluded", func(u, _ *declared) { u.Attributes.Exclude = nil }, snapshot.BasePrevious, 2},
		{"guard and changes", func(u, _ *declared) { u.Guard.Min, u.Changes.Moved = 7, nil }, snapshot.BasePrevious, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := storetest.Declared(snapshot.Users, snapshot.Groups), storetest.Declared(snapshot.Users, snapshot.Groups)
			users, groups := after.Resources["users"], after.Resources["groups"]
			test.change(&users, &groups)
			after.Resources["users"], after.Resources["groups"] = users, groups
			if same := before.Equal(after); same != (test.name == "nothing") {
				t.Errorf("Equal() = %t", same)
			}
			rules, base := snapshot.RulesFor(snapshot.Users, &snapshot.Manifest{Declared: before}, after)
			if base != test.base || len(rules.Project) != test.project {
				t.Errorf("RulesFor() = %d projections, %s, want %d, %s", len(rules.Project), base, test.project, test.base)
			}
			c := diff.Transition{Op: diff.OpChanged, Before: []byte("{}"), After: []byte("{}"), Paths: []string{"profile.title"}}
			if kind, err := rules.Kind(c); err != nil || (kind == diff.Moved) != slices.Contains(users.Changes.Moved, "profile.title") {
				t.Errorf("Kind() = %s, %v, want the later declaration applied", kind, err)
			}
		})
	}
	users, both := storetest.Declared(snapshot.Users), storetest.Declared(snapshot.Users, snapshot.Groups)
	for _, before := range []*snapshot.Manifest{nil, {Declared: users}} {
		if _, base := snapshot.RulesFor(snapshot.Groups, before, both); base != snapshot.BaseNone {
			t.Errorf("RulesFor(%v) = %s, want %s", before, base, snapshot.BaseNone)
		}
	}
}

func TestUserKinds(t *testing.T) {
	for _, test := range []struct {
		name, before, after string
		kind                diff.Kind
		heading             string
	}{
		{"first activated", `"status":"STAGED"`, `"status":"PROVISIONED"`, diff.Activated, snapshot.Joiners},
		{"first activated and moved", `"status":"STAGED"`, `"status":"ACTIVE","title":1`, diff.Activated, snapshot.Joiners},
		{"given up before activated", `"status":"STAGED"`, `"status":"DEPROVISIONED"`, diff.Deactivated, snapshot.Leavers},
		{"deactivated and moved", `"status":"ACTIVE","title":1`, `"status":"DEPROVISIONED"`, diff.Deactivated, snapshot.Leavers},
		{"deactivated while suspended", `"status":"SUSPENDED"`, `"status":"DEPROVISIONED"`, diff.Deactivated, snapshot.Leavers},
		{"reactivated", `"status":"DEPROVISIONED"`, `"status":"PROVISIONED"`, diff.Reactivated, snapshot.Joiners},
		{"reactivated and suspended", `"status":"DEPROVISIONED"`, `"status":"SUSPENDED"`, diff.Reactivated, snapshot.Joiners},
		{"suspended", `"status":"ACTIVE"`, `"status":"SUSPENDED","title":1`, diff.Suspended, snapshot.Others},
		{"unsuspended", `"status":"SUSPENDED"`, `"status":"ACTIVE"`, diff.Unsuspended, snapshot.Others},
		{"moved", `"status":"ACTIVE","title":1`, `"status":"LOCKED_OUT","title":2`, diff.Moved, snapshot.Movers},
		{"moved below a path", `"status":"ACTIVE","place":{"floor":1}`, `"status":"ACTIVE","place":{"floor":2}`, diff.Moved, snapshot.Movers},
		{"no move by a longer name", `"status":"ACTIVE","titles":1`, `"status":"ACTIVE","titles":2`, diff.Changed, snapshot.Others},
		{"locked out", `"status":"ACTIVE"`, `"status":"LOCKED_OUT"`, diff.Changed, snapshot.Others},
		{"an unknown status", `"status":"ACTIVE"`, `"status":"ACTIVATING"`, diff.Changed, snapshot.Others},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := recordtest.ListOf(t, `{"id":"1",`+test.before+`}`), recordtest.ListOf(t, `{"id":"1",`+test.after+`}`)
			d := storetest.Declared(snapshot.Users)
			u := d.Resources["users"]
			u.Changes.Moved = []string{"title", "place"}
			d.Resources["users"] = u
			rules, _ := snapshot.RulesFor(snapshot.Users, &snapshot.Manifest{Declared: d}, d)
			_, counts := recordtest.Diff(t, before, after, rules)
			if counts.Kinds[test.kind] != 1 || len(counts.Kinds) != 1 {
				t.Errorf("Kinds = %v, want one %s", counts.Kinds, test.kind)
			}
			if heading := snapshot.Users.Heading(test.kind); heading != test.heading {
				t.Errorf("Heading() = %s, want %s", heading, test.heading)
			}
		})
	}
}

// The kinds of added and removed users depend on the declaration, on the start of
// the previous read, and on Okta's response for the id.
func TestKindsOfAddedAndRemovedUsers(t *testing.T) {
	all := snapshot.Narrowing{IncludeDeprovisioned: true}
	active, sales := snapshot.Narrowing{}, snapshot.Narrowing{Search: "x"}
	old, recent := `"created":"2026-11-23T05:59:59.999Z"`, `"created":"2026-11-23T06:00:00.000Z"`
	gone := diff.Proof{RequestID: "r", HTTPStatus: 404, OktaStatus: "E0000007"}
	exists := func(status string) diff.Proof { return diff.Proof{RequestID: "r", HTTPStatus: 200, OktaStatus: status} }
	for _, test := range []struct {
		narrowing     snapshot.Narrowing
		before, after string
		proof         diff.Proof
		want          diff.Kind
	}{
		{all, "", old, diff.Proof{}, diff.Joined},
		{active, "", old, diff.Proof{}, diff.Reactivated},
		{active, "", recent, diff.Proof{}, diff.Joined},
		{sales, "", old, diff.Proof{}, diff.IntoScope},
		{sales, "", recent, diff.Proof{}, diff.Joined},
		{sales, "", `"status":"ACTIVE"`, diff.Proof{}, diff.IntoScope}, // created is excluded
		{all, `"status":"ACTIVE"`, "", gone, diff.Deleted},
		{all, `"status":"ACTIVE"`, "", diff.Proof{}, diff.NotListed},
		{active, `"status":"ACTIVE"`, "", exists("DEPROVISIONED"), diff.Deactivated},
		{sales, `"status":"DEPROVISIONED"`, "", exists("DEPROVISIONED"), diff.OutOfScope},
		{sales, `"status":"ACTIVE"`, "", exists("SUSPENDED"), diff.OutOfScope},
	} {
		d := storetest.Declared(snapshot.Users)
		u := d.Resources["users"]
		u.Narrowing = &test.narrowing
		d.Resources["users"] = u
		previous := &snapshot.Manifest{Declared: d, Read: snapshot.Read{Started: snapshot.At(storetest.Day(1))}}
		rules, _ := snapshot.RulesFor(snapshot.Users, previous, d)
		rules.Proofs = diff.Proofs{"1": test.proof}
		side := func(members string) *recordtest.List {
			if members == "" {
				return recordtest.ListOf(t)
			}
			return recordtest.ListOf(t, `{"id":"1",`+members+`}`)
		}
		lines, counts := recordtest.Diff(t, side(test.before), side(test.after), rules)
		if counts.Kinds[test.want] != 1 {
			t.Errorf("%+v: kinds = %v, want %s", test, counts.Kinds, test.want)
		}
		if c, err := diff.ParseChange(lines); err != nil || c.Proof != test.proof {
			t.Errorf("%+v: change = %s, %v, want the proof", test, lines, err)
		}
	}
}

// An attribute that only one declaration keeps appears in no change: not as
// changed, not in an added or removed user, not as a login.
func TestDiffAcrossDeclarations(t *testing.T) {
	before := recordtest.ListOf(t,
		`{"id":"1","status":"ACTIVE","profile":{"login":"secret@x","title":"a","phone":"secret"}}`,
		`{"id":"2","status":"ACTIVE","profile":{"login":"secret@x","title":"a","phone":"secret"}}`,
		`{"id":"3","status":"ACTIVE","profile":{"login":"secret@x","title":"a","phone":"secret"}}`)
	after := recordtest.ListOf(t,
		`{"id":"1","status":"ACTIVE","profile":{"title":"a","city":"new"}}`,
		`{"id":"2","status":"ACTIVE","profile":{"title":"b","city":"new"}}`,
		`{"id":"4","status":"ACTIVE","profile":{"title":"a","city":"new"}}`)
	was, is := storetest.Declared(snapshot.Users), storetest.Declared(snapshot.Users)
	without := func(d snapshot.Declaration, paths ...string) {
		u := d.Resources["users"]
		u.Attributes.Exclude = paths
		d.Resources["users"] = u
	}
	without(was, "profile.city")
	without(is, "profile.phone", "profile.login")
	rules, _ := snapshot.RulesFor(snapshot.Users, &snapshot.Manifest{Declared: was}, is)
	lines, counts := recordtest.Diff(t, before, after, rules)
	if counts.Added != 1 || counts.Changed != 1 || counts.Removed != 1 {
		t.Errorf("Diff() = %+v, want one of each", counts)
	}
	if bytes.Contains(lines, []byte("secret")) || bytes.Contains(lines, []byte("new")) {
		t.Errorf("the changes contain an attribute that one side excludes:\n%s", lines)
	}
}

func TestLimit(t *testing.T) {
	for _, test := range []struct {
		text      string
		total, of int
	}{
		{"0", 1000, 0}, {"25", 1000, 25}, {"25", 3, 25}, {"1%", 1000, 10}, {"1%", 99, 0}, {"1%", 199, 1},
		{"0.5%", 1000, 5}, {"4.35%", 10000, 435}, {"2.9%", 1000, 29}, {"0.001%", 100000, 1}, {"100%", 7, 7},
		{"5%", 2_000_000_000, 100_000_000},
	} {
		var l snapshot.Limit
		if err := l.UnmarshalText([]byte(test.text)); err != nil {
			t.Errorf("UnmarshalText(%s): %v", test.text, err)
			continue
		}
		if l.String() != test.text {
			t.Errorf("String() = %s, want %s", l, test.text)
		}
		if got := l.Of(test.total); got != test.of {
			t.Errorf("%s of %d = %d, want %d", l, test.total, got, test.of)
		}
	}
	for text, want := range map[string]string{"007": "7", "1.50%": "1.5%", "1.000%": "1%", "00.5%": "0.5%"} {
		var l snapshot.Limit
		if err := l.UnmarshalText([]byte(text)); err != nil || l.String() != want {
			t.Errorf("UnmarshalText(%s) = %s, %v, want %s", text, l, err, want)
		}
	}
	for _, text := range []string{"", "%", "-1", "+1", "1.5", "1 %", " 1%", "1.%", ".5%", "1.2345%", "1e3", "all",
		"100.001%", "101%", "99999999999999999999", "99999999999999999999%"} {
		var l snapshot.Limit
		if err := l.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), `"`+text+`"`) {
			t.Errorf("UnmarshalText(%q) = %s, %v, want an error that quotes it", text, l, err)
		}
	}
}

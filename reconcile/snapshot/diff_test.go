package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
)

func TestRulesFor(t *testing.T) {
	declare := func(change func(*snapshot.DeclaredUsers)) snapshot.Declaration {
		d := snapshot.DefaultDeclaration()
		change(&d.Users)
		return d
	}
	same := func(*snapshot.DeclaredUsers) {}
	for _, test := range []struct {
		name    string
		change  func(*snapshot.DeclaredUsers)
		base    string
		project int
	}{
		{"nothing", same, snapshot.BasePrevious, 0},
		{"search", func(u *snapshot.DeclaredUsers) { u.Search = `status eq "ACTIVE"` }, snapshot.BaseReset, 0},
		{"deprovisioned", func(u *snapshot.DeclaredUsers) { u.IncludeDeprovisioned = false }, snapshot.BaseReset, 0},
		{"included", func(u *snapshot.DeclaredUsers) { u.Attributes.Include = []string{"profile"} }, snapshot.BasePrevious, 2},
		{"excluded", func(u *snapshot.DeclaredUsers) { u.Attributes.Exclude = nil }, snapshot.BasePrevious, 2},
		{"guard and changes", func(u *snapshot.DeclaredUsers) { u.Guard.MinUsers, u.Changes.Moved = 7, nil }, snapshot.BasePrevious, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := declare(same), declare(test.change)
			rules, base := snapshot.RulesFor(&before, after)
			if base != test.base || len(rules.Project) != test.project {
				t.Errorf("RulesFor() = %d projections, %s, want %d, %s", len(rules.Project), base, test.project, test.base)
			}
			if !slices.Equal(rules.Moved, after.Users.Changes.Moved) {
				t.Errorf("Moved = %q, want what is declared now", rules.Moved)
			}
		})
	}
	if _, base := snapshot.RulesFor(nil, declare(same)); base != snapshot.BaseNone {
		t.Errorf("RulesFor(nil) = %s, want %s", base, snapshot.BaseNone)
	}
}

// diff returns the lines of the changes between two lists of users.
func diff(t *testing.T, before, after *userList, rules snapshot.Rules) ([]byte, snapshot.Counts) {
	t.Helper()
	var lines []byte
	counts, err := snapshot.Diff(before, after, rules, func(c *snapshot.Change) error {
		var err error
		lines, err = c.Line(lines)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, counts
}

func TestDiff(t *testing.T) {
	before := usersOf(t,
		`{"id":"00u1","status":"ACTIVE","profile":{"login":"same@x"},"lastLogin":"2026-01-01T00:00:00.000Z"}`,
		`{"id":"00u2","status":"ACTIVE","profile":{"login":"moves@x","title":"Clerk","shoe":41.0}}`,
		`{"id":"00u3","status":"ACTIVE","profile":{"login":"goes@x"}}`,
		`{"id":"00u4","status":"ACTIVE","profile":{"login":"off@x","title":"Clerk"}}`,
		`{"id":"00u5","status":"DEPROVISIONED","profile":{"login":"back@x"}}`,
		`{"id":"00u6","status":"STAGED","profile":{"login":"first@x"}}`,
		`{"id":"00u7","status":"ACTIVE","profile":{"login":"old@x","langs":["de"]}}`,
	)
	after := usersOf(t,
		`{"id":"00u0","status":"STAGED","profile":{"login":"new@x"},"lastLogin":null}`,
		`{"id":"00u1","status":"ACTIVE","profile":{"login":"same@x","mobilePhone":null},"lastLogin":"2026-01-02T00:00:00.000Z"}`,
		`{"id":"00u2","status":"ACTIVE","profile":{"login":"moves@x","title":"Chief","shoe":41}}`,
		`{"id":"00u4","status":"DEPROVISIONED","profile":{"login":"off@x"}}`,
		`{"id":"00u5","status":"PROVISIONED","profile":{"login":"back@x"}}`,
		`{"id":"00u6","status":"ACTIVE","profile":{"login":"first@x"},"activated":"2026-01-02T00:00:00.000Z"}`,
		`{"id":"00u7","status":"ACTIVE","profile":{"login":"renamed@x","langs":["de",null,{"b":1}]}}`,
	)
	rules := snapshot.Rules{Changes: snapshot.DefaultDeclaration().Users.Changes}
	lines, counts := diff(t, before, after, rules)
	golden(t, "diff.golden.ndjson", lines)

	want := snapshot.Counts{Before: 7, Total: 7, Added: 1, Changed: 5, Removed: 1, ActiveBefore: 6, Deactivated: 1,
		Kinds: map[snapshot.Kind]int{snapshot.Joined: 2, snapshot.Moved: 1, snapshot.Deactivated: 1,
			snapshot.Reactivated: 1, snapshot.Deleted: 1, snapshot.Changed: 1}}
	if fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("Diff() = %+v, want %+v", counts, want)
	}
	for line := range bytes.Lines(lines) {
		c, err := snapshot.ParseChange(line)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := c.Line(nil); err != nil || !bytes.Equal(again, line) {
			t.Errorf("read and written again: %s, %v, want %s", again, err, line)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, test := range []struct {
		name, before, after string
		kind                snapshot.Kind
		group               snapshot.Group
	}{
		{"first activated", `"status":"STAGED"`, `"status":"PROVISIONED"`, snapshot.Joined, snapshot.Joiners},
		{"first activated and moved", `"status":"STAGED"`, `"status":"ACTIVE","title":1`, snapshot.Joined, snapshot.Joiners},
		{"given up before activated", `"status":"STAGED"`, `"status":"DEPROVISIONED"`, snapshot.Deactivated, snapshot.Leavers},
		{"deactivated and moved", `"status":"ACTIVE","title":1`, `"status":"DEPROVISIONED"`, snapshot.Deactivated, snapshot.Leavers},
		{"deactivated while suspended", `"status":"SUSPENDED"`, `"status":"DEPROVISIONED"`, snapshot.Deactivated, snapshot.Leavers},
		{"reactivated", `"status":"DEPROVISIONED"`, `"status":"PROVISIONED"`, snapshot.Reactivated, snapshot.Joiners},
		{"reactivated and suspended", `"status":"DEPROVISIONED"`, `"status":"SUSPENDED"`, snapshot.Reactivated, snapshot.Joiners},
		{"suspended", `"status":"ACTIVE"`, `"status":"SUSPENDED","title":1`, snapshot.Suspended, snapshot.Others},
		{"unsuspended", `"status":"SUSPENDED"`, `"status":"ACTIVE"`, snapshot.Unsuspended, snapshot.Others},
		{"moved", `"status":"ACTIVE","title":1`, `"status":"LOCKED_OUT","title":2`, snapshot.Moved, snapshot.Movers},
		{"moved below a path", `"status":"ACTIVE","place":{"floor":1}`, `"status":"ACTIVE","place":{"floor":2}`, snapshot.Moved, snapshot.Movers},
		{"no move by a longer name", `"status":"ACTIVE","titles":1`, `"status":"ACTIVE","titles":2`, snapshot.Changed, snapshot.Others},
		{"locked out", `"status":"ACTIVE"`, `"status":"LOCKED_OUT"`, snapshot.Changed, snapshot.Others},
		{"a status nobody knows", `"status":"ACTIVE"`, `"status":"ACTIVATING"`, snapshot.Changed, snapshot.Others},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := usersOf(t, `{"id":"1",`+test.before+`}`), usersOf(t, `{"id":"1",`+test.after+`}`)
			rules := snapshot.Rules{Changes: snapshot.Changes{Moved: []string{"title", "place"}}}
			_, counts := diff(t, before, after, rules)
			if counts.Kinds[test.kind] != 1 || len(counts.Kinds) != 1 {
				t.Errorf("Kinds = %v, want one %s", counts.Kinds, test.kind)
			}
			if group := test.kind.Group(); group != test.group {
				t.Errorf("Group() = %s, want %s", group, test.group)
			}
		})
	}
}

// A status that is ignored makes no kind, but the guard has to see it.
func TestIgnoredStatusIsCounted(t *testing.T) {
	before, after := usersOf(t, `{"id":"1","status":"ACTIVE"}`), usersOf(t, `{"id":"1","status":"DEPROVISIONED"}`)
	lines, counts := diff(t, before, after, snapshot.Rules{Changes: snapshot.Changes{Ignore: []string{"status"}}})
	if len(lines) > 0 || counts.Changed != 0 || counts.Deactivated != 1 || counts.ActiveBefore != 1 {
		t.Errorf("Diff() = %+v, %s, want one deactivated and no change", counts, lines)
	}
}

func TestDiffOfValues(t *testing.T) {
	for _, test := range []struct{ name, before, after, paths, was, is string }{
		{"null and absent", `"a":null`, `"b":{"c":null}`, `b`, `{}`, `{"b":{"c":null}}`},
		{"null inside", `"a":{"b":1,"c":null}`, `"a":{"b":1}`, ``, ``, ``},
		{"null inside a list", `"a":[{"b":1,"c":null}]`, `"a":[{"b":1}]`, ``, ``, ``},
		{"null as an element", `"a":[1,null]`, `"a":[1]`, `a`, `{"a":[1,null]}`, `{"a":[1]}`},
		{"absent and empty", `"x":1`, `"a":"","x":1`, `a`, `{}`, `{"a":""}`},
		{"object comes", ``, `"a":{"b":1,"c":{"d":[1]}}`, `a.b a.c.d`, `{}`, `{"a":{"b":1,"c":{"d":[1]}}}`},
		{"object goes", `"a":{"b":1,"n":null}`, ``, `a.b`, `{"a":{"b":1}}`, `{}`},
		{"empty object comes", ``, `"password":{}`, `password`, `{}`, `{"password":{}}`},
		{"object fills", `"a":{}`, `"a":{"b":1}`, `a.b`, `{}`, `{"a":{"b":1}}`},
		{"object becomes a value", `"a":{"b":1}`, `"a":"b"`, `a`, `{"a":{"b":1}}`, `{"a":"b"}`},
		{"text of a number", `"a":1.0`, `"a":1`, `a`, `{"a":1.0}`, `{"a":1}`},
		{"only what differs", `"a":{"b":1,"c":2},"d":1`, `"a":{"b":1,"c":3},"d":1`, `a.c`, `{"a":{"c":2}}`, `{"a":{"c":3}}`},
		{"order of a list", `"a":[1,2]`, `"a":[2,1]`, `a`, `{"a":[1,2]}`, `{"a":[2,1]}`},
		{"names out of byte order", `"😀":1,"\ufb33":2`, `"😀":1,"\ufb33":3`, "\ufb33", "{\"\ufb33\":2}", "{\"\ufb33\":3}"},
		{"names with escapes", `"a\"":1,"a!":2`, `"a\"":1,"a!":3`, `a!`, `{"a!":2}`, `{"a!":3}`},
		{"ignored", `"skip":{"deep":1},"skipped":1`, `"skip":{"deep":2},"skipped":2`, `skipped`, `{"skipped":1}`, `{"skipped":2}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := func(inside string) string { return strings.Replace(`{`+inside+`,"id":"1"}`, `{,`, `{`, 1) }
			rules := snapshot.Rules{Changes: snapshot.Changes{Ignore: []string{"skip"}}}
			lines, _ := diff(t, usersOf(t, object(test.before)), usersOf(t, object(test.after)), rules)
			if test.paths == "" {
				if len(lines) > 0 {
					t.Errorf("Diff() gives %s, want nothing", lines)
				}
				return
			}
			c, err := snapshot.ParseChange(lines)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(c.Paths, " "); got != test.paths || string(c.Before) != test.was || string(c.After) != test.is {
				t.Errorf("Diff() gives %s: %s, %s, want %s: %s, %s", got, c.Before, c.After, test.paths, test.was, test.is)
			}
		})
	}
}

// An attribute that only one declaration holds shows up nowhere: not as
// changed, not in what is added or removed, not as a login.
func TestDiffAcrossDeclarations(t *testing.T) {
	before := usersOf(t,
		`{"id":"1","status":"ACTIVE","profile":{"login":"secret@x","title":"a","phone":"secret"}}`,
		`{"id":"2","status":"ACTIVE","profile":{"login":"secret@x","title":"a","phone":"secret"}}`,
		`{"id":"3","status":"ACTIVE","profile":{"login":"secret@x","title":"a","phone":"secret"}}`)
	after := usersOf(t,
		`{"id":"1","status":"ACTIVE","profile":{"title":"a","city":"new"}}`,
		`{"id":"2","status":"ACTIVE","profile":{"title":"b","city":"new"}}`,
		`{"id":"4","status":"ACTIVE","profile":{"title":"a","city":"new"}}`)
	var was, is snapshot.Declaration
	was.Users.Attributes.Exclude = []string{"profile.city"}
	is.Users.Attributes.Exclude = []string{"profile.phone", "profile.login"}
	rules, _ := snapshot.RulesFor(&was, is)
	lines, counts := diff(t, before, after, rules)
	if counts.Added != 1 || counts.Changed != 1 || counts.Removed != 1 {
		t.Errorf("Diff() = %+v, want one of each", counts)
	}
	if bytes.Contains(lines, []byte("secret")) || bytes.Contains(lines, []byte("new")) {
		t.Errorf("the changes show what one side leaves out:\n%s", lines)
	}
}

type brokenReader struct{ userList }

var errBroken = errors.New("broken")

func (r *brokenReader) Next() (snapshot.User, error) { return snapshot.User{}, errBroken }

func TestDiffRefuses(t *testing.T) {
	good := func() *userList { return usersOf(t, `{"id":"1"}`, `{"id":"2"}`) }
	for _, test := range []struct {
		name          string
		before, after snapshot.UserReader
		want          string
	}{
		{"unsorted before", usersOf(t, `{"id":"2"}`, `{"id":"1"}`), good(), `read users before: user "1" stands after "2"`},
		{"twice after", good(), usersOf(t, `{"id":"1"}`, `{"id":"1"}`), `read users after: user "1" stands after "1"`},
		{"no object before", &userList{users: []snapshot.User{{ID: []byte("1"), JSON: []byte(`"DEPROVISIONED"`)}}}, good(),
			`compare user "1": not a user in canonical form`},
		{"cut after", good(), &userList{users: []snapshot.User{{ID: []byte("1"), JSON: []byte(`{"id":"1","profile`)}}},
			`compare user "1": not a user in canonical form`},
		{"broken before", new(brokenReader), good(), `read users before: broken`},
		{"broken after", good(), new(brokenReader), `read users after: broken`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := snapshot.Diff(test.before, test.after, snapshot.Rules{}, func(*snapshot.Change) error { return nil })
			if err == nil || err.Error() != test.want {
				t.Errorf("Diff() error = %v, want %s", err, test.want)
			}
		})
	}
	_, err := snapshot.Diff(new(userList), good(), snapshot.Rules{}, func(*snapshot.Change) error { return errBroken })
	if !errors.Is(err, errBroken) {
		t.Errorf("Diff() error = %v, want emit's", err)
	}
}

func BenchmarkDiff1000Users(b *testing.B) {
	users := org(1000)
	before := usersOf(b, users...)
	for i := 0; i < len(users); i += 100 {
		users[i] = strings.Replace(users[i], "Site Reliability", "Staff", 1)
	}
	after := usersOf(b, users...)
	rules := snapshot.Rules{Changes: snapshot.DefaultDeclaration().Users.Changes}
	for _, across := range []bool{false, true} {
		if across {
			rules.Project = []snapshot.Attributes{{Exclude: []string{"profile.badge"}}, {Exclude: []string{"_links"}}}
		}
		b.Run(fmt.Sprintf("across declarations=%v", across), func(b *testing.B) {
			for b.Loop() {
				before.next, after.next = 0, 0
				counts, err := snapshot.Diff(before, after, rules, func(*snapshot.Change) error { return nil })
				if err != nil || counts.Changed != 10 {
					b.Fatal(counts, err)
				}
			}
		})
	}
}

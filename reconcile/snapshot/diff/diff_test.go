package diff_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

func TestRulesFor(t *testing.T) {
	declare := func(change func(*snapshot.DeclaredResource)) snapshot.Declaration {
		d := recordtest.Declaration()
		recordtest.Change(&d, change)
		return d
	}
	same := func(*snapshot.DeclaredResource) {}
	for _, test := range []struct {
		name    string
		change  func(*snapshot.DeclaredResource)
		base    string
		project int
	}{
		{"nothing", same, snapshot.BasePrevious, 0},
		{"search", func(u *snapshot.DeclaredResource) { u.Narrowing.Search = `status eq "ACTIVE"` }, snapshot.BaseReset, 0},
		{"deprovisioned", func(u *snapshot.DeclaredResource) { u.Narrowing.IncludeDeprovisioned = false }, snapshot.BaseReset, 0},
		{"included", func(u *snapshot.DeclaredResource) { u.Attributes.Include = []string{"profile"} }, snapshot.BasePrevious, 2},
		{"excluded", func(u *snapshot.DeclaredResource) { u.Attributes.Exclude = nil }, snapshot.BasePrevious, 2},
		{"guard and changes", func(u *snapshot.DeclaredResource) { u.Guard.Min, u.Changes.Ignore = 7, nil }, snapshot.BasePrevious, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := declare(same), declare(test.change)
			rules, base := snapshot.RulesFor(snapshot.Users, &before, after)
			if base != test.base || len(rules.Project) != test.project {
				t.Errorf("RulesFor() = %d projections, %s, want %d, %s", len(rules.Project), base, test.project, test.base)
			}
			if want := after.Resources["users"].Changes.Ignore; !slices.Equal(rules.Ignore, want) {
				t.Errorf("Ignore = %q, want %q", rules.Ignore, want)
			}
		})
	}
	if _, base := snapshot.RulesFor(snapshot.Users, nil, declare(same)); base != snapshot.BaseNone {
		t.Errorf("RulesFor(nil) = %s, want %s", base, snapshot.BaseNone)
	}
}

// changesOf returns the lines of the changes between two lists of users.
func changesOf(t *testing.T, before, after *recordtest.List, rules diff.Rules) ([]byte, diff.Counts) {
	t.Helper()
	var lines []byte
	counts, err := diff.Diff(before, after, rules, func(c *diff.Change) error {
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
	before := recordtest.Of(t,
		`{"id":"00u1","status":"ACTIVE","profile":{"login":"same@x"},"lastLogin":"2026-01-01T00:00:00.000Z"}`,
		`{"id":"00u2","status":"ACTIVE","profile":{"login":"moves@x","title":"Clerk","shoe":41.0}}`,
		`{"id":"00u3","status":"ACTIVE","profile":{"login":"goes@x"}}`,
		`{"id":"00u4","status":"ACTIVE","profile":{"login":"off@x","title":"Clerk"}}`,
		`{"id":"00u5","status":"DEPROVISIONED","profile":{"login":"back@x"}}`,
		`{"id":"00u6","status":"STAGED","profile":{"login":"first@x"}}`,
		`{"id":"00u7","status":"ACTIVE","profile":{"login":"old@x","langs":["de"]}}`,
	)
	after := recordtest.Of(t,
		`{"id":"00u0","status":"STAGED","profile":{"login":"new@x"},"lastLogin":null}`,
		`{"id":"00u1","status":"ACTIVE","profile":{"login":"same@x","mobilePhone":null},"lastLogin":"2026-01-02T00:00:00.000Z"}`,
		`{"id":"00u2","status":"ACTIVE","profile":{"login":"moves@x","title":"Chief","shoe":41}}`,
		`{"id":"00u4","status":"DEPROVISIONED","profile":{"login":"off@x"}}`,
		`{"id":"00u5","status":"PROVISIONED","profile":{"login":"back@x"}}`,
		`{"id":"00u6","status":"ACTIVE","profile":{"login":"first@x"},"activated":"2026-01-02T00:00:00.000Z"}`,
		`{"id":"00u7","status":"ACTIVE","profile":{"login":"renamed@x","langs":["de",null,{"b":1}]}}`,
	)
	rules := recordtest.Rules(recordtest.Declaration().Resources["users"].Changes)
	lines, counts := changesOf(t, before, after, rules)
	recordtest.Golden(t, "diff.golden.ndjson", lines)

	want := diff.Counts{Before: 7, Total: 7, Added: 1, Changed: 5, Removed: 1, ActiveBefore: 6, Deactivated: 1,
		Kinds: map[diff.Kind]int{diff.Joined: 2, diff.Moved: 1, diff.Deactivated: 1,
			diff.Reactivated: 1, diff.Deleted: 1, diff.Changed: 1}}
	if fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("Diff() = %+v, want %+v", counts, want)
	}
	for line := range bytes.Lines(lines) {
		c, err := diff.ParseChange(line)
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
		kind                diff.Kind
		group               string
	}{
		{"first activated", `"status":"STAGED"`, `"status":"PROVISIONED"`, diff.Joined, snapshot.Joiners},
		{"first activated and moved", `"status":"STAGED"`, `"status":"ACTIVE","title":1`, diff.Joined, snapshot.Joiners},
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
		{"a status nobody knows", `"status":"ACTIVE"`, `"status":"ACTIVATING"`, diff.Changed, snapshot.Others},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := recordtest.Of(t, `{"id":"1",`+test.before+`}`), recordtest.Of(t, `{"id":"1",`+test.after+`}`)
			rules := recordtest.Rules(snapshot.Changes{Moved: []string{"title", "place"}})
			_, counts := changesOf(t, before, after, rules)
			if counts.Kinds[test.kind] != 1 || len(counts.Kinds) != 1 {
				t.Errorf("Kinds = %v, want one %s", counts.Kinds, test.kind)
			}
			if group := snapshot.Users.Heading(test.kind); group != test.group {
				t.Errorf("Group() = %s, want %s", group, test.group)
			}
		})
	}
}

// A status that is ignored makes no kind, but the guard has to see it.
func TestIgnoredStatusIsCounted(t *testing.T) {
	before, after := recordtest.Of(t, `{"id":"1","status":"ACTIVE"}`), recordtest.Of(t, `{"id":"1","status":"DEPROVISIONED"}`)
	lines, counts := changesOf(t, before, after, recordtest.Rules(snapshot.Changes{Ignore: []string{"status"}}))
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
			rules := recordtest.Rules(snapshot.Changes{Ignore: []string{"skip"}})
			lines, _ := changesOf(t, recordtest.Of(t, object(test.before)), recordtest.Of(t, object(test.after)), rules)
			if test.paths == "" {
				if len(lines) > 0 {
					t.Errorf("Diff() gives %s, want nothing", lines)
				}
				return
			}
			c, err := diff.ParseChange(lines)
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
	before := recordtest.Of(t,
		`{"id":"1","status":"ACTIVE","profile":{"login":"secret@x","title":"a","phone":"secret"}}`,
		`{"id":"2","status":"ACTIVE","profile":{"login":"secret@x","title":"a","phone":"secret"}}`,
		`{"id":"3","status":"ACTIVE","profile":{"login":"secret@x","title":"a","phone":"secret"}}`)
	after := recordtest.Of(t,
		`{"id":"1","status":"ACTIVE","profile":{"title":"a","city":"new"}}`,
		`{"id":"2","status":"ACTIVE","profile":{"title":"b","city":"new"}}`,
		`{"id":"4","status":"ACTIVE","profile":{"title":"a","city":"new"}}`)
	was, is := recordtest.Declaration(), recordtest.Declaration()
	recordtest.Change(&was, func(u *snapshot.DeclaredResource) { u.Attributes.Exclude = []string{"profile.city"} })
	recordtest.Change(&is, func(u *snapshot.DeclaredResource) { u.Attributes.Exclude = []string{"profile.phone", "profile.login"} })
	rules, _ := snapshot.RulesFor(snapshot.Users, &was, is)
	lines, counts := changesOf(t, before, after, rules)
	if counts.Added != 1 || counts.Changed != 1 || counts.Removed != 1 {
		t.Errorf("Diff() = %+v, want one of each", counts)
	}
	if bytes.Contains(lines, []byte("secret")) || bytes.Contains(lines, []byte("new")) {
		t.Errorf("the changes show what one side leaves out:\n%s", lines)
	}
}

func TestDiffRefuses(t *testing.T) {
	good := func() *recordtest.List { return recordtest.Of(t, `{"id":"1"}`, `{"id":"2"}`) }
	for _, test := range []struct {
		name          string
		before, after diff.Reader
		want          string
	}{
		{"unsorted before", recordtest.Of(t, `{"id":"2"}`, `{"id":"1"}`), good(), `read records before: "1" comes after "2"`},
		{"twice after", good(), recordtest.Of(t, `{"id":"1"}`, `{"id":"1"}`), `read records after: "1" comes after "1"`},
		{"no object before", &recordtest.List{Records: []diff.Record{{Key: []byte("1"), JSON: []byte(`"DEPROVISIONED"`)}}}, good(),
			`compare "1": not canonical JSON`},
		{"cut after", good(), &recordtest.List{Records: []diff.Record{{Key: []byte("1"), JSON: []byte(`{"id":"1","profile`)}}},
			`compare "1": not canonical JSON`},
		{"broken before", new(recordtest.Broken), good(), `read records before: broken`},
		{"broken after", good(), new(recordtest.Broken), `read records after: broken`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := diff.Diff(test.before, test.after, recordtest.Rules(snapshot.Changes{}), func(*diff.Change) error { return nil })
			if err == nil || err.Error() != test.want {
				t.Errorf("Diff() error = %v, want %s", err, test.want)
			}
		})
	}
	_, err := diff.Diff(new(recordtest.List), good(), recordtest.Rules(snapshot.Changes{}), func(*diff.Change) error { return recordtest.ErrBroken })
	if !errors.Is(err, recordtest.ErrBroken) {
		t.Errorf("Diff() error = %v, want emit's", err)
	}
}

func BenchmarkDiff1000Users(b *testing.B) {
	users := recordtest.Org(1000)
	before := recordtest.Of(b, users...)
	for i := 0; i < len(users); i += 100 {
		users[i] = strings.Replace(users[i], "Site Reliability", "Staff", 1)
	}
	after := recordtest.Of(b, users...)
	rules := recordtest.Rules(recordtest.Declaration().Resources["users"].Changes)
	for _, across := range []bool{false, true} {
		if across {
			rules.Project = []canonjson.Attributes{{Exclude: []string{"profile.badge"}}, {Exclude: []string{"_links"}}}
		}
		b.Run(fmt.Sprintf("across declarations=%v", across), func(b *testing.B) {
			for b.Loop() {
				before.Pos, after.Pos = 0, 0
				counts, err := diff.Diff(before, after, rules, func(*diff.Change) error { return nil })
				if err != nil || counts.Changed != 10 {
					b.Fatal(counts, err)
				}
			}
		})
	}
}

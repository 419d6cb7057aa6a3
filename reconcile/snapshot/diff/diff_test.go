package diff_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// rulesOf returns the rules for records of r under one declaration.
func rulesOf(r *snapshot.Resource, changes snapshot.Changes) diff.Rules {
	d := snapshot.Declaration{Resources: map[string]snapshot.DeclaredResource{r.Name: {Changes: changes}}}
	rules, _ := snapshot.RulesFor(r, &snapshot.Manifest{Declared: d}, d)
	proof := diff.Proof{RequestID: "r1", HTTPStatus: 404, OktaStatus: "E0000007"}
	rules.Proofs = diff.Proofs{"00u3": proof, "00g1": proof, "00g3": proof}
	return rules
}

func TestDiff(t *testing.T) {
	for _, test := range []struct {
		resource      *snapshot.Resource
		changes       snapshot.Changes
		before, after []string
		want          diff.Counts
	}{
		{snapshot.Users, snapshot.Changes{Ignore: []string{"lastLogin", "lastUpdated"}, Moved: []string{"profile.title"}}, []string{
			`{"id":"00u1","status":"ACTIVE","profile":{"login":"same@x"},"lastLogin":"2026-01-01T00:00:00.000Z"}`,
			`{"id":"00u2","status":"ACTIVE","profile":{"login":"moves@x","title":"Clerk","shoe":41.0}}`,
			`{"id":"00u3","status":"ACTIVE","profile":{"login":"goes@x"}}`,
			`{"id":"00u4","status":"ACTIVE","profile":{"login":"off@x","title":"Clerk"}}`,
			`{"id":"00u5","status":"DEPROVISIONED","profile":{"login":"back@x"}}`,
			`{"id":"00u6","status":"STAGED","profile":{"login":"first@x"}}`,
			`{"id":"00u7","status":"ACTIVE","profile":{"login":"old@x","langs":["de"]}}`,
		}, []string{
			`{"id":"00u0","status":"STAGED","profile":{"login":"new@x"},"lastLogin":null}`,
			`{"id":"00u1","status":"ACTIVE","profile":{"login":"same@x","mobilePhone":null},"lastLogin":"2026-01-02T00:00:00.000Z"}`,
			`{"id":"00u2","status":"ACTIVE","profile":{"login":"moves@x","title":"Chief","shoe":41}}`,
			`{"id":"00u4","status":"DEPROVISIONED","profile":{"login":"off@x"}}`,
			`{"id":"00u5","status":"PROVISIONED","profile":{"login":"back@x"}}`,
			`{"id":"00u6","status":"ACTIVE","profile":{"login":"first@x"},"activated":"2026-01-02T00:00:00.000Z"}`,
			`{"id":"00u7","status":"ACTIVE","profile":{"login":"renamed@x","langs":["de",null,{"b":1}]}}`,
		}, diff.Counts{Before: 7, Total: 7, Added: 1, Changed: 5, Removed: 1, ActiveBefore: 6, Deactivated: 1,
			Kinds: map[diff.Kind]int{diff.Joined: 1, diff.Activated: 1, diff.Moved: 1, diff.Deactivated: 1,
				diff.Reactivated: 1, diff.Deleted: 1, diff.Changed: 1}}},
		{snapshot.Groups, snapshot.Changes{Ignore: []string{"lastUpdated", "lastMembershipUpdated"}}, []string{
			`{"id":"00g1","type":"OKTA_GROUP","lastMembershipUpdated":"2026-01-01T00:00:00.000Z","profile":{"name":"Same"}}`,
			`{"id":"00g2","type":"OKTA_GROUP","lastUpdated":"2026-01-01T00:00:00.000Z","profile":{"name":"Old","description":null}}`,
			`{"id":"00g3","type":"OKTA_GROUP","profile":{"name":"Gone"}}`,
		}, []string{
			`{"id":"00g0","type":"APP_GROUP","profile":{"name":"New"}}`,
			`{"id":"00g1","type":"OKTA_GROUP","lastMembershipUpdated":"2026-01-02T00:00:00.000Z","profile":{"name":"Same"}}`,
			`{"id":"00g2","type":"OKTA_GROUP","lastUpdated":"2026-01-02T00:00:00.000Z","profile":{"name":"Renamed","description":"x"}}`,
		}, diff.Counts{Before: 3, Total: 3, Added: 1, Changed: 1, Removed: 1, ActiveBefore: 3,
			Kinds: map[diff.Kind]int{diff.Created: 1, diff.Changed: 1, diff.Deleted: 1}}},
	} {
		t.Run(test.resource.Name, func(t *testing.T) {
			before, after := recordtest.ListOf(t, test.before...), recordtest.ListOf(t, test.after...)
			lines, counts := recordtest.Diff(t, before, after, rulesOf(test.resource, test.changes))
			recordtest.Golden(t, test.resource.Name+".golden.ndjson", lines)
			if !reflect.DeepEqual(counts, test.want) {
				t.Errorf("Diff() = %+v, want %+v", counts, test.want)
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
		})
	}
}

// An error about a line contains no part of it.
func TestParseChangeFails(t *testing.T) {
	for _, line := range []string{`{"op":"added","ada@acme.example":1}`, `{"login":{"ada@acme.example":1}}`, `{"op":"added"`, ""} {
		if _, err := diff.ParseChange([]byte(line)); err == nil || err.Error() != "the line is not a change" {
			t.Errorf("ParseChange(%s): %v", line, err)
		}
	}
}

// A removed edge was revoked if its parent still exists, or was deleted.
func TestDiffOfEdges(t *testing.T) {
	before := recordtest.ListOf(t,
		`{"group_id":"00g1","user_id":"00u1"}`, `{"group_id":"00g1","user_id":"00u2"}`,
		`{"group_id":"00g2","user_id":"00u1"}`, `{"group_id":"00g2","user_id":"00u2"}`, `{"group_id":"00g3","user_id":"00u1"}`)
	after := recordtest.ListOf(t, `{"group_id":"00g1","user_id":"00u1"}`, `{"group_id":"00g4","user_id":"00u9"}`)
	rules := rulesOf(snapshot.GroupMembers, snapshot.Changes{})
	rules.Parents = diff.NewLookup(recordtest.ListOf(t, `{"id":"00g1"}`, `{"id":"00g4"}`))
	lines, counts := recordtest.Diff(t, before, after, rules) // 00g3 is proved deleted
	recordtest.Golden(t, "group_members.golden.ndjson", lines)
	want := map[diff.Kind]int{diff.Granted: 1, diff.Revoked: 2, diff.NotListed: 2}
	if !reflect.DeepEqual(counts.Kinds, want) {
		t.Errorf("Diff() = %+v, want %+v", counts.Kinds, want)
	}
	for _, parents := range []*recordtest.List{
		recordtest.Broken(),
		{Records: recordtest.ListOf(t, `{"id":"00g1"}`, `{"id":"00g4"}`, `{"id":"00g5"}`).Records, Err: recordtest.ErrBroken}, // after the last one that is looked for
	} {
		rules.Parents = diff.NewLookup(parents)
		before.Close()
		after.Close()
		if _, err := diff.Diff(before, after, rules, func(*diff.Change) error { return nil }); !errors.Is(err, recordtest.ErrBroken) {
			t.Errorf("Diff() error = %v, want that of the parents", err)
		}
	}
}

func TestDiffOfSwitchedObjects(t *testing.T) {
	rule := func(id, status string) string { return fmt.Sprintf(`{"id":%q,"status":%q,"name":"n"}`, id, status) }
	before := recordtest.ListOf(t, rule("0pr1", "ACTIVE"), rule("0pr2", "INACTIVE"), rule("0pr3", "ACTIVE"), rule("0pr4", "INVALID"), rule("0pr5", "ACTIVE"))
	after := recordtest.ListOf(t, rule("0pr1", "INACTIVE"), rule("0pr2", "ACTIVE"), rule("0pr3", "INVALID"), rule("0pr4", "INACTIVE"), rule("0pr6", "INACTIVE"))
	_, counts := recordtest.Diff(t, before, after, rulesOf(snapshot.GroupRules, snapshot.Changes{}))
	want := map[diff.Kind]int{diff.Deactivated: 2, diff.Activated: 1, diff.Changed: 1, diff.NotListed: 1, diff.Created: 1}
	if !reflect.DeepEqual(counts.Kinds, want) {
		t.Errorf("Diff() = %+v, want %+v", counts.Kinds, want)
	}
}

func TestLookup(t *testing.T) {
	l := diff.NewLookup(recordtest.ListOf(t, `{"id":"b"}`, `{"id":"d"}`))
	for _, test := range []struct{ key, want string }{
		{"a", ""}, {"b", `{"id":"b"}`}, {"b", `{"id":"b"}`}, {"c", ""}, {"d", `{"id":"d"}`}, {"e", ""}, {"f", ""},
	} {
		if got, err := l.Find([]byte(test.key)); err != nil || string(got) != test.want {
			t.Errorf("Find(%s) = %s, %v, want %s", test.key, got, err, test.want)
		}
	}
	if err := l.Finish(); err != nil {
		t.Error(err)
	}
	broken := &recordtest.List{Records: recordtest.ListOf(t, `{"id":"b"}`).Records, Err: recordtest.ErrBroken}
	if err := diff.NewLookup(broken).Finish(); !errors.Is(err, recordtest.ErrBroken) {
		t.Errorf("Finish() = %v, want the error of the reader", err)
	}
}

// An ignored status makes no change, but the guard counts it.
func TestIgnoredStatusIsCounted(t *testing.T) {
	before, after := recordtest.ListOf(t, `{"id":"1","status":"ACTIVE"}`), recordtest.ListOf(t, `{"id":"1","status":"DEPROVISIONED"}`)
	lines, counts := recordtest.Diff(t, before, after, rulesOf(snapshot.Users, snapshot.Changes{Ignore: []string{"status"}}))
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
			rules := rulesOf(snapshot.Users, snapshot.Changes{Ignore: []string{"skip"}})
			lines, _ := recordtest.Diff(t, recordtest.ListOf(t, object(test.before)), recordtest.ListOf(t, object(test.after)), rules)
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

func TestDiffFails(t *testing.T) {
	good := func() *recordtest.List { return recordtest.ListOf(t, `{"id":"1"}`, `{"id":"2"}`) }
	for _, test := range []struct {
		name          string
		before, after diff.Reader
		want          string
	}{
		{"unsorted before", recordtest.ListOf(t, `{"id":"2"}`, `{"id":"1"}`), good(), `read records before: "1" comes after "2"`},
		{"twice after", good(), recordtest.ListOf(t, `{"id":"1"}`, `{"id":"1"}`), `read records after: "1" comes after "1"`},
		{"no object before", &recordtest.List{Records: []diff.Record{{Key: []byte("1"), JSON: []byte(`"DEPROVISIONED"`)}}}, good(),
			`compare "1": not canonical JSON`},
		{"cut after", good(), &recordtest.List{Records: []diff.Record{{Key: []byte("1"), JSON: []byte(`{"id":"1","profile`)}}},
			`compare "1": not canonical JSON`},
		{"broken before", recordtest.Broken(), good(), `read records before: broken`},
		{"broken after", good(), recordtest.Broken(), `read records after: broken`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := diff.Diff(test.before, test.after, rulesOf(snapshot.Users, snapshot.Changes{}), func(*diff.Change) error { return nil })
			if err == nil || err.Error() != test.want {
				t.Errorf("Diff() error = %v, want %s", err, test.want)
			}
		})
	}
	_, err := diff.Diff(new(recordtest.List), good(), rulesOf(snapshot.Users, snapshot.Changes{}), func(*diff.Change) error { return recordtest.ErrBroken })
	if !errors.Is(err, recordtest.ErrBroken) {
		t.Errorf("Diff() error = %v, want emit's", err)
	}
}

func BenchmarkDiff1000Users(b *testing.B) {
	users := recordtest.Users(1000)
	before := recordtest.ListOf(b, users...)
	for i := 0; i < len(users); i += 100 {
		users[i] = strings.Replace(users[i], "Site Reliability", "Staff", 1)
	}
	after := recordtest.ListOf(b, users...)
	rules := rulesOf(snapshot.Users, snapshot.Changes{})
	for _, across := range []bool{false, true} {
		if across {
			rules.Project = []canonjson.Attributes{{Exclude: []string{"profile.badge"}}, {Exclude: []string{"_links"}}}
		}
		b.Run(fmt.Sprintf("across declarations=%v", across), func(b *testing.B) {
			for b.Loop() {
				before.Close()
				after.Close()
				counts, err := diff.Diff(before, after, rules, func(*diff.Change) error { return nil })
				if err != nil || counts.Changed != 10 {
					b.Fatal(counts, err)
				}
			}
		})
	}
}

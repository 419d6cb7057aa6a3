package edges_test

import (
	"errors"
	"fmt"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/edges"
)

func open(l *recordtest.List) func() (diff.Reader, error) {
	return func() (diff.Reader, error) { return l, nil }
}

func end(l *recordtest.List, label, member string) edges.End {
	return edges.End{Open: open(l), Label: label, Member: member}
}

func TestJoiner(t *testing.T) {
	groups := recordtest.ListOf(t, `{"id":"g1","profile":{"name":"Every\"one"}}`, `{"id":"g2","profile":{"name":"unused"}}`, `{"id":"g3","profile":{}}`)
	users := recordtest.ListOf(t, `{"id":"u1","profile":{"login":"a@x"}}`, `{"id":"u2","profile":null}`)
	members := recordtest.ListOf(t, `{"a":1,"group_id":"g1","user_id":"u1","z":2}`, `{"group_id":"g1","user_id":"u2"}`,
		`{"group_id":"g1","user_id":"u3"}`, `{"group_id":"g3","user_id":"u1"}`)
	j := edges.New(open(members), end(groups, "profile.name", "group_name"), end(users, "profile.login", "login"))
	for i, want := range []string{
		`{"a":1,"group_id":"g1","group_name":"Every\"one","login":"a@x","user_id":"u1","z":2}`,
		`{"group_id":"g1","group_name":"Every\"one","user_id":"u2"}`,
		`{"group_id":"g1","group_name":"Every\"one","user_id":"u3"}`,
		`{"group_id":"g3","login":"a@x","user_id":"u1"}`,
	} {
		edge := members.Records[i]
		if err := j.Next(edge.Key); err != nil {
			t.Fatal(err)
		}
		if got, err := j.Append(nil, edge.JSON); err != nil || string(got) != want {
			t.Errorf("Append() = %s, %v, want %s", got, err, want)
		}
	}
	if err := errors.Join(j.Finish(), j.Close(), j.Close()); err != nil || j.Unresolved() != 1 {
		t.Errorf("Finish() = %v, with %d unresolved, want 1", err, j.Unresolved())
	}
}

// More different users than a block holds are read in several blocks.
func TestJoinerInBlocks(t *testing.T) {
	var users, members []string
	for i := range 20 {
		users = append(users, fmt.Sprintf(`{"id":"u%02d","profile":{"login":"p%d"}}`, i, i))
	}
	for i := range 60 {
		members = append(members, fmt.Sprintf(`{"group_id":"g%d","user_id":"u%02d"}`, i/30, i%30))
	}
	list := recordtest.ListOf(t, members...)
	groups := recordtest.ListOf(t, `{"id":"g0","name":"A"}`, `{"id":"g1","name":"B"}`)
	j := edges.New(open(list), end(groups, "name", "group_name"), edges.End{
		Open: func() (diff.Reader, error) { return recordtest.ListOf(t, users...), nil }, Label: "profile.login", Member: "login",
	})
	j.SetMaxBlock(3)
	for i, edge := range list.Records {
		err := j.Next(edge.Key)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"group_id":"g%d","group_name":"%c","login":"p%d","user_id":"u%02d"}`, i/30, "AB"[i/30], i%30, i%30)
		if i%30 >= 20 {
			want = fmt.Sprintf(`{"group_id":"g%d","group_name":"%c","user_id":"u%02d"}`, i/30, "AB"[i/30], i%30)
		}
		if got, err := j.Append(nil, edge.JSON); err != nil || string(got) != want {
			t.Errorf("Append() = %s, %v, want %s", got, err, want)
		}
	}
	if j.Unresolved() != 20 {
		t.Errorf("%d unresolved, want 20", j.Unresolved())
	}
}

func TestJoinerFails(t *testing.T) {
	groups, users := recordtest.ListOf(t, `{"id":"g1"}`), recordtest.ListOf(t, `{"id":"u1"}`)
	members := recordtest.ListOf(t, `{"group_id":"g1","user_id":"u1"}`)
	for _, test := range []struct {
		name                   string
		members, groups, users *recordtest.List
		key, want              string
	}{
		{"edges", recordtest.Broken(), groups, users, "g1\x00u1", "broken"},
		{"parents", members, recordtest.Broken(), users, "g1\x00u1", "broken"},
		{"other ends", members, groups, recordtest.Broken(), "g1\x00u1", "broken"},
		{"unknown parent", members, groups, users, "g2\x00u1", `the parent "g2" isn't recorded`},
		{"another edge", members, groups, users, "g1\x00u2", "the edges have changed while they were read"},
		{"no edge", members, groups, users, "g1", "an edge without two ends"},
	} {
		test.members.Close() // from the first record on
		test.groups.Close()
		test.users.Close()
		j := edges.New(open(test.members), end(test.groups, "name", "group_name"), end(test.users, "login", "login"))
		if err := j.Next([]byte(test.key)); err == nil || err.Error() != test.want {
			t.Errorf("%s: Next() = %v, want %s", test.name, err, test.want)
		}
	}
}

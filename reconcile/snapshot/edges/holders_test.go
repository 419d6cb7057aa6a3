package edges_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/edges"
)

func record(kind, id, role string) diff.Record {
	return diff.Record{Key: []byte(kind + "\x00" + id + "\x00" + role + "\x00\x00"), JSON: []byte(`{"label":"` + role + `"}`)}
}

// A role of a group is followed by a row for each member, for each of its roles. Blocks
// of any size give the same rows.
func TestHolders(t *testing.T) {
	const want = `{"app_label":"Backup","label":"A"} {"group_name":"One","label":"A"}` +
		` {"group_name":"One","label":"A","login":"a@x","user_id":"u1"} {"group_name":"One","label":"A","user_id":"u9"}` +
		` {"group_name":"One","label":"B"} {"group_name":"One","label":"B","login":"a@x","user_id":"u1"} {"group_name":"One","label":"B","user_id":"u9"}` +
		` {"label":"A"} {"group_name":"Three","label":"A"} {"group_name":"Three","label":"A","login":"b@x","user_id":"u2"}` +
		` {"label":"A","login":"a@x","user_id":"u1"}`
	for rows := range 6 {
		roles := &recordtest.List{Records: []diff.Record{record("CLIENT", "c1", "A"), record("GROUP", "g1", "A"), record("GROUP", "g1", "B"),
			record("GROUP", "g2", "A"), record("GROUP", "g3", "A"), record("USER", "u1", "A")}}
		h := &edges.Holders{
			Assignments: roles, MaxRows: rows,
			Users:   end(recordtest.ListOf(t, `{"id":"u1","profile":{"login":"a@x"}}`, `{"id":"u2","profile":{"login":"b@x"}}`), "profile.login", "login"),
			Groups:  end(recordtest.ListOf(t, `{"id":"g1","name":"One"}`, `{"id":"g3","name":"Three"}`), "name", "group_name"),
			Apps:    end(recordtest.ListOf(t, `{"id":"c1","label":"Backup"}`), "label", "app_label"),
			Members: open(recordtest.ListOf(t, `{"group_id":"g0","user_id":"u1"}`, `{"group_id":"g1","user_id":"u1"}`, `{"group_id":"g1","user_id":"u9"}`, `{"group_id":"g3","user_id":"u2"}`)),
		}
		var got []string
		for {
			r, err := h.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(r.JSON))
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("rows in blocks of %d = %s", rows, text)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// counted counts the records that were read.
type counted struct {
	diff.Reader
	n int
}

func (c *counted) Next() (diff.Record, error) {
	c.n++
	return c.Reader.Next()
}

// Few roles with many targets are in memory at a time.
func TestHoldersOfLargeRoles(t *testing.T) {
	list := &recordtest.List{}
	for i := range 100 {
		r := record("USER", fmt.Sprintf("u%02d", i), "A")
		r.JSON = []byte(`{"label":"` + strings.Repeat("x", 1<<20) + `"}`)
		list.Records = append(list.Records, r)
	}
	roles := &counted{Reader: list}
	h := &edges.Holders{Assignments: roles}
	for i := range list.Records {
		if r, err := h.Next(); err != nil || len(r.JSON) < 1<<20 || roles.n > i+16 {
			t.Fatalf("row %d has %d bytes, %v; %d roles were read", i, len(r.JSON), err, roles.n)
		}
	}
	if _, err := h.Next(); err != io.EOF {
		t.Errorf("Next() = %v, want io.EOF", err)
	}
}

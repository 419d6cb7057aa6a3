package access

import (
	"cmp"
	"io"
	"iter"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// maxEdges is how many edges to users are in memory at a time. An app with more edges is
// read in several passes.
var maxEdges = 1 << 18

// An edge connects a user to the app, or to a group that gives the app.
type edge struct {
	user  string
	via   int // the index of an app, or the number of apps and the index of a group
	since *moment
	given *assignment // of an edge to an app
}

func (e edge) compare(other edge) int {
	return cmp.Or(strings.Compare(e.user, other.user), cmp.Compare(e.via, other.via))
}

// eachBlock calls merge for each block of edges, after since. block returns the edges of the
// lowest users after a user, sorted. It has all edges of each of its users. complete reports
// that no edges follow.
func eachBlock(block func(after string) (edges []edge, complete bool, err error), since func([]edge) error, merge func(edges []edge, last bool) error) error {
	for after := ""; ; {
		edges, complete, err := block(after)
		if err == nil {
			err = since(edges)
		}
		if err == nil {
			err = merge(edges, complete)
		}
		if err != nil || complete {
			return err
		}
		after = edges[len(edges)-1].user
	}
}

// A blockBuilder keeps the edges of the lowest users after a user.
type blockBuilder struct {
	after string
	upTo  string // the last user of the block; "": unknown
	edges []edge
}

// add adds an edge, unless it is outside of the block.
func (b *blockBuilder) add(e edge) {
	if e.user <= b.after || b.upTo != "" && e.user > b.upTo {
		return
	}
	if b.edges = append(b.edges, e); len(b.edges) >= 2*maxEdges {
		b.edges = lowest(b.edges)
		b.upTo = b.edges[len(b.edges)-1].user
	}
}

// addMembers adds the members of groups, which are sorted. The via of the first group is
// first.
func (b *blockBuilder) addMembers(s *snapshot.Snapshot, groups []string, first int) error {
	via, group := 0, ""
	for record, err := range childrenOf(s, snapshot.GroupMembers, groups) {
		user, err := text(record, "user_id", err)
		if err != nil {
			return err
		}
		if id, err := canonjson.Find(record, "group_id"); err != nil || string(id) != group {
			group = string(id)
			index, _ := slices.BinarySearch(groups, canonjson.Unquote(id))
			via = first + index
		}
		b.add(edge{user: user, via: via})
	}
	return nil
}

// done returns the block.
func (b *blockBuilder) done() (edges []edge, complete bool) {
	slices.SortFunc(b.edges, edge.compare)
	return b.edges, b.upTo == ""
}

// lowest returns the edges of the lowest users, about half of block.
func lowest(block []edge) []edge {
	slices.SortFunc(block, edge.compare)
	last := block[len(block)/2].user
	end, _ := slices.BinarySearchFunc(block, last, func(e edge, last string) int {
		if e.user <= last {
			return -1
		}
		return 1
	})
	return block[:end]
}

func text(record []byte, name string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	value, err := canonjson.Find(record, name)
	return canonjson.Unquote(value), err
}

// setSince sets since when an edge of a block exists, unless a newer change has set it.
func setSince(block []edge, user string, via int, m *moment) {
	i, found := slices.BinarySearchFunc(block, edge{user: user, via: via}, edge.compare)
	if found && block[i].since == nil {
		block[i].since = m
	}
}

// mergeUsers calls pass for the users in a block, with their edges. If an app is open to all
// users (implicit), pass is also called for the users without an edge. last reports that no
// block follows.
func mergeUsers(users *cursor, implicit bool, block []edge, last bool, pass func(id string, edges []edge) error) error {
	upTo := ""
	if len(block) > 0 {
		upTo = block[len(block)-1].user
	}
	for {
		id := ""
		if len(block) > 0 {
			id = block[0].user
		}
		if implicit {
			if err := users.load(); err != nil && err != io.EOF {
				return err
			} else if next := users.key; err == nil && (id == "" || next < id) && (last || next <= upTo) {
				id = next
			}
		}
		if id == "" {
			return nil
		}
		n := 0
		for n < len(block) && block[n].user == id {
			n++
		}
		if err := pass(id, block[:n]); err != nil {
			return err
		}
		block = block[n:]
	}
}

// A cursor finds records by ascending keys.
type cursor struct {
	next   func() ([]byte, error, bool)
	name   string // of the member with the key
	record []byte // the current one; nil: it was taken, or there is none
	key    string
	err    error // io.EOF at the end
}

func newCursor(records iter.Seq2[[]byte, error], name string) (c cursor, stop func()) {
	next, stop := iter.Pull2(records)
	return cursor{next: next, name: name}, stop
}

// load makes sure that there is a current record.
func (c *cursor) load() error {
	if c.record != nil || c.err != nil {
		return c.err
	}
	record, err, ok := c.next()
	if !ok {
		err = io.EOF
	}
	if err == nil {
		c.key, err = text(record, c.name, nil)
	}
	c.record, c.err = record, err
	return err
}

// take returns the record with this key, or nil if there is none. It is valid until the
// following call.
func (c *cursor) take(key string) ([]byte, error) {
	for {
		err := c.load()
		switch {
		case err == io.EOF || err == nil && c.key > key:
			return nil, nil
		case err != nil:
			return nil, err
		}
		record := c.record
		c.record = nil
		if c.key == key {
			return record, nil
		}
	}
}

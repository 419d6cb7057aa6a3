package access

import (
	"cmp"
	"io"
	"iter"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot/canonjson"
)

// maxEdges is about how many assignments and how many memberships are in memory at a time.
// An app with more is read in several passes.
var maxEdges = 1 << 18

// An edge connects a user to an app, or to a group that gives an app.
type edge struct {
	user  string
	via   int // the index of the app or group
	since *moment
	given *assignment // nil for a group
}

func (e edge) compare(other edge) int {
	return cmp.Or(strings.Compare(e.user, other.user), cmp.Compare(e.via, other.via))
}

// A block has all edges of some users, in the order of edge.compare.
type block struct {
	given   []edge // to apps
	members []edge // to groups
	upTo    string // the last user; "": no edges follow
}

// newBlock returns a block with the edges that are in both builders.
func newBlock(given, members *blockBuilder) *block {
	b := &block{upTo: given.upTo}
	if b.upTo == "" || members.upTo != "" && members.upTo < b.upTo {
		b.upTo = members.upTo
	}
	b.given, b.members = given.sorted(b.upTo), members.sorted(b.upTo)
	return b
}

// each calls pass for the users of the block, with their edges. If an app is open to all
// users (implicit), pass is also called for the users without an edge.
func (b *block) each(users *userCursor, implicit bool, pass func(id string, given, members []edge) error) error {
	given, members := b.given, b.members
	for {
		id := ""
		if len(given) > 0 {
			id = given[0].user
		}
		if len(members) > 0 && (id == "" || members[0].user < id) {
			id = members[0].user
		}
		if implicit {
			if err := users.load(); err == nil {
				if next := users.users[0].ID; (id == "" || next < id) && (b.upTo == "" || next <= b.upTo) {
					id = next
				}
			} else if err != io.EOF {
				return err
			}
		}
		if id == "" {
			return nil
		}
		n, m := countOf(given, id), countOf(members, id)
		if err := pass(id, given[:n], members[:m]); err != nil {
			return err
		}
		given, members = given[n:], members[m:]
	}
}

// countOf returns the number of edges of a user, which come first.
func countOf(edges []edge, user string) (n int) {
	for n < len(edges) && edges[n].user == user {
		n++
	}
	return n
}

// A blockBuilder keeps the edges of the lowest users after a user, to apps or to groups.
type blockBuilder struct {
	after string
	upTo  string // the last user of the block; "": unknown
	edges []edge
}

// add adds an edge, unless its user is outside of the block.
func (b *blockBuilder) add(e edge) {
	if e.user <= b.after || b.upTo != "" && e.user > b.upTo {
		return
	}
	if b.edges = append(b.edges, e); len(b.edges) >= 2*maxEdges {
		b.edges = lowest(b.edges)
		b.upTo = b.edges[len(b.edges)-1].user
	}
}

// addAssignments adds the assignments to the apps that index has.
func (b *blockBuilder) addAssignments(assignments iter.Seq2[assignment, error], index func(app string) (int, bool)) error {
	for given, err := range assignments {
		if err != nil {
			return err
		}
		if via, found := index(given.app); found {
			b.add(edge{user: given.user, via: via, given: &given})
		}
	}
	return nil
}

// addMembers adds the members of the groups that index has.
func (b *blockBuilder) addMembers(members iter.Seq2[[]byte, error], index func(group string) (int, bool)) error {
	var group, user string
	texts := canonjson.NewTexts(map[string]*string{"group_id": &group, "user_id": &user})
	last, via, found := "", 0, false
	for record, err := range members {
		if err == nil {
			err = texts.Read(record)
		}
		if err != nil {
			return err
		}
		if group != last {
			via, found = index(group)
			last = group
		}
		if found {
			b.add(edge{user: user, via: via})
		}
	}
	return nil
}

// sorted returns the edges of the users up to a user, or all if it is "".
func (b *blockBuilder) sorted(upTo string) []edge {
	slices.SortFunc(b.edges, edge.compare)
	if upTo == "" {
		return b.edges
	}
	return b.edges[:endOf(b.edges, upTo)]
}

// lowest returns the edges of the lowest users, about half of edges.
func lowest(edges []edge) []edge {
	slices.SortFunc(edges, edge.compare)
	return edges[:endOf(edges, edges[len(edges)/2].user)]
}

// endOf returns the index after the last edge of a user.
func endOf(edges []edge, user string) int {
	end, _ := slices.BinarySearchFunc(edges, user, func(e edge, user string) int {
		if e.user <= user {
			return -1
		}
		return 1
	})
	return end
}

func text(record []byte, name string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	value, err := canonjson.Find(record, name)
	return canonjson.Unquote(value), err
}

// setSince sets since when an edge exists, unless a newer change has set it.
func setSince(edges []edge, user string, via int, m *moment) {
	i, found := slices.BinarySearchFunc(edges, edge{user: user, via: via}, edge.compare)
	if found && edges[i].since == nil {
		edges[i].since = m
	}
}

// setOthers sets since when the edges without a change exist.
func setOthers(edges []edge, m *moment) {
	for i := range edges {
		if edges[i].since == nil {
			edges[i].since = m
		}
	}
}

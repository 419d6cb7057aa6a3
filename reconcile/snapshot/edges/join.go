// Package edges adds names to edges, and counts them. Edges are records that connect the
// records of two other resources, such as a group and a user.
//
// Package snapshot uses it for CSV files, and package verify to compare them. Start
// reading at [Joiner]. [Holders] does the same for the holders of admin roles. [Counter] counts
// the members of groups for control totals, and [Sums] computes a digest of the
// members of each group, for incremental reads.
package edges

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// Bounds of the names of other ends that are in memory. Usual names have less than 100
// bytes.
const (
	maxBlock = 256 << 10 // names
	maxNames = 128 << 20 // bytes
)

// An End is one of the two resources that edges connect. The zero value is an end that has
// no records.
type End struct {
	Open   func() (diff.Reader, error) // the records; nil: they aren't recorded
	Label  string                      // the path of a record's name
	Member string                      // the member of an edge that gets the name
}

// A Joiner adds the names of both ends to edges, which are in the order of their
// keys. It reads the records of the parents once. It reads the edges in blocks with at
// most maxBlock different other ends, and all records of the other ends for each block.
// So its memory is bounded. It isn't safe for concurrent use.
type Joiner struct {
	edges         func() (diff.Reader, error)
	parent, other End
	maxBlock      int

	ahead      diff.Reader       // the edges after the current block
	aheadErr   error             // of ahead, other than io.EOF; the caller's reader has the same
	block      int               // edges of the current block that were not passed to Next
	names      map[string]string // of the other ends in the block, as JSON; "": not found; null: without a name
	parents    diff.Reader
	lookup     *diff.Lookup // in parents
	parentKey  []byte       // of the current edge
	parentName []byte       // as JSON; nil: unknown
	otherName  string
	unresolved int
	members    [2]string // the names' members, in canonical order
}

// New returns a Joiner for the edges that open returns. The first part of the key of an
// edge is the key of its parent.
func New(open func() (diff.Reader, error), parent, other End) *Joiner {
	j := &Joiner{edges: open, parent: parent, other: other, maxBlock: maxBlock, members: [2]string{parent.Member, other.Member}}
	if canonjson.CompareNames([]byte(j.members[0]), []byte(j.members[1])) > 0 {
		j.members[0], j.members[1] = j.members[1], j.members[0]
	}
	return j
}

// Next moves to the edge with this key. It must be called with the key of each edge,
// in their order. An edge whose parent isn't recorded is an error.
func (j *Joiner) Next(key []byte) error {
	parent, other, ok := bytes.Cut(key, []byte{0})
	if !ok {
		return errors.New("an edge without two ends")
	}
	if err := j.findParent(parent); err != nil {
		return err
	}
	if j.other.Open == nil {
		return nil
	}
	if j.block == 0 {
		if err := j.fill(); err != nil {
			return err
		}
	}
	j.block--
	name, read := j.names[string(other)]
	if !read {
		return cmp.Or(j.aheadErr, errors.New("the edges have changed while they were read"))
	}
	if j.otherName = name; name == "" {
		j.unresolved++
	}
	return nil
}

// Unresolved returns how many of the edges passed to Next have an other end that
// isn't recorded.
func (j *Joiner) Unresolved() int { return j.unresolved }

// Append appends the current edge with the names of its ends to dst, in canonical
// form. An unknown name is omitted.
func (j *Joiner) Append(dst, edge []byte) ([]byte, error) {
	start, next := len(dst), 0
	dst = append(dst, '{')
	m := canonjson.MembersOf(edge)
	for m.Next() {
		for ; next < len(j.members) && canonjson.CompareNames([]byte(j.members[next]), m.Name) < 0; next++ {
			dst = j.appendName(dst, start, next)
		}
		dst = appendMember(dst, start, m.Name, m.Value)
	}
	for ; next < len(j.members); next++ {
		dst = j.appendName(dst, start, next)
	}
	return append(dst, '}'), m.Err
}

func (j *Joiner) appendName(dst []byte, start, i int) []byte {
	switch name := j.members[i]; {
	case name == j.parent.Member && j.parentName != nil:
		return appendMember(dst, start, name, j.parentName)
	case name == j.other.Member && j.otherName != "" && j.otherName != "null":
		return appendMember(dst, start, name, j.otherName)
	}
	return dst
}

// appendMember appends a member of the object that begins at dst[start].
func appendMember[N, V ~string | ~[]byte](dst []byte, start int, name N, value V) []byte {
	if len(dst) > start+1 {
		dst = append(dst, ',')
	}
	dst = append(append(append(dst, '"'), name...), `":`...)
	return append(dst, value...)
}

// findParent finds the parent of the current edge.
func (j *Joiner) findParent(key []byte) (err error) {
	if j.parent.Open == nil || j.parents != nil && bytes.Equal(key, j.parentKey) {
		return nil
	}
	if err := j.openParents(); err != nil {
		return err
	}
	record, err := j.lookup.Find(key)
	if err != nil {
		return err
	}
	if record == nil {
		return fmt.Errorf("the parent %.60q isn't recorded", key)
	}
	j.parentKey = append(j.parentKey[:0], key...)
	name, err := canonjson.FindPath(record, j.parent.Label)
	if j.parentName = append(j.parentName[:0], name...); len(name) == 0 {
		j.parentName = nil
	}
	return err
}

func (j *Joiner) openParents() (err error) {
	if j.parents == nil && j.parent.Open != nil {
		if j.parents, err = j.parent.Open(); err == nil {
			j.lookup = diff.NewLookup(j.parents)
		}
	}
	return err
}

// fill reads the next block of edges, and the names of their other ends.
func (j *Joiner) fill() (err error) {
	if j.ahead == nil {
		if j.ahead, err = j.edges(); err != nil {
			return err
		}
		j.names = make(map[string]string)
	}
	clear(j.names)
	for len(j.names) < j.maxBlock {
		edge, err := j.ahead.Next()
		if err != nil {
			if err != io.EOF {
				j.aheadErr = err
			}
			break
		}
		j.block++
		_, other, _ := bytes.Cut(edge.Key, []byte{0})
		if _, ok := j.names[string(other)]; !ok {
			j.names[string(other)] = ""
		}
	}
	return j.other.readNames(j.names)
}

// readNames sets the names of the records with the keys of names, as JSON; "null" if a
// record has none. It reads all records.
func (e End) readNames(names map[string]string) error {
	if e.Open == nil {
		return nil
	}
	records, err := e.Open()
	if err != nil {
		return err
	}
	defer records.Close()
	for size := 0; ; {
		record, err := records.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if _, ok := names[string(record.Key)]; !ok {
			continue
		}
		name, err := canonjson.FindPath(record.JSON, e.Label)
		if err != nil {
			return err
		}
		if len(name) == 0 {
			name = []byte("null")
		}
		if size += len(name); size > maxNames {
			return fmt.Errorf("the %s of %d records have over %d bytes", e.Member, len(names), maxNames)
		}
		names[string(record.Key)] = string(name)
	}
}

// Finish reads the remaining parents. A Reader that checks its content at the end can then
// return its error.
func (j *Joiner) Finish() error {
	if err := j.openParents(); err != nil || j.lookup == nil {
		return err
	}
	return j.lookup.Finish()
}

// Close closes the readers. It may be called twice.
func (j *Joiner) Close() error {
	var errs []error
	for _, r := range []*diff.Reader{&j.ahead, &j.parents} {
		if *r != nil {
			errs = append(errs, (*r).Close())
			*r = nil
		}
	}
	return errors.Join(errs...)
}

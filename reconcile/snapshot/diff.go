package snapshot

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Op says what happened to a user's record.
type Op string

const (
	OpAdded   Op = "added"
	OpChanged Op = "changed"
	OpRemoved Op = "removed"
)

// Bases of a snapshot's counts and changes.
const (
	BaseNone     = "none"     // the first snapshot: nothing to compare with
	BasePrevious = "previous" // compared with the previous snapshot
	BaseReset    = "reset"    // other users are declared, so a comparison would mislead
)

// A Change is the difference between two states of one user.
type Change struct {
	Op     Op             `json:"op"`
	Kind   Kind           `json:"kind"`
	ID     string         `json:"id"`
	Login  string         `json:"login"`  // the later one
	Paths  []string       `json:"paths"`  // what differs, sorted; empty for added and removed
	Before jsontext.Value `json:"before"` // what differs, as it was; null for added
	After  jsontext.Value `json:"after"`  // what differs, as it is; null for removed

	user []byte // as it is, while Diff hands the change on; nil: nobody knows
}

// Line appends c to dst as a line of a changes file: canonical JSON and a
// line feed.
func (c *Change) Line(dst []byte) ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return dst, err
	}
	line, err := Canonical(dst, b)
	if err != nil {
		return dst, err
	}
	return append(line, '\n'), nil
}

// ParseChange reads a line of a changes file, with or without its line feed.
func ParseChange(line []byte) (*Change, error) {
	c := new(Change)
	if err := json.Unmarshal(line, c, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("parse change: %w", err)
	}
	return c, nil
}

// Counts sums up a comparison.
type Counts struct {
	Before, Total           int // users before and after
	Added, Changed, Removed int
	Kinds                   map[Kind]int // of all changes; never nil, no zeros
	ActiveBefore            int          // users before that were not deactivated
	Deactivated             int          // of those, the ones that are deactivated now
}

// Rules say how two snapshots are compared.
type Rules struct {
	Changes
	Project []Attributes // applied to both sides before they are compared
}

// RulesFor returns the rules for comparing a snapshot made under after with
// an earlier one made under before, and the base of the comparison. A nil
// before stands for no earlier snapshot. Only where the base is BasePrevious
// is there something to compare.
//
// Where the attributes declared differ, what both declarations hold is
// compared: an attribute that is new in the declaration is no news about
// anybody, and one that is excluded now shows up no more, not even as lost.
func RulesFor(before *Declaration, after Declaration) (Rules, string) {
	rules := Rules{Changes: after.Users.Changes}
	if before == nil {
		return rules, BaseNone
	}
	was, is := before.Users, after.Users
	if was.Search != is.Search || was.IncludeDeprovisioned != is.IncludeDeprovisioned {
		return rules, BaseReset
	}
	if !was.Attributes.equal(is.Attributes) {
		rules.Project = []Attributes{was.Attributes, is.Attributes}
	}
	return rules, BasePrevious
}

// Diff compares two readings in one pass and calls emit for each user that
// differs, in ascending order of ids. It closes neither reader. A reader out
// of order, an error of a reader or of emit ends it.
func Diff(before, after UserReader, rules Rules, emit func(*Change) error) (Counts, error) {
	d := &differ{
		was:   newSide("before", before, rules.Project),
		is:    newSide("after", after, rules.Project),
		pair:  pair{rules: rules.Changes},
		count: Counts{Kinds: make(map[Kind]int)},
		emit:  emit,
	}
	err := d.run()
	return d.count, err
}

type differ struct {
	was, is *side
	pair    pair
	count   Counts
	emit    func(*Change) error
}

func (d *differ) run() error {
	if err := d.advance(true, true); err != nil {
		return err
	}
	for !d.was.ended || !d.is.ended {
		order := d.order()
		if err := d.compare(order); err != nil {
			return err
		}
		if err := d.advance(order <= 0, order >= 0); err != nil {
			return err
		}
	}
	return nil
}

// order says whose user comes first: before's (-1), after's (1), or that both
// sides hold the same one (0).
func (d *differ) order() int {
	switch {
	case d.was.ended:
		return 1
	case d.is.ended:
		return -1
	}
	return bytes.Compare(d.was.id, d.is.id)
}

// advance moves one side or both to the next user.
func (d *differ) advance(was, is bool) error {
	if was {
		if err := d.was.next(); err != nil {
			return err
		}
		if !d.was.ended {
			d.count.Before++
			off, err := deactivated(d.was.user)
			if err != nil {
				return fmt.Errorf("compare user %q: %w", d.was.id, err)
			}
			if !off {
				d.count.ActiveBefore++
			}
		}
	}
	if is {
		if err := d.is.next(); err != nil {
			return err
		}
		if !d.is.ended {
			d.count.Total++
		}
	}
	return nil
}

// compare looks at the user that comes first in order.
func (d *differ) compare(order int) error {
	var c *Change
	var err error
	id := d.is.id
	switch {
	case order < 0:
		id = d.was.id
		d.count.Removed++
		c, err = whole(OpRemoved, Deleted, d.was.user)
	case order > 0:
		d.count.Added++
		c, err = whole(OpAdded, Joined, d.is.user)
	case !bytes.Equal(d.was.user, d.is.user):
		c, err = d.changed()
	}
	if err != nil {
		return fmt.Errorf("compare user %q: %w", id, err)
	}
	if c == nil {
		return nil
	}
	c.ID = string(id)
	if order >= 0 {
		c.user = d.is.user
	}
	d.count.Kinds[c.Kind]++
	err = d.emit(c)
	c.user = nil
	return err
}

// whole returns the change of a user that is on one side only.
func whole(op Op, kind Kind, user []byte) (*Change, error) {
	c := &Change{Op: op, Kind: kind, Paths: []string{}, Before: jsontext.Value("null"), After: jsontext.Value("null")}
	if op == OpAdded {
		c.After = bytes.Clone(user)
	} else {
		c.Before = bytes.Clone(user)
	}
	var err error
	c.Login, err = login(user)
	return c, err
}

// changed compares the two states of one user, whose bytes differ, and
// returns nil where that makes no change.
func (d *differ) changed() (*Change, error) {
	was, is := d.was.user, d.is.user
	from, to, err := statuses(was, is)
	if err != nil {
		return nil, err
	}
	if from != deprovisioned && to == deprovisioned {
		d.count.Deactivated++
	}
	if err := d.pair.compare(was, is); err != nil || len(d.pair.paths) == 0 {
		return nil, err
	}
	d.count.Changed++
	c := &Change{
		Op:     OpChanged,
		Kind:   kindOf(from, to, d.pair.paths, d.pair.rules.Moved),
		Paths:  slices.Clone(d.pair.paths),
		Before: bytes.Clone(d.pair.before),
		After:  bytes.Clone(d.pair.after),
	}
	c.Login, err = login(is)
	return c, err
}

// A side is one of the two readings, cut down to what is compared.
type side struct {
	name       string
	users      UserReader
	projectors []*Projector
	buffers    [2][]byte
	ended      bool
	id, user   []byte // the user at hand
}

func newSide(name string, users UserReader, project []Attributes) *side {
	s := &side{name: name, users: users}
	for _, a := range project {
		s.projectors = append(s.projectors, a.Projector())
	}
	return s
}

// next moves to the next user, and holds the reader to its promise of order.
func (s *side) next() error {
	user, err := s.users.Next()
	if err == io.EOF {
		s.ended, s.user = true, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("read users %s: %w", s.name, err)
	}
	if s.user != nil && bytes.Compare(user.ID, s.id) <= 0 {
		return fmt.Errorf("read users %s: user %q stands after %q", s.name, user.ID, s.id)
	}
	s.id = append(s.id[:0], user.ID...)
	s.user = user.JSON
	for i, p := range s.projectors {
		b := &s.buffers[i%2]
		if *b, err = p.Project((*b)[:0], s.user); err != nil {
			return fmt.Errorf("read users %s: user %q: %w", s.name, user.ID, err)
		}
		s.user = *b
	}
	return nil
}

// Package diff compares two sorted sequences of records of one resource in one
// pass and constant memory, and describes each difference as a [Change].
//
// Package reconcile compares a read with the newest snapshot, package verify
// recomputes changes files, and the commands diff, plan and history print
// changes. Start reading at [Diff].
package diff

import (
	"bytes"
	"fmt"
	"io"

	"oktasync/reconcile/snapshot/canonjson"
)

// Counts summarizes a comparison.
type Counts struct {
	Before, Total           int // records before and after
	Added, Changed, Removed int
	Kinds                   map[Kind]int // of all changes; never nil, no zeros
	ActiveBefore            int          // records before that were not inactive
	Deactivated             int          // records that were active before and are inactive now
}

// Diff compares two sequences of records in one pass, and calls emit for each
// record that differs, in ascending order of keys. It doesn't close the readers.
// An error of a reader or of emit, or a reader out of order, ends it.
func Diff(before, after Reader, rules Rules, emit func(*Change) error) (Counts, error) {
	d := &differ{
		before: newSide("before", before, rules),
		after:  newSide("after", after, rules),
		rules:  rules,
		pair:   pair{ignore: rules.Ignore},
		count:  Counts{Kinds: make(map[Kind]int)},
		emit:   emit,
	}
	err := d.run()
	return d.count, err
}

type differ struct {
	before, after *side
	rules         Rules
	pair          pair
	count         Counts
	emit          func(*Change) error
}

func (d *differ) run() error {
	if err := d.advance(true, true); err != nil {
		return err
	}
	for !d.before.ended || !d.after.ended {
		order := d.order()
		if err := d.compare(order); err != nil {
			return err
		}
		if err := d.advance(order <= 0, order >= 0); err != nil {
			return err
		}
	}
	if d.rules.Parents == nil || d.count.Removed == 0 {
		return nil
	}
	if err := d.rules.Parents.Finish(); err != nil {
		return fmt.Errorf("read parents: %w", err)
	}
	return nil
}

// order returns which side has the lower key: -1 for before, 1 for after, and 0
// if both have the same record.
func (d *differ) order() int {
	switch {
	case d.before.ended:
		return 1
	case d.after.ended:
		return -1
	}
	return bytes.Compare(d.before.key, d.after.key)
}

// advance moves one side or both to the next record.
func (d *differ) advance(before, after bool) error {
	if before {
		if err := d.before.next(); err != nil {
			return err
		}
		if !d.before.ended {
			d.count.Before++
			inactive, err := d.inactive(d.before.record)
			if err != nil {
				return fmt.Errorf("compare %.60q: %w", d.before.key, err)
			}
			if !inactive {
				d.count.ActiveBefore++
			}
		}
	}
	if after {
		if err := d.after.next(); err != nil {
			return err
		}
		if !d.after.ended {
			d.count.Total++
		}
	}
	return nil
}

func (d *differ) inactive(record []byte) (bool, error) {
	if d.rules.Inactive == nil {
		return false, nil
	}
	return d.rules.Inactive(record)
}

// compare compares the records with the lowest key.
func (d *differ) compare(order int) error {
	var c *Change
	var err error
	key := d.after.key
	switch {
	case order < 0:
		key = d.before.key
		d.count.Removed++
		c, err = d.rules.whole(OpRemoved, key, d.before.record)
	case order > 0:
		d.count.Added++
		c, err = d.rules.whole(OpAdded, key, d.after.record)
	case !bytes.Equal(d.before.record, d.after.record):
		c, err = d.changed()
	}
	if err != nil {
		return fmt.Errorf("compare %.60q: %w", key, err)
	}
	if c == nil {
		return nil
	}
	d.count.Kinds[c.Kind]++
	return d.emit(c)
}

// changed compares the two states of one record, whose bytes differ. It returns
// nil if only ignored attributes differ.
func (d *differ) changed() (*Change, error) {
	before, after := d.before.record, d.after.record
	was, err := d.inactive(before)
	if err != nil {
		return nil, err
	}
	is, err := d.inactive(after)
	if err != nil {
		return nil, err
	}
	if !was && is {
		d.count.Deactivated++
	}
	if err := d.pair.compare(before, after); err != nil || len(d.pair.paths) == 0 {
		return nil, err
	}
	d.count.Changed++
	return d.rules.changed(&d.pair, before, after)
}

// A side is one of the two sequences, reduced to the attributes that are
// compared.
type side struct {
	name        string
	records     Reader
	projectors  []*canonjson.Projector
	buffers     [2][]byte
	ended       bool
	key, record []byte // the current record
}

func newSide(name string, records Reader, rules Rules) *side {
	s := &side{name: name, records: records}
	for _, a := range rules.Project {
		s.projectors = append(s.projectors, a.Projector(rules.Always))
	}
	return s
}

// next moves to the next record, and checks the order of keys.
func (s *side) next() error {
	record, err := s.records.Next()
	if err == io.EOF {
		s.ended, s.record = true, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("read records %s: %w", s.name, err)
	}
	if s.record != nil && bytes.Compare(record.Key, s.key) <= 0 {
		return fmt.Errorf("read records %s: %.60q comes after %.60q", s.name, record.Key, s.key)
	}
	s.key = append(s.key[:0], record.Key...)
	s.record = record.JSON
	for i, p := range s.projectors {
		b := &s.buffers[i%2]
		if *b, err = p.Project((*b)[:0], s.record); err != nil {
			return fmt.Errorf("read records %s: %.60q: %w", s.name, record.Key, err)
		}
		s.record = *b
	}
	return nil
}

package access

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// A moment is when an edge was first seen: the snapshot in which it appeared, and the one
// before. If no snapshot without the edge can be compared, absent is "", and first is the
// oldest snapshot that surely has it.
type moment struct {
	first, absent string
	order         int // of first
}

// later returns the later of two moments: a path is as old as its newest edge.
func (m *moment) later(other *moment) *moment {
	if other.order > m.order {
		return other
	}
	return m
}

// A timeline is the snapshots up to one of them, oldest first. Each has its changes from
// the one before, also after it was pruned.
type timeline struct{ snapshots []*snapshot.Snapshot }

func newTimeline(store *snapshot.Store, s *snapshot.Snapshot) (*timeline, error) {
	chain, err := store.Chain(s)
	return &timeline{chain}, err
}

// added calls visit for the added records of r whose line wanted accepts, the newest first,
// with the time when they appeared. It returns the moment of all other records.
func (t *timeline) added(r *snapshot.Resource, wanted func(line []byte) bool, visit func(*diff.Change, *moment)) (others *moment, err error) {
	for i := len(t.snapshots) - 1; i > 0; i-- {
		s := t.snapshots[i]
		counts := s.Manifest.Resources[r.Name]
		if !counts.IsAvailable() {
			continue
		}
		before := i - 1
		for last := t.snapshots[before].Manifest.Resources[r.Name]; before > 0 && !last.IsAvailable(); last = t.snapshots[before].Manifest.Resources[r.Name] {
			before--
		}
		since := &moment{s.Name(), t.snapshots[before].Name(), i}
		if counts.Base != snapshot.BasePrevious {
			return &moment{first: s.Name(), order: i}, nil
		}
		err := eachAdded(s, r, wanted, func(c *diff.Change) { visit(c, since) })
		if errors.Is(err, fs.ErrNotExist) {
			return &moment{first: s.Name(), order: i}, nil // its changes weren't kept
		}
		if err != nil {
			return nil, err
		}
	}
	return &moment{first: t.snapshots[0].Name()}, nil
}

func eachAdded(s *snapshot.Snapshot, r *snapshot.Resource, wanted func([]byte) bool, visit func(*diff.Change)) error {
	added := func(line []byte) bool { return bytes.Contains(line, []byte(`"op":"added"`)) && wanted(line) }
	for c, err := range s.EachChange(r, added) {
		if err != nil {
			return err
		}
		if c.Op == diff.OpAdded {
			visit(c)
		}
	}
	return nil
}

// isMemberOf returns a function that reports whether a change of a member is in one of
// these sorted groups.
func isMemberOf(groups []string) func(line []byte) bool {
	return func(line []byte) bool {
		_, rest, _ := bytes.Cut(line, []byte(`"group_id":"`))
		id, _, _ := bytes.Cut(rest, []byte(`"`))
		_, found := slices.BinarySearchFunc(groups, id, func(group string, id []byte) int { return strings.Compare(group, string(id)) })
		return found
	}
}

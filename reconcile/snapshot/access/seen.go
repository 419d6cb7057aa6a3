package access

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"

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
func (m moment) later(other moment) moment {
	if other.order > m.order {
		return other
	}
	return m
}

// A timeline is the snapshots up to one of them, oldest first. Each has its changes from
// the one before, also after it was pruned.
type timeline struct{ snapshots []*snapshot.Snapshot }

func newTimeline(store *snapshot.Store, s *snapshot.Snapshot) (*timeline, error) {
	t := &timeline{snapshots: []*snapshot.Snapshot{s}}
	for export := s.Manifest.Export; s.Manifest.Previous != nil; {
		name := s.Manifest.Previous.Snapshot
		before, err := store.Snapshot(export, name)
		if err != nil && store.WasPruned(export, name) {
			before, err = snapshot.ReadFolder(store.Path(export, snapshot.PrunedDir, name))
		}
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		t.snapshots = append(t.snapshots, before)
		s = before
	}
	slices.Reverse(t.snapshots)
	return t, nil
}

// added calls visit for the added records of r whose line wanted accepts, the newest first,
// with the time when they appeared. It returns the moment of all other records.
func (t *timeline) added(r *snapshot.Resource, wanted func(line []byte) bool, visit func(*diff.Change, moment)) (others moment, err error) {
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
		since := moment{s.Name(), t.snapshots[before].Name(), i}
		if counts.Base != snapshot.BasePrevious {
			return moment{first: s.Name(), order: i}, nil
		}
		err := eachAdded(s, r, wanted, func(c *diff.Change) { visit(c, since) })
		if errors.Is(err, fs.ErrNotExist) {
			return moment{first: s.Name(), order: i}, nil // its changes weren't kept
		}
		if err != nil {
			return moment{}, err
		}
	}
	return moment{first: t.snapshots[0].Name()}, nil
}

func eachAdded(s *snapshot.Snapshot, r *snapshot.Resource, wanted func([]byte) bool, visit func(*diff.Change)) error {
	changes, err := s.Changes(r)
	if err != nil {
		return err
	}
	defer changes.Close()
	lines := bufio.NewScanner(changes)
	lines.Buffer(nil, maxChange)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), []byte(`"op":"added"`)) || !wanted(lines.Bytes()) {
			continue
		}
		c, err := diff.ParseChange(lines.Bytes())
		if err != nil {
			return fmt.Errorf("read changes of %s: %w", s.Name(), err)
		}
		if c.Op == diff.OpAdded {
			visit(c)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read changes of %s: %w", s.Name(), err)
	}
	return nil
}

const maxChange = 16 << 20 // bytes of a line, which can have the longest record twice

package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
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

// added calls visit with the keys of the added records of r whose line wanted accepts, the
// newest first, and with the time when they appeared. A key is valid during the call. added
// returns the moment of all other records.
func (t *timeline) added(r *snapshot.Resource, wanted func(line []byte) bool, visit func(key []string, m *moment)) (others *moment, err error) {
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
		err := eachAdded(s, r, wanted, func(key []string) { visit(key, since) })
		if errors.Is(err, fs.ErrNotExist) {
			return &moment{first: s.Name(), order: i}, nil // its changes weren't kept
		}
		if err != nil {
			return nil, err
		}
	}
	return &moment{first: t.snapshots[0].Name()}, nil
}

// eachAdded calls visit with the keys of the added records. It parses only these lines, and
// of these only the keys.
func eachAdded(s *snapshot.Snapshot, r *snapshot.Resource, wanted func(line []byte) bool, visit func(key []string)) error {
	changes, err := s.Changes(r)
	if err != nil {
		return err
	}
	defer changes.Close()
	var op string
	key, targets := make([]string, len(r.Key)), map[string]*string{"op": &op}
	for i, name := range r.Key {
		targets["key."+name] = &key[i]
	}
	texts := canonjson.NewTexts(targets)
	for lines := snapshot.NewLineReader(changes); ; {
		line, err := lines.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil && (!bytes.Contains(line, []byte(`"op":"added"`)) || !wanted(line)) {
			continue
		}
		if err == nil {
			err = texts.Read(line[:len(line)-1])
		}
		if err != nil {
			return fmt.Errorf("read changes of %s: %w", s.Name(), err)
		}
		if op == string(diff.OpAdded) {
			visit(key)
		}
	}
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

package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// NotFoundError says that no snapshot of an export fits what was asked for.
type NotFoundError struct {
	Export, Name string
	Nearest      string // a snapshot that may have been meant, or ""
}

func (e *NotFoundError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("no snapshot %s of %s", e.Name, e.Export)
	}
	return fmt.Sprintf("no snapshot %s of %s; the nearest is %s", e.Name, e.Export, e.Nearest)
}

// BadNameError says that a name can't stand for a snapshot.
type BadNameError struct{ Name string }

func (e *BadNameError) Error() string {
	return fmt.Sprintf("%q names no snapshot: give one's name (20260630T060000Z), a date (2026-06-30), a time (2026-06-30T06:00:00Z), "+
		"latest, or @-N for the Nth before the newest", e.Name)
}

// names returns the names of an export's snapshots. Each snapshot's is later
// than the one before it, so their order is that of the chain.
func (s *Store) names(export string) ([]string, error) {
	names, err := snapshotNames(s.Path(export))
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	return names, nil
}

// snapshotNames returns the folders in dir that are named like a snapshot,
// sorted. A dir that is not there has none.
func snapshotNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, entry := range entries { // sorted by os.ReadDir
		if _, err := ParseName(entry.Name()); err == nil && entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// nameTime returns the time that the name of a snapshot stands for.
func ParseName(name string) (time.Time, error) {
	t, err := time.Parse(nameLayout, name)
	if err == nil && t.Format(nameLayout) != name {
		err = errors.New("not the name of a snapshot")
	}
	return t, err
}

// List returns the snapshots of an export, oldest first. Snapshots whose
// manifest can't be read are left out and reported by the error, which comes
// with all the others.
func (s *Store) List(export string) ([]*Snapshot, error) {
	names, err := s.names(export)
	if err != nil {
		return nil, err
	}
	var list []*Snapshot
	var problems []error
	for _, name := range names {
		snap, err := s.Snapshot(export, name)
		if err != nil && s.WasPruned(export, name) {
			continue // just now
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		list = append(list, snap)
	}
	slices.SortStableFunc(list, func(a, b *Snapshot) int { return a.Manifest.Sequence - b.Manifest.Sequence })
	return list, errors.Join(problems...)
}

// Latest returns the newest snapshot of an export, or ErrNoSnapshot.
func (s *Store) Latest(export string) (*Snapshot, error) {
	return s.back(export, 0)
}

// back returns the snapshot that stands n before the newest.
func (s *Store) back(export string, n int) (*Snapshot, error) {
	names, err := s.names(export)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w", export, ErrNoSnapshot)
	}
	if n >= len(names) {
		return nil, &NotFoundError{Export: export, Name: fmt.Sprintf("@-%d", n), Nearest: names[0]}
	}
	return s.Snapshot(export, names[len(names)-1-n])
}

// Find returns the snapshot of an export that name stands for: a snapshot's
// name; a date, for the last one up to the end of that day in zone; a time
// in RFC 3339, for the last one up to it; @-1, for the one before the newest;
// "", @ or latest for the newest. Without one the error is a *NotFoundError, or
// ErrNoSnapshot where there are none at all; any other name is a *BadNameError.
func (s *Store) Find(export, name string, zone *time.Location) (*Snapshot, error) {
	if zone == nil {
		zone = time.UTC
	}
	if name == "" || name == "@" || strings.TrimPrefix(name, "@") == LatestLink {
		return s.Latest(export)
	}
	if digits, ok := strings.CutPrefix(name, "@-"); ok {
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil {
			return nil, &BadNameError{name}
		}
		return s.back(export, int(n))
	}
	end, upTo := endOf(name, zone)
	if _, err := ParseName(name); err != nil && !upTo {
		return nil, &BadNameError{name}
	}
	names, err := s.names(export)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w", export, ErrNoSnapshot)
	}
	i, found := slices.BinarySearch(names, name)
	if !found {
		if s.WasPruned(export, name) {
			return nil, &PrunedError{Export: export, Name: name}
		}
		if !upTo {
			return nil, &NotFoundError{Export: export, Name: name, Nearest: nearest(names, name)}
		}
		after, _ := slices.BinarySearchFunc(names, end, func(name string, end time.Time) int {
			t, _ := ParseName(name)
			return t.Compare(end)
		})
		if i = after - 1; i < 0 {
			return nil, &NotFoundError{Export: export, Name: "up to " + name, Nearest: names[0]}
		}
	}
	return s.Snapshot(export, names[i])
}

// endOf returns the first instant after what a date or a time stands for.
func endOf(name string, zone *time.Location) (time.Time, bool) {
	if day, err := time.Parse(time.DateOnly, name); err == nil {
		return midnight(day.AddDate(0, 0, 1), zone), true
	}
	t, err := time.Parse(time.RFC3339, name)
	return t.Add(1), err == nil
}

// midnight returns the first instant in zone at which day, a date in UTC, has
// begun. Clocks are set at midnight too: there may be none, or two, and
// time.Date gives the second, or one in the day before.
func midnight(day time.Time, zone *time.Location) time.Time {
	for t := day.Add(-26 * time.Hour); ; { // before it in every zone
		start, end := t.In(zone).ZoneBounds()
		if !end.IsZero() && !end.After(t) { // as ZoneBounds has it on the last day of a leap year
			end = t.Add(time.Hour)
		}
		_, offset := t.In(zone).Zone()
		begins := day.Add(-time.Duration(offset) * time.Second)
		switch {
		case begins.Before(start): // the clocks went past it
			return start
		case end.IsZero() || begins.Before(end):
			return begins
		}
		t = end
	}
}

// nearest returns the one of names, which are not empty, that is nearest in time
// to name.
func nearest(names []string, name string) string {
	want, _ := ParseName(name)
	gap := func(name string) time.Duration {
		t, _ := ParseName(name)
		return t.Sub(want).Abs()
	}
	return slices.MinFunc(names, func(a, b string) int { return cmp.Compare(gap(a), gap(b)) })
}

package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Retention selects the snapshots to keep: the last ones, and the newest one of each
// of the last days, weeks (ISO 8601), months and years that have a snapshot. A rule
// that isn't used up also keeps the oldest snapshot. The newest snapshot and those in
// Hold are always kept. If every count is 0, all snapshots are kept.
type Retention struct {
	Last, Daily, Weekly, Monthly, Yearly int

	Hold []string       // names of snapshots
	Zone *time.Location // nil: UTC
}

// Drop returns the names of the snapshots that aren't kept. names are all snapshots,
// oldest first.
func (r Retention) Drop(names []string) []string {
	rules := r.rules()
	if len(rules) == 0 || len(names) == 0 {
		return nil
	}
	var drop []string
	for i, name := range slices.Backward(names) {
		keep := i == len(names)-1 || slices.Contains(r.Hold, name)
		for j := range rules {
			keep = rules[j].keeps(name, i == 0) || keep
		}
		if !keep {
			drop = append(drop, name)
		}
	}
	slices.Reverse(drop)
	return drop
}

// A keepRule keeps the newest snapshot of each of its periods.
type keepRule struct {
	left   int
	period func(name string) string
	last   string // the period of the snapshot that was kept last
}

func (r *keepRule) keeps(name string, oldest bool) bool {
	period := r.period(name)
	if r.left == 0 || period == r.last && !oldest {
		return false
	}
	r.left--
	r.last = period
	return true
}

func (r Retention) rules() []keepRule {
	zone := r.Zone
	if zone == nil {
		zone = time.UTC
	}
	in := func(format func(time.Time) string) func(string) string {
		return func(name string) string {
			t, _ := ParseName(name) // names are valid
			return format(t.In(zone))
		}
	}
	layout := func(layout string) func(string) string {
		return in(func(t time.Time) string { return t.Format(layout) })
	}
	var rules []keepRule
	for _, one := range []keepRule{
		{left: r.Last, period: func(name string) string { return name }},
		{left: r.Daily, period: layout(time.DateOnly)},
		{left: r.Weekly, period: in(func(t time.Time) string { return fmt.Sprint(t.ISOWeek()) })},
		{left: r.Monthly, period: layout("2006-01")},
		{left: r.Yearly, period: layout("2006")},
	} {
		if one.left > 0 {
			rules = append(rules, one)
		}
	}
	return rules
}

// Due returns the names of the snapshots that r doesn't keep, oldest first. Unless
// next is the zero time, it assumes one more snapshot at this time. Snapshots whose
// manifest can't be read are always kept.
func (s *Store) Due(export string, r Retention, next time.Time) ([]string, error) {
	list, _ := s.List(export) // without unreadable snapshots, which are kept
	var names []string
	for _, snap := range list {
		names = append(names, snap.Name())
	}
	if !next.IsZero() {
		names = append(names, next.UTC().Format(nameLayout))
	}
	return r.Drop(names), nil
}

// Pruned returns the names of the pruned snapshots of an export, oldest first. Their
// manifests are kept.
func (s *Store) Pruned(export string) ([]string, error) {
	names, err := snapshotNames(s.Path(export, PrunedDir))
	if err != nil {
		return nil, fmt.Errorf("list pruned snapshots: %w", err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(s.Path(export, name))
		return err == nil // its prune isn't complete
	}), nil
}

// PrunedBetween returns the pruned snapshots between two others.
func (s *Store) PrunedBetween(export, after, before string) ([]string, error) {
	names, err := s.Pruned(export)
	return slices.DeleteFunc(names, func(name string) bool { return name <= after || name >= before }), err
}

// PrunedFor returns the pruned snapshots between found and the date or time asked. If
// they hadn't been pruned, Find would have returned the last of them instead of found.
func (s *Store) PrunedFor(found *Snapshot, asked string, zone *time.Location) ([]string, error) {
	if zone == nil {
		zone = time.UTC
	}
	end, ok := endOf(asked, zone)
	if !ok {
		return nil, nil
	}
	end = end.Add(time.Second - 1) // names have whole seconds
	return s.PrunedBetween(found.Manifest.Export, found.Name(), end.UTC().Format(nameLayout))
}

// A PrunedError means that a snapshot was pruned.
type PrunedError struct{ Export, Name string }

func (e *PrunedError) Error() string {
	return fmt.Sprintf("%s@%s was pruned; only its manifest is kept (%s/%s/%s)", e.Export, e.Name, e.Export, PrunedDir, e.Name)
}

// WasPruned reports whether a snapshot is missing and has a tombstone.
func (s *Store) WasPruned(export, name string) bool {
	_, err := os.Lstat(s.Path(export, name))
	_, tombErr := os.Lstat(s.Path(export, PrunedDir, name))
	return errors.Is(err, fs.ErrNotExist) && tombErr == nil
}

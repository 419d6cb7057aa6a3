package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Retention says which snapshots stay: the last ones, and the newest of each
// of so many days, weeks, months and years that have one, in Zone. Weeks are
// those of ISO 8601. A rule with room left keeps the oldest snapshot too, so
// that what is kept reaches as far back as it can. Where every count is 0,
// everything stays; the newest and those in Hold always do.
type Retention struct {
	Last, Daily, Weekly, Monthly, Yearly int

	Hold []string       // names of snapshots
	Zone *time.Location // nil: UTC
}

// Drop returns those of names that do not stay. Names are in order, oldest
// first.
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

// Due returns the names of the snapshots that r would not keep, oldest first,
// if one more was made at the time next; the zero time stands for none.
// Snapshots whose manifest can't be read are left alone.
func (s *Store) Due(export string, r Retention, next time.Time) ([]string, error) {
	list, _ := s.List(export) // what can't be read is nothing to prune
	var names []string
	for _, snap := range list {
		names = append(names, snap.Name())
	}
	if !next.IsZero() {
		names = append(names, next.UTC().Format(nameLayout))
	}
	return r.Drop(names), nil
}

// Pruned returns the names of the snapshots of an export that retention has
// removed, oldest first. Their manifests are kept.
func (s *Store) Pruned(export string) ([]string, error) {
	names, err := snapshotNames(s.Path(export, PrunedDir))
	if err != nil {
		return nil, fmt.Errorf("list pruned snapshots: %w", err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(s.Path(export, name))
		return err == nil // not quite yet
	}), nil
}

// PrunedBetween returns those of Pruned that stood between two snapshots.
func (s *Store) PrunedBetween(export, after, before string) ([]string, error) {
	names, err := s.Pruned(export)
	return slices.DeleteFunc(names, func(name string) bool { return name <= after || name >= before }), err
}

// PrunedFor returns those of Pruned that Find would rather have returned than
// found, when it was asked for a date or a time.
func (s *Store) PrunedFor(found *Snapshot, asked string, zone *time.Location) ([]string, error) {
	if zone == nil {
		zone = time.UTC
	}
	end, ok := endOf(asked, zone)
	if !ok {
		return nil, nil
	}
	end = end.Add(time.Second - 1) // up to the next whole one
	return s.PrunedBetween(found.Manifest.Export, found.Name(), end.UTC().Format(nameLayout))
}

// PrunedError says that retention has removed the snapshot that was asked for.
type PrunedError struct{ Export, Name string }

func (e *PrunedError) Error() string {
	return fmt.Sprintf("%s@%s was pruned by retention; only its manifest is kept (%s/%s/%s)", e.Export, e.Name, e.Export, PrunedDir, e.Name)
}

// WasPruned reports whether the snapshot is away and its tombstone there.
func (s *Store) WasPruned(export, name string) bool {
	_, err := os.Lstat(s.Path(export, name))
	_, tombErr := os.Lstat(s.Path(export, PrunedDir, name))
	return errors.Is(err, fs.ErrNotExist) && tombErr == nil
}

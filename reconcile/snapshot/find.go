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

// A NotFoundError means that an export has no snapshot with this name or date.
type NotFoundError struct {
	Export, Name string
	Nearest      string // the snapshot with the nearest name, or ""
}

func (e *NotFoundError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("%s has no snapshot %s", e.Export, e.Name)
	}
	return fmt.Sprintf("%s has no snapshot %s; the nearest is %s", e.Export, e.Name, e.Nearest)
}

// names returns the names of an export's snapshots, up to the newest one that the
// checkpoint covers. Each name is later than the one before it, so their order is
// that of the chain.
func (s *Store) names(export string) ([]string, error) {
	names, err := snapshotNames(s.Path(export))
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	if len(names) == 0 {
		return nil, nil
	}
	c, err := s.Checkpoint(export)
	if errors.Is(err, fs.ErrNotExist) {
		err = &MismatchError{export, "its checkpoint is missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", export, err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name > c.Snapshot }), nil
}

// snapshotNames returns the sorted names of the folders in dir that have the name of
// a snapshot. A missing dir has none.
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

// List returns the snapshots of an export, oldest first. It omits snapshots whose
// manifest can't be read. The error reports them; the list is valid also then.
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
			continue // it was pruned after the folder was read
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

// Latest returns the newest snapshot of an export that the checkpoint covers, or
// ErrNoSnapshot. Its records can be erased.
func (s *Store) Latest(export string) (*Snapshot, error) {
	c, err := s.Checkpoint(export)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err = s.names(export)
	case err == nil && c.Sequence > 0:
		return s.newest(c)
	}
	if _, ok := errors.AsType[*MismatchError](err); ok {
		err = fmt.Errorf("read %s: %w", export, err)
	}
	if err == nil {
		err = fmt.Errorf("%s: %w", export, ErrNoSnapshot)
	}
	return nil, err
}

// newest returns the newest snapshot that a checkpoint covers. Its records can be
// erased; then its folder is the one in PrunedDir.
func (s *Store) newest(c *Checkpoint) (*Snapshot, error) {
	snap, err := s.snapshotOrTombstone(c.Export, c.Snapshot)
	if err != nil {
		return nil, err
	}
	if snap.Digest != c.ManifestSHA256 {
		return nil, &MismatchError{c.Export, fmt.Sprintf("the manifest of its newest snapshot, %s, isn't the one that its checkpoint covers", c.Snapshot)}
	}
	return snap, nil
}

// coveredManifests returns the digests of the manifests that a checkpoint covers, by the
// names of their snapshots: those in the chain of the newest snapshot, and those that a line
// of the covered journal names.
func (s *Store) coveredManifests(covered *Ledger, newest *Snapshot) map[string]string {
	published := make(map[string]string)
	for _, e := range covered.Events() {
		if e.Event == EventPublished {
			published[e.Snapshot] = e.ManifestSHA256
		}
	}
	for link := newest.link(); link != nil; {
		published[link.Snapshot] = link.ManifestSHA256
		m, err := s.Manifest(newest.Manifest.Export, link.Snapshot)
		if err != nil || m.digest() != link.ManifestSHA256 {
			break
		}
		link = m.Previous
	}
	return published
}

// CheckCovered returns a *MismatchError unless the checkpoint covers each of the
// snapshots of an export.
func (s *Store) CheckCovered(export string, snapshots ...*Snapshot) error {
	c, err := s.Checkpoint(export)
	if err != nil {
		return err
	}
	newest, err := s.newest(c)
	if err != nil {
		return err
	}
	covered, err := s.ledger(export, c, nil)
	if err != nil {
		return err
	}
	published := s.coveredManifests(covered, newest)
	for _, snap := range snapshots {
		if published[snap.Name()] != snap.Digest {
			return notCovered(export, snap.Name())
		}
	}
	return nil
}

func notCovered(export, name string) error {
	return &MismatchError{export, fmt.Sprintf("the manifest of %s isn't the one that its checkpoint covers", name)}
}

// back returns the nth snapshot before the newest.
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

// Find returns a snapshot of an export. name is one of:
//   - the name of a snapshot
//   - a date: the last snapshot up to the end of that day in zone
//   - a time in RFC 3339: the last snapshot up to it
//   - @-1: the snapshot before the newest
//   - "", @ or latest: the newest
//
// If there is no such snapshot, the error is a *NotFoundError or a *PrunedError. In
// an empty export, it is ErrNoSnapshot. Any other name is a *BadNameError.
func (s *Store) Find(export, name string, zone *time.Location) (*Snapshot, error) {
	if zone == nil {
		zone = time.UTC
	}
	if name == "" || name == "@" || strings.TrimPrefix(name, "@") == LatestLink {
		snap, err := s.Latest(export)
		if err == nil && snap.Erased() {
			return nil, &PrunedError{Export: export, Name: snap.Name()}
		}
		return snap, err
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
	i, found := slices.BinarySearch(names, name)
	if !found {
		if s.WasPruned(export, name) {
			return nil, &PrunedError{Export: export, Name: name}
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("%s: %w", export, ErrNoSnapshot)
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

// endOf returns the first instant after a date or a time.
func endOf(name string, zone *time.Location) (time.Time, bool) {
	if day, err := time.Parse(time.DateOnly, name); err == nil {
		return midnight(day.AddDate(0, 0, 1), zone), true
	}
	t, err := time.Parse(time.RFC3339, name)
	return t.Add(1), err == nil
}

// midnight returns the first instant of day, a date in UTC, in zone. If the clocks
// change at midnight, a day has no midnight or two. Then time.Date returns the second
// one, or an instant in the day before.
func midnight(day time.Time, zone *time.Location) time.Time {
	for t := day.Add(-26 * time.Hour); ; { // before it in every zone
		start, end := t.In(zone).ZoneBounds()
		if !end.IsZero() && !end.After(t) { // ZoneBounds returns this on the last day of a leap year
			end = t.Add(time.Hour)
		}
		_, offset := t.In(zone).Zone()
		begins := day.Add(-time.Duration(offset) * time.Second)
		switch {
		case begins.Before(start): // the clocks skipped midnight
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

// BaseOf returns the snapshot with which the next read of r is compared. This is newest,
// or, if r is unavailable in newest, the last snapshot in which r was available. The
// result is nil if newest is nil, or if r was never available. The records of the result
// may be erased.
func (s *Store) BaseOf(newest *Snapshot, r *Resource) (*Snapshot, error) {
	if newest == nil || newest.Manifest.Resources[r.Name].IsAvailable() {
		return newest, nil
	}
	last := newest.Manifest.Resources[r.Name].Last
	if last == nil {
		return nil, nil
	}
	return s.linked(newest, last)
}

// linked returns the snapshot that a link in the manifest of snap names. Its records may
// be erased.
func (s *Store) linked(snap *Snapshot, link *Link) (*Snapshot, error) {
	export := snap.Manifest.Export
	before, err := s.snapshotOrTombstone(export, link.Snapshot)
	if err != nil {
		return nil, err
	}
	if before.Digest != link.ManifestSHA256 {
		return nil, &MismatchError{export, fmt.Sprintf("the manifest of %s isn't the one that %s names", link.Snapshot, snap.Name())}
	}
	return before, nil
}

// Chain returns the snapshots of an export up to last, oldest first, also those whose
// records were pruned. If a manifest is missing, or doesn't have the digest in the next
// manifest, the list begins after it.
func (s *Store) Chain(last *Snapshot) ([]*Snapshot, error) {
	chain := []*Snapshot{last}
	for last.Manifest.Previous != nil {
		before, err := s.linked(last, last.Manifest.Previous)
		if _, other := errors.AsType[*MismatchError](err); other || errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		chain, last = append(chain, before), before
	}
	slices.Reverse(chain)
	return chain, nil
}

package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ReasonRetention is the reason in the events "pruned" of [Writer.Prune].
const ReasonRetention = "retention"

// Prune removes the records of the snapshots that r doesn't keep, oldest first, and
// returns their names. The manifest, its signature and its time stamp stay, so that
// the chain is complete. Prune removes nothing unless the newest snapshot with records
// is whole. It looks only at snapshots that a covered line of the journal names. It doesn't
// remove a damaged snapshot, so that Verify still reports it. If ctx ends, it stops
// between two snapshots.
//
// A crash between two steps leaves a state that the next Writer completes, and that
// Verify reports as unfinished:
//
//  1. pruned in the journal, for every snapshot: write, fsync
//  2. checkpoint: write, fsync, renameat, fsync the export's folder
//  3. for every snapshot: renameat NAME pruned/NAME, fsync both folders
//  4. unlinkat the files that don't stay
//
// After step 2, the snapshot may be missing. If step 3 hasn't happened, the next Prune
// decides again.
func (w *Writer) Prune(ctx context.Context, r Retention) ([]string, error) {
	names, err := w.prune(ctx, r)
	if err != nil {
		return names, fmt.Errorf("prune: %w", err)
	}
	return names, nil
}

func (w *Writer) prune(ctx context.Context, r Retention) ([]string, error) {
	if w.failed {
		return nil, errHalfway
	}
	names, err := w.Reader().names(w.export)
	if err != nil || w.newest == nil || len(r.Drop(names)) == 0 && !w.newMonth(r) {
		return nil, err
	}
	covered, err := w.covered()
	if err != nil {
		return nil, err
	}
	published := w.store.coveredManifests(covered, w.newest)
	known := w.known(published, names)
	r.Hold = append(slices.Clone(r.Hold), w.newest.Manifest.bases()...)
	due := r.Drop(known)
	expired, err := w.expiredChanges(covered.Erased(), published, r)
	if err != nil || len(due)+len(expired) == 0 {
		return nil, err
	}
	newest := known[max(0, len(known)-1):] // with records: those of w.newest can be erased
	if whole, err := w.undamaged(ctx, newest); err != nil {
		return nil, err
	} else if len(whole) < len(newest) {
		return nil, errors.New("the newest snapshot isn't complete")
	}
	if due, err = w.undamaged(ctx, due); err != nil {
		return nil, err
	}
	keep := func(name string) bool { return r.keepsChanges(name, w.newest.Name()) }
	if _, err := w.remove(ctx, published, expired, none, Event{User: w.holder.User, Reason: "retention of changes"}); err != nil {
		return nil, err
	}
	return w.remove(ctx, published, due, keep, Event{User: w.holder.User, Reason: ReasonRetention})
}

// newMonth reports whether the newest snapshot is the first of a month, so that changes
// files can have expired.
func (w *Writer) newMonth(r Retention) bool {
	before := w.newest.Manifest.Previous
	return len(r.rules()) > 0 && before != nil && r.month(before.Snapshot) != r.month(w.newest.Name())
}

// expiredChanges returns the names of the pruned snapshots whose changes files r doesn't
// keep. A snapshot that a person moved to PrunedDir isn't among them: no covered line
// permits that its records are missing, and verify reports this.
func (w *Writer) expiredChanges(erased map[string]int, published map[string]string, r Retention) ([]string, error) {
	names, err := w.store.Pruned(w.export)
	return slices.DeleteFunc(names, func(name string) bool {
		return r.keepsChanges(name, w.newest.Name()) || len(w.changesOf(name)) == 0 || erased[published[name]] == 0
	}), err
}

// changesOf returns the names of the changes files of a pruned snapshot.
func (w *Writer) changesOf(name string) []string {
	if found, _ := filepath.Glob(w.path(PrunedDir, name, "*"+changesSuffix)); len(found) == 0 {
		return nil
	}
	tombstone, err := ReadFolder(w.path(PrunedDir, name))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(tombstone.Manifest.ChangesNames(), func(file string) bool {
		_, err := os.Lstat(filepath.Join(tombstone.dir, file))
		return err != nil
	})
}

// none keeps no changes files.
func none(string) bool { return false }

// known returns those of names that the checkpoint covers. A folder that a person copied
// into the export isn't among them.
func (w *Writer) known(published map[string]string, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		snap, err := w.store.Snapshot(w.export, name)
		return err != nil || snap.Digest != published[name]
	})
}

// Erase removes the records of one snapshot, like Prune. The journal records the user and
// the reason. The newest snapshot can be erased too: then the next one is compared with
// nothing.
func (w *Writer) Erase(ctx context.Context, name, user, reason string) error {
	err := w.erase(ctx, name, user, reason)
	if err != nil {
		err = fmt.Errorf("erase %s@%s: %w", w.export, name, err)
	}
	return err
}

func (w *Writer) erase(ctx context.Context, name, user, reason string) error {
	if w.failed {
		return errHalfway
	}
	covered, err := w.covered()
	if err != nil {
		return err
	}
	published, event := w.store.coveredManifests(covered, w.newest), Event{User: user, Reason: reason}
	if w.store.WasPruned(w.export, name) && len(w.changesOf(name)) > 0 {
		if covered.Erased()[published[name]] == 0 {
			event.Error = "its records were missing, and no covered line of the journal recorded that they were removed"
		}
		_, err := w.remove(ctx, published, []string{name}, none, event)
		return err
	}
	snap, err := w.Reader().Find(w.export, name, nil)
	if err != nil {
		return err
	}
	name = snap.Name()
	known := w.known(published, []string{name})
	if len(known) == 0 {
		return errors.New("no covered line of the journal names it")
	}
	undamaged, err := w.undamaged(ctx, known)
	if err != nil {
		return err
	}
	if len(undamaged) == 0 {
		event.Error = "its files weren't the ones that were published"
	}
	if _, err = w.remove(ctx, published, known, none, event); err != nil || name != w.newest.Name() {
		return err
	}
	return w.newestErased()
}

// remove removes the records of snapshots, and their changes files unless keepChanges
// returns true. The records of some can be removed already. published has the digests of
// the manifests that the checkpoint covers. The lines of the journal have the user, the
// reason and the error of event.
func (w *Writer) remove(ctx context.Context, published map[string]string, names []string, keepChanges func(name string) bool, event Event) (removed []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	files := make(map[string][]string)
	for _, name := range names {
		m, err := w.store.Manifest(w.export, name)
		if err == nil && m.digest() != published[name] {
			err = notCovered(w.export, name)
		}
		if err != nil {
			return nil, err
		}
		changes := m.ChangesNames()
		switch {
		case w.store.WasPruned(w.export, name):
			files[name] = w.changesOf(name)
		case keepChanges(name):
			files[name] = slices.DeleteFunc(m.fileNames(), func(file string) bool { return slices.Contains(changes, file) })
		default:
			files[name] = m.fileNames()
		}
		event.Event, event.Snapshot, event.ManifestSHA256, event.Files = EventPruned, name, m.digest(), files[name]
		if err := w.append(event); err != nil {
			return nil, err
		}
	}
	if err := w.cover(); err != nil {
		return nil, err
	}
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		if !w.store.WasPruned(w.export, name) {
			if err := w.moveToPruned(name); err != nil {
				return removed, fmt.Errorf("move %s to %s: %w", name, PrunedDir, err)
			}
		}
		if err := w.removeRecords(name, files[name]); err != nil {
			return removed, fmt.Errorf("remove the records of %s: %w", name, err)
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// moveToPruned moves the folder of a snapshot into the folder of pruned ones.
func (w *Writer) moveToPruned(name string) error {
	fsys := w.store.files
	err := fsys.Mkdir(w.path(PrunedDir), w.store.published)
	if errors.Is(err, fs.ErrExist) {
		err = checkFolder(w.path(PrunedDir))
	}
	if err != nil {
		return err
	}
	if err := fsys.Rename(w.path(name), w.path(PrunedDir, name)); err != nil {
		return err
	}
	if err := fsys.SyncDir(w.path(PrunedDir)); err != nil {
		return err
	}
	return fsys.SyncDir(w.path())
}

// removeRecords removes the files that don't stay of a snapshot that was moved to
// PrunedDir. Its changes files stay unless files names them. If the snapshot wasn't
// moved, removeRecords does nothing.
func (w *Writer) removeRecords(name string, files []string) error {
	dir := w.path(PrunedDir, name)
	tombstone, err := ReadFolder(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	removed := false
	stays := slices.DeleteFunc(tombstone.Manifest.ChangesNames(), func(file string) bool { return slices.Contains(files, file) })
	stays = append(stays, tombstone.Manifest.TombstoneNames()...)
	for _, entry := range entries {
		if slices.Contains(stays, entry.Name()) {
			continue
		}
		if err := w.store.files.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return w.store.files.SyncDir(dir)
}

// Retention selects the snapshots to keep: the last ones, and the newest one of each
// of the last days, weeks (ISO 8601), months and years that have a snapshot. A rule
// that isn't used up also keeps the oldest snapshot. The newest snapshot and those in
// Hold are always kept. If every count is 0, all snapshots are kept.
type Retention struct {
	Last, Daily, Weekly, Monthly, Yearly int

	// Changes is a number of months. The last one is that of the newest snapshot. The
	// changes files of these months stay when their snapshots are pruned.
	Changes int

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
	zone := cmp.Or(r.Zone, time.UTC)
	var drop []string
	for i, name := range slices.Backward(names) {
		t, _ := ParseName(name) // names are valid
		keep := i == len(names)-1 || slices.Contains(r.Hold, name)
		for j := range rules {
			keep = rules[j].keeps(t.In(zone), i == 0) || keep
		}
		if !keep {
			drop = append(drop, name)
		}
	}
	slices.Reverse(drop)
	return drop
}

// keepsChanges reports whether the changes files of a snapshot stay. newest is the name
// of the newest snapshot.
func (r Retention) keepsChanges(name, newest string) bool {
	return r.month(newest)-r.month(name) < r.Changes
}

// month returns the number of the month of a snapshot.
func (r Retention) month(name string) int {
	t, _ := ParseName(name)
	t = t.In(cmp.Or(r.Zone, time.UTC))
	return t.Year()*12 + int(t.Month())
}

// A keepRule keeps the newest snapshot of each of its periods.
type keepRule struct {
	left   int
	period func(t time.Time) int
	last   int // the period of the snapshot that was kept last
}

func (r *keepRule) keeps(t time.Time, oldest bool) bool {
	if r.left == 0 {
		return false
	}
	period := r.period(t)
	if period == r.last && !oldest {
		return false
	}
	r.left--
	r.last = period
	return true
}

func (r Retention) rules() []keepRule {
	var rules []keepRule
	for _, rule := range []keepRule{
		{left: r.Last, period: func(t time.Time) int { return int(t.Unix()) }},
		{left: r.Daily, period: func(t time.Time) int { return t.Year()*1000 + t.YearDay() }},
		{left: r.Weekly, period: func(t time.Time) int { year, week := t.ISOWeek(); return year*100 + week }},
		{left: r.Monthly, period: func(t time.Time) int { return t.Year()*100 + int(t.Month()) }},
		{left: r.Yearly, period: time.Time.Year},
	} {
		if rule.left > 0 {
			rule.last = math.MinInt
			rules = append(rules, rule)
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
	for i, snap := range list {
		names = append(names, snap.Name())
		if i == len(list)-1 {
			r.Hold = append(slices.Clone(r.Hold), snap.Manifest.bases()...)
		}
	}
	if !next.IsZero() {
		names = append(names, next.UTC().Format(nameLayout))
	}
	return r.Drop(names), nil
}

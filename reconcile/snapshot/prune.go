package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Prune removes the snapshots that r does not keep, oldest first, and returns
// their names. Of each the manifest and its signature stay, as a tombstone, so
// that the chain still holds. It prunes nothing unless one of those that stay
// is whole: the only good one is not for retention to remove. When ctx ends it
// stops between two snapshots.
//
// For each, a crash between any two steps leaves what the next Writer mends
// and Verify calls an unfinished prune:
//
//  1. mkdirat pruned, where it is not there, fsync of the export's folder
//  2. pruned/.NAME.partial: mkdirat, manifest.json and its signature written and synced, fsync
//  3. renameat to pruned/NAME, fsync pruned
//  4. pruned in the journal: write, fsync
//  5. renameat NAME .NAME.pruned, fsync of the export's folder
//  6. unlinkat of all that is in it, and of itself
//
// Up to 4 the next Writer takes the tombstone back, from then on it goes
// through 5 and 6.
func (w *Writer) Prune(ctx context.Context, r Retention) ([]string, error) {
	names, err := w.prune(ctx, r)
	if err != nil {
		w.failed = true
		return names, fmt.Errorf("prune: %w", err)
	}
	return names, nil
}

func (w *Writer) prune(ctx context.Context, r Retention) (pruned []string, err error) {
	if w.damaged != nil {
		return nil, w.damaged
	}
	due, err := w.store.Due(w.export, r, time.Time{})
	if err != nil || len(due) == 0 {
		return nil, err
	}
	if err := w.checkRest(ctx, due); err != nil {
		return nil, err
	}
	for _, name := range due {
		if ctx.Err() != nil {
			break
		}
		snap, err := w.store.Snapshot(w.export, name)
		if err != nil {
			return pruned, err
		}
		if err := w.bury(snap); err != nil {
			return pruned, fmt.Errorf("write tombstone of %s: %w", name, err)
		}
		event := Event{Event: EventPruned, Snapshot: name, ManifestSHA256: snap.Digest, Reason: "retention"}
		if err := w.append(event); err != nil {
			return pruned, err
		}
		if err := w.takeAway(name); err != nil {
			return pruned, fmt.Errorf("remove %s: %w", name, err)
		}
		pruned = append(pruned, name)
	}
	return pruned, nil
}

// checkRest looks for a whole snapshot among those that are not due.
func (w *Writer) checkRest(ctx context.Context, due []string) error {
	list, _ := w.store.List(w.export)
	for _, snap := range slices.Backward(list) {
		if slices.Contains(due, snap.Name()) {
			continue
		}
		whole, err := wholeFiles(ctx, snap.dir, snap.Manifest.Files)
		if whole || err != nil {
			return err
		}
	}
	return errors.New("none of the snapshots that would stay is whole; see `oktasync verify`")
}

// wholeFiles reports whether every one of the files in dir has its digest.
func wholeFiles(ctx context.Context, dir string, files []File) (bool, error) {
	for _, file := range files {
		f, err := OpenPlain(filepath.Join(dir, file.Name))
		if err != nil {
			return false, nil
		}
		sum := NewDigest()
		_, err = io.Copy(sum, io.LimitReader(cancelReader{ctx, f}, file.Bytes+1))
		f.Close()
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil || sum.String() != file.SHA256 {
			return false, nil
		}
	}
	return true, nil
}

// bury writes the tombstone of snap.
func (w *Writer) bury(snap *Snapshot) error {
	fsys := w.store.files
	err := fsys.Mkdir(w.path(PrunedDir), w.store.published)
	if errors.Is(err, fs.ErrExist) {
		err = checkFolder(w.path(PrunedDir))
	}
	if err != nil {
		return err
	}
	if err := fsys.SyncDir(w.path()); err != nil {
		return err
	}
	dir := w.path(PrunedDir, partial(snap.Name()))
	s, err := newStage(fsys, w.store.published, dir)
	if err != nil {
		return err
	}
	for _, name := range snap.Manifest.TombstoneNames() {
		data, err := ReadBounded(filepath.Join(snap.dir, name), MaxManifest)
		if err != nil {
			return err
		}
		if err := s.write(name, data); err != nil {
			return err
		}
	}
	if err := fsys.SyncDir(dir); err != nil {
		return err
	}
	if err := fsys.Rename(dir, w.path(PrunedDir, snap.Name())); err != nil {
		return err
	}
	return fsys.SyncDir(w.path(PrunedDir))
}

// TombstoneNames returns the names in the tombstone of m's snapshot.
func (m *Manifest) TombstoneNames() []string {
	if m.SignedBy == nil {
		return []string{ManifestFile}
	}
	return []string{ManifestFile, SignatureFile}
}

// takeAway removes a snapshot. It is gone from one moment to the next, and
// then file by file.
func (w *Writer) takeAway(name string) error {
	fsys := w.store.files
	away := w.path(awayName(name))
	if err := fsys.Rename(w.path(name), away); err != nil {
		return err
	}
	if err := fsys.SyncDir(w.path()); err != nil {
		return err
	}
	return removeFolder(fsys, away)
}

// awayName is the name of a folder that is being removed.
func awayName(name string) string { return "." + name + awaySuffix }

// awayOf returns the name that a folder had before it was to be removed.
func RemovedOf(name string) (string, bool) {
	name, hidden := strings.CutPrefix(name, ".")
	name, ok := strings.CutSuffix(name, awaySuffix)
	return name, hidden && ok
}

// mendPrune finishes the prune that the journal has announced, and takes back
// a tombstone without such a line: by now other snapshots may be due.
func (w *Writer) mendPrune() error {
	tombs, err := snapshotNames(w.path(PrunedDir))
	if err != nil {
		return err
	}
	if _, err := w.sweep(w.path(PrunedDir)); err != nil {
		return err
	}
	for _, name := range tombs {
		_, err := os.Lstat(w.path(name))
		switch {
		case err != nil: // as it should be
			err = nil
		case w.journal.seen.lastPruned == name:
			err = w.takeAway(name)
		case !w.journal.seen.pruned[name]:
			err = w.takeBack(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeBack removes the tombstone of a snapshot that is still there.
func (w *Writer) takeBack(name string) error {
	fsys := w.store.files
	back := w.path(PrunedDir, partial(name))
	if err := fsys.Rename(w.path(PrunedDir, name), back); err != nil {
		return err
	}
	if err := fsys.SyncDir(w.path(PrunedDir)); err != nil {
		return err
	}
	return removeFolder(fsys, back)
}

// cancelReader is a reader that ends with its context.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

package snapshot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"oktasync/reconcile/snapshot/render"
)

// Writer locks an export, verifies its state up to the checkpoint, and completes
// or removes what an interrupted run has left. If another process has the lock, the
// error is a *LockedError. If the state isn't the one that the checkpoint covers,
// the error is a *MismatchError or a *RollbackError, and nothing is written.
func (s *Store) Writer(ctx context.Context, export string, h Holder) (*Writer, error) {
	w, err := s.lockExport(export, h)
	if err != nil {
		return nil, err
	}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// lockExport returns a writer that has the lock of an export and no state.
func (s *Store) lockExport(export string, h Holder) (*Writer, error) {
	if !IsExportName(export) {
		return nil, fmt.Errorf("%q is not the name of an export", export)
	}
	w := &Writer{store: s, export: export, holder: h}
	if err := w.makeFolder(); err != nil {
		return nil, err
	}
	lock, err := s.lock(w.path(), export, h, 0)
	if err != nil {
		return nil, err
	}
	w.lock = lock
	w.journal, err = s.openJournal(export, nil)
	return w, err
}

// open verifies the state of the export, and repairs it.
func (w *Writer) open(ctx context.Context) (err error) {
	for _, dir := range []string{filepath.Dir(w.quarantine()), w.quarantine(), w.path(PrunedDir)} {
		if err := checkFolder(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := w.openCheckpoint(); err != nil {
		return err
	}
	if w.journal, err = w.store.openJournal(w.export, w.checkpoint); err != nil {
		return err
	}
	if err := w.checkRollback(w.store.witness.last(w.path())); err != nil {
		return err
	}
	if err := w.openNewest(); err != nil {
		return err
	}
	w.store.witness.saw(w.path(), w.checkpoint)
	if err := w.mend(ctx); err != nil {
		return err
	}
	if err := w.mendErasure(); err != nil {
		return err
	}
	if err := w.repair(); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	return nil
}

// openCheckpoint reads and checks the checkpoint of the export. An export without
// a checkpoint must be empty, and gets one of zero lines.
func (w *Writer) openCheckpoint() error {
	if err := w.store.checkOwnKey(); err != nil {
		return err
	}
	c, err := w.store.Checkpoint(w.export)
	if errors.Is(err, fs.ErrNotExist) {
		if err := w.checkEmpty(); err != nil {
			return err
		}
		return w.cover()
	}
	if err != nil {
		return err
	}
	if err := w.checkKey(c); err != nil {
		return err
	}
	w.checkpoint = c
	return nil
}

// checkEmpty checks that nothing was ever written to the export.
func (w *Writer) checkEmpty() error {
	entries, err := w.readFolder()
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); name != LockFile && name != partial(CheckpointFile) {
			return w.mismatch("its checkpoint is missing, and it has %s", name)
		}
	}
	names, err := snapshotNames(w.quarantine())
	if err == nil && len(names) > 0 {
		err = w.mismatch("its checkpoint is missing, and it has quarantined reads")
	}
	if seen := w.store.witness.last(w.path()); err == nil && seen != nil && seen.Lines > 0 {
		err = &RollbackError{w.export, seen.Head()}
	}
	return err
}

// Watch takes over the checkpoint of an export into the Witness, so that the process
// also detects an older copy after other processes have written to the export. It checks
// what a [Writer] checks: the key of the checkpoint, its last line, and the line that the
// Witness has. The error is the same: a *MismatchError or a *RollbackError.
func (s *Store) Watch(export string) error {
	if s.witness == nil {
		return nil
	}
	w := &Writer{store: s, export: export}
	last := s.witness.last(w.path()) // first: the checkpoint is at least as new
	c, err := s.Checkpoint(export)
	switch {
	case errors.Is(err, fs.ErrNotExist) && last != nil && last.Lines > 0:
		return &RollbackError{export, last.Head()}
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case c.SameAs(last):
		return nil
	}
	if err := w.checkKey(c); err != nil {
		return err
	}
	w.checkpoint = c
	if w.journal, err = s.openJournal(export, c); err != nil {
		return err
	}
	if err := w.checkRollback(last); err != nil {
		return err
	}
	s.witness.sawNewer(w.path(), last, c)
	return nil
}

// mendErasure removes the records of the newest snapshot if a covered line records
// that a person erased them. Retention keeps the newest snapshot. Without this, the
// records would be the base of the next comparison.
func (w *Writer) mendErasure() error {
	if w.newest == nil || w.newest.Erased() {
		return nil
	}
	var erased *Event
	err := w.journal.backwardEvents(func(e Event) (more bool, err error) {
		switch {
		case e.ManifestSHA256 != w.newest.Digest:
		case e.Event == EventPruned:
			erased = &e
			return false, nil
		case e.Event == EventPublished, e.Event == EventAdopted:
			return false, nil
		}
		return true, nil
	})
	if err != nil || erased == nil {
		return err
	}
	if err := w.moveToPruned(erased.Snapshot); err != nil {
		return err
	}
	if err := w.removeRecords(erased.Snapshot, erased.Files); err != nil {
		return err
	}
	return w.newestErased()
}

// repair restores files that derive from evidence and are no evidence: latest,
// and each CSV file of the newest snapshot that is missing or has the wrong size,
// if the records render to the digest in the manifest. It looks only at names and
// sizes. All other damage is left for verify to report.
func (w *Writer) repair() error {
	if w.newest == nil {
		return nil
	}
	for _, r := range w.newest.Recorded() {
		if err := w.repairCSV(w.newest, r); err != nil {
			return err
		}
	}
	return w.repairLatest()
}

// repairLatest makes latest point to the newest snapshot. It leaves a file that
// isn't a link alone.
func (w *Writer) repairLatest() error {
	target, err := os.Readlink(w.path(LatestLink))
	if errors.Is(err, syscall.EINVAL) || err == nil && target == w.newest.Name() || w.newest.Erased() {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := w.relink(w.newest.Name()); err != nil {
		return err
	}
	return w.Journal(Event{Event: EventRepaired, Snapshot: w.newest.Name(), ManifestSHA256: w.newest.Digest, Reason: "restored " + LatestLink})
}

func (w *Writer) repairCSV(snap *Snapshot, r *Resource) error {
	file, listed := snap.Manifest.File(r.CSVFile())
	path := filepath.Join(snap.dir, r.CSVFile())
	info, err := os.Lstat(path)
	switch {
	case !listed || snap.Erased():
		return nil
	case err == nil && (!info.Mode().IsRegular() || info.Size() == file.Bytes):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	temp := w.path(partial(r.CSVFile()))
	digest, err := w.renderCSV(snap, r, temp)
	if err != nil {
		return err
	}
	if digest != file.SHA256 {
		return w.store.files.Remove(temp) // the records are damaged: verify reports it
	}
	fsys := w.store.files
	if err := fsys.Rename(temp, path); err != nil {
		return err
	}
	for _, dir := range []string{snap.dir, w.path()} {
		if err := fsys.SyncDir(dir); err != nil {
			return err
		}
	}
	return w.Journal(Event{Event: EventRepaired, Snapshot: snap.Name(), ManifestSHA256: snap.Digest, Reason: "restored " + r.CSVFile()})
}

// renderCSV renders the records of snap into a new file, syncs it, and returns its
// digest. If the records can't be read, the digest is "".
func (w *Writer) renderCSV(snap *Snapshot, r *Resource, path string) (digest string, err error) {
	f, err := w.store.files.Create(path, w.store.published)
	if err != nil {
		return "", err
	}
	sum := NewDigest()
	out := bufio.NewWriter(io.MultiWriter(f, sum))
	if snap.writeCSV(r, out) == nil {
		err = out.Flush()
		digest = sum.String()
	}
	if err == nil {
		err = f.Sync()
	}
	return digest, errors.Join(err, f.Close())
}

// writeCSV renders the records of s.
func (s *Snapshot) writeCSV(r *Resource, out io.Writer) error {
	records, err := s.Records(r)
	if err != nil {
		return err
	}
	defer records.Close()
	columns, err := render.LearnColumns(Records(records), r.Schema(), s.Manifest.Declared.Resources[r.Name].Attributes)
	if err != nil {
		return err
	}
	named, err := NamedRecords(s, r)
	if err != nil {
		return err
	}
	defer named.Close()
	return render.WriteCSV(out, Records(named), columns)
}

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
	"oktasync/reconcile/snapshot/sign"
)

// Writer is the one writer of an export. It belongs to one goroutine.
type Writer struct {
	store      *Store
	export     string
	holder     Holder
	lock       *lock
	checkpoint *Checkpoint // as on disk
	journal    *journal
	newest     *Snapshot // nil: none yet
	failed     bool      // a step has failed halfway; the next writer repairs the export
}

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
		return nil, errors.Join(fmt.Errorf("write %s: %w", export, err), w.Close())
	}
	return w, nil
}

// lockExport returns a writer that has the lock of an export and no state.
func (s *Store) lockExport(export string, h Holder) (*Writer, error) {
	if !ExportName.MatchString(export) {
		return nil, fmt.Errorf("write %q: not the name of an export", export)
	}
	w := &Writer{store: s, export: export, holder: h}
	if err := w.makeFolder(); err != nil {
		return nil, fmt.Errorf("write %s: %w", export, err)
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
	if err := w.repair(); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	return nil
}

// openNewest opens the newest snapshot that the checkpoint covers.
func (w *Writer) openNewest() error {
	c := w.checkpoint
	if c.Sequence == 0 {
		return nil
	}
	snap, err := w.store.newest(c)
	if err != nil {
		return err
	}
	if err := w.store.checkOrg(&snap.Manifest); err != nil {
		return w.mismatch("its newest snapshot, %s, %v", snap.Name(), err)
	}
	w.newest = snap
	if !snap.Erased() {
		return nil
	}
	covered, err := w.covered()
	if err == nil && covered.Erased()[snap.Digest] == 0 {
		err = w.mismatch("the records of its newest snapshot, %s, are missing, and no covered line of the journal records that they were removed", snap.Name())
	}
	return err
}

// newest returns the newest snapshot that a checkpoint covers. Its records can be
// erased; then its folder is the one in PrunedDir.
func (s *Store) newest(c *Checkpoint) (*Snapshot, error) {
	snap, err := s.Snapshot(c.Export, c.Snapshot)
	if err != nil {
		if erased, erasedErr := ReadFolder(s.Path(c.Export, PrunedDir, c.Snapshot)); erasedErr == nil {
			snap, err = erased, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if snap.Digest != c.ManifestSHA256 {
		return nil, &MismatchError{c.Export, fmt.Sprintf("the manifest of its newest snapshot, %s, isn't the one that its checkpoint covers", c.Snapshot)}
	}
	return snap, nil
}

func (w *Writer) makeFolder() error {
	fsys := w.store.files
	err := fsys.Mkdir(w.path(), w.store.published)
	if errors.Is(err, fs.ErrExist) {
		return w.store.published.applyFolder(w.path())
	}
	if err != nil {
		return err
	}
	return fsys.SyncDir(w.store.dir)
}

// path joins the export's folder and the names below it.
func (w *Writer) path(names ...string) string { return w.store.Path(w.export, names...) }

// readFolder returns the entries of the export's folder.
func (w *Writer) readFolder() ([]fs.DirEntry, error) { return os.ReadDir(w.path()) }

// Journal appends a line to the export's journal. If it returns nil, the line is on
// disk, and the checkpoint covers it, except for started and released: these are
// covered together with the line that ends the run. Journal sets the time, and the
// user if e has none. If an earlier step has failed halfway, Journal does nothing:
// the next writer repairs the export first.
func (w *Writer) Journal(e Event) error {
	if w.failed {
		return nil
	}
	err := w.append(e)
	if err == nil && e.Event != EventStarted && e.Event != EventReleased {
		err = w.cover()
	}
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// append completes e and appends it.
func (w *Writer) append(e Event) error {
	e.Time, e.Export = At(w.store.now()), w.export
	if e.User == "" {
		e.User = w.holder.User
	}
	return w.journal.append(e)
}

// Latest returns the newest snapshot, or nil if there is none.
func (w *Writer) Latest() *Snapshot { return w.newest }

// Head returns the head that the checkpoint covers.
func (w *Writer) Head() Head { return w.checkpoint.Head() }

// Close releases the lock.
func (w *Writer) Close() error {
	var err error
	if w.journal != nil {
		err = w.journal.close()
	}
	return errors.Join(err, w.lock.release())
}

// mendErasure removes the records of the newest snapshot if a covered line records
// that a person erased them. Retention keeps the newest snapshot. Without this, the
// records would be the base of the next comparison.
func (w *Writer) mendErasure() error {
	if w.newest == nil || w.newest.Erased() {
		return nil
	}
	var erased *Event
	digest := w.journal.head
	err := w.journal.backward(func(line []byte) (more bool, err error) {
		e, err := ParseEvent(line)
		if err != nil || DigestOf(line) != digest || e.PreviousLineSHA256 == nil {
			return false, nil // verify reports it
		}
		digest = *e.PreviousLineSHA256
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

// newestErased takes into account that the records of the newest snapshot were removed.
func (w *Writer) newestErased() error {
	w.newest.dir = w.path(PrunedDir, w.newest.Name())
	err := w.store.files.Remove(w.path(LatestLink))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
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

// signedBy returns the fingerprint of a key for a manifest or a checkpoint; nil: there is
// no key.
func signedBy(s *sign.Signer) *string {
	if s == nil {
		return nil
	}
	fingerprint := s.Fingerprint()
	return &fingerprint
}

// sign signs data with the store's own key, if the allowed signers accept it now.
func (s *Store) sign(data []byte, namespace string) ([]byte, error) {
	if err := s.checkOwnKey(); err != nil {
		return nil, err
	}
	return s.signer.Sign(data, namespace)
}

package snapshot

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"oktasync/reconcile/snapshot/render"
)

// Writer is the one writer of an export. It belongs to one goroutine.
type Writer struct {
	store   *Store
	export  string
	holder  Holder
	lock    *lock
	journal *journal
	newest  *Snapshot // nil: none yet
	failed  bool      // a publish has failed, so newest may be wrong
	damaged error     // why nothing can follow the newest snapshot; nil: something can
	noted   *Link     // what the chain has lost, for the journal's line of the failure; nil: nothing
}

// Writer takes the export's lock and mends what an interrupted publish left:
// it finishes it, or sweeps it away. Another's lock is a *LockedError. Where the
// newest snapshot is damaged, nothing is mended, and the Writer is one for the
// journal alone, see Damaged.
func (s *Store) Writer(export string, h Holder) (*Writer, error) {
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
	if err := w.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", export, err), w.Close())
	}
	return w, nil
}

// open reads how things stand, and mends them.
func (w *Writer) open() (err error) {
	if w.journal, err = w.store.openJournal(w.export); err != nil {
		return err
	}
	w.newest, err = w.store.Latest(w.export)
	if err != nil && !errors.Is(err, ErrNoSnapshot) {
		w.damaged = err
		return nil
	}
	err = w.mend()
	if _, ok := errors.AsType[*DamagedError](err); ok {
		w.damaged = err
		return nil
	}
	if err != nil {
		return fmt.Errorf("mend an unfinished publish: %w", err)
	}
	if err := w.repair(); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	if w.lost() == nil {
		w.store.witness.saw(w.path(), w.newest.link())
	}
	return nil
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

// mend brings the export to a state that a finished publish leaves. A crash
// in the midst of it leaves what the next mend can mend.
func (w *Writer) mend() error {
	for _, dir := range []string{filepath.Dir(w.quarantine()), w.quarantine(), w.path(PrunedDir)} {
		if err := checkFolder(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if w.journal.torn {
		if err := w.Journal(Event{Event: EventRepaired, Reason: "cut a torn line off"}); err != nil {
			return err
		}
	}
	swept, err := w.sweep(w.path())
	if err != nil {
		return err
	}
	if _, err := w.sweep(w.quarantine()); err != nil {
		return err
	}
	if err := w.mendPrune(); err != nil {
		return err
	}
	intent := w.journal.seen.Open
	if intent.Event != "" {
		swept = intent.Snapshot
		if w.newest != nil && w.newest.Name() == swept {
			if w.newest.Digest != intent.ManifestSHA256 {
				return &DamagedError{
					Export: w.export, Path: w.path(swept, ManifestFile), Problem: "it is not what the journal has announced",
				}
			}
			return w.finish(w.newest, "finished after an interruption")
		}
	}
	if swept == "" {
		return nil
	}
	return w.Journal(Event{
		Event: EventRepaired, Snapshot: swept, ManifestSHA256: intent.ManifestSHA256,
		Reason: "swept an unfinished publish away",
	})
}

// sweep removes what stands in dir under a partial name, and what was to be
// removed anyway. It returns the name of a folder that was to be.
func (w *Writer) sweep(dir string) (name string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	removed := false
	for _, entry := range entries {
		of, ok := PartialOf(entry.Name())
		_, away := RemovedOf(entry.Name())
		path := filepath.Join(dir, entry.Name())
		switch {
		case away && entry.IsDir():
			err = removeFolder(w.store.files, path)
		case !ok:
			continue
		case entry.IsDir():
			name, err = of, removeFolder(w.store.files, path)
		default:
			err = w.store.files.Remove(path)
		}
		if err != nil {
			return "", err
		}
		removed = true
	}
	if removed {
		err = w.store.files.SyncDir(dir)
	}
	return name, err
}

// partialOf returns the name that a partial one is going to get.
func PartialOf(name string) (string, bool) {
	name, hidden := strings.CutPrefix(name, ".")
	name, ok := strings.CutSuffix(name, partialSuffix)
	return name, hidden && ok
}

// Journal appends a line to the export's journal. When it returns nil the
// line is on disk. The time is now, and the user the holder of the lock
// unless e names another.
func (w *Writer) Journal(e Event) error {
	if err := w.append(e); err != nil {
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
	if e.Event == EventFailed && w.noted != nil {
		e.Snapshot, e.ManifestSHA256 = w.noted.Snapshot, w.noted.ManifestSHA256
	}
	return w.journal.append(e)
}

// Damaged returns why nothing can follow the newest snapshot: it can't be read,
// or is another than the journal has announced. Where it is nil, something can.
func (w *Writer) Damaged() error { return w.damaged }

// Latest returns the newest snapshot, nil where there is none yet.
func (w *Writer) Latest() *Snapshot { return w.newest }

// Close gives up the lock.
func (w *Writer) Close() error {
	var err error
	if w.journal != nil {
		err = w.journal.close()
	}
	return errors.Join(err, w.lock.release())
}

// repair restores files that derive from evidence and are no evidence: latest,
// and each CSV file that is missing or has the wrong size, if the records render
// to the digest in the manifest. It looks only at names and sizes. All other
// damage is left for verify to report.
func (w *Writer) repair() error {
	list, _ := w.store.List(w.export) // an unreadable snapshot isn't repaired
	for _, snap := range list {
		for _, r := range snap.Manifest.Recorded() {
			if err := w.repairCSV(snap, r); err != nil {
				return err
			}
		}
	}
	return w.repairLatest()
}

// repairLatest makes latest point to the newest snapshot. It leaves a file that
// isn't a link alone.
func (w *Writer) repairLatest() error {
	if w.newest == nil {
		return nil
	}
	target, err := os.Readlink(w.path(LatestLink))
	if errors.Is(err, syscall.EINVAL) || err == nil && target == w.newest.Name() {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := w.relink(w.newest.Name()); err != nil {
		return err
	}
	return w.append(Event{Event: EventRepaired, Snapshot: w.newest.Name(), ManifestSHA256: w.newest.Digest, Reason: "restored " + LatestLink})
}

func (w *Writer) repairCSV(snap *Snapshot, r *Resource) error {
	file, listed := snap.Manifest.File(r.CSVFile())
	path := filepath.Join(snap.dir, r.CSVFile())
	info, err := os.Lstat(path)
	switch {
	case !listed:
		return nil
	case err == nil && (!info.Mode().IsRegular() || info.Size() == file.Bytes):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	columns, ok := snap.rendersTo(r, file)
	if !ok {
		return nil
	}
	if err := w.writeCSV(snap, r, columns, w.path(partial(r.CSVFile()))); err != nil {
		return err
	}
	fsys := w.store.files
	if err := fsys.Rename(w.path(partial(r.CSVFile())), path); err != nil {
		return err
	}
	for _, dir := range []string{snap.dir, w.path()} {
		if err := fsys.SyncDir(dir); err != nil {
			return err
		}
	}
	return w.append(Event{Event: EventRepaired, Snapshot: snap.Name(), ManifestSHA256: snap.Digest, Reason: "restored " + r.CSVFile()})
}

// rendersTo reports whether the records of s render to file, and with which
// columns.
func (s *Snapshot) rendersTo(r *Resource, file File) (*render.Columns, bool) {
	records, err := s.Records(r)
	if err != nil {
		return nil, false
	}
	defer records.Close()
	columns, err := render.LearnColumns(Records(records), r.Schema(), s.Manifest.Declared.Resources[r.Name].Attributes)
	if err != nil {
		return nil, false
	}
	again, err := s.Records(r)
	if err != nil {
		return nil, false
	}
	defer again.Close()
	sum := NewDigest()
	err = render.WriteCSV(sum, Records(again), columns)
	return columns, err == nil && sum.String() == file.SHA256
}

// writeCSV renders the records of snap into a file, and syncs it.
func (w *Writer) writeCSV(snap *Snapshot, r *Resource, columns *render.Columns, path string) error {
	records, err := snap.Records(r)
	if err != nil {
		return err
	}
	defer records.Close()
	f, err := w.store.files.Create(path, w.store.published)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	err = render.WriteCSV(out, Records(records), columns)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

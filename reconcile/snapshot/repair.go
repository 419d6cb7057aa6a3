package snapshot

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"oktasync/reconcile/snapshot/render"
)

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

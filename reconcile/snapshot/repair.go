package snapshot

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"oktasync/reconcile/snapshot/render"
)

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
	again, err := s.Records(r)
	if err != nil {
		return err
	}
	defer again.Close()
	return render.WriteCSV(out, Records(again), columns)
}

package snapshot

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// repair restores what can be had again from evidence, and is none itself:
// latest, and each users.csv that is missing or cut short, where the users
// render to the very digest that the manifest names. It looks at names and
// sizes only. All else that is damaged is left as it is, for Verify to tell.
func (w *Writer) repair() error {
	list, _ := w.store.List(w.export) // what can't be read is not repaired
	for _, snap := range list {
		if err := w.repairCSV(snap); err != nil {
			return err
		}
	}
	return w.repairLatest()
}

// repairLatest has latest lead to the newest snapshot. What is no link there
// somebody has put there, and it stays.
func (w *Writer) repairLatest() error {
	if w.newest == nil {
		return nil
	}
	target, err := os.Readlink(w.path(latestLink))
	if errors.Is(err, syscall.EINVAL) || err == nil && target == w.newest.Name() {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := w.relink(w.newest.Name()); err != nil {
		return err
	}
	return w.append(Event{Event: EventRepaired, Snapshot: w.newest.Name(), ManifestSHA256: w.newest.Digest, Reason: "restored " + latestLink})
}

func (w *Writer) repairCSV(snap *Snapshot) error {
	file, listed := snap.Manifest.file(csvFile)
	path := filepath.Join(snap.dir, csvFile)
	info, err := os.Lstat(path)
	switch {
	case !listed:
		return nil
	case err == nil && (!info.Mode().IsRegular() || info.Size() == file.Bytes):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	columns, ok := snap.rendersTo(file)
	if !ok {
		return nil
	}
	if err := w.writeCSV(snap, columns, w.path(partial(csvFile))); err != nil {
		return err
	}
	fsys := w.store.files
	if err := fsys.Rename(w.path(partial(csvFile)), path); err != nil {
		return err
	}
	for _, dir := range []string{snap.dir, w.path()} {
		if err := fsys.SyncDir(dir); err != nil {
			return err
		}
	}
	return w.append(Event{Event: EventRepaired, Snapshot: snap.Name(), ManifestSHA256: snap.Digest, Reason: "restored " + csvFile})
}

// rendersTo reports whether the users of s, as far as they can be read, render
// to file, and with which columns.
func (s *Snapshot) rendersTo(file File) (*Columns, bool) {
	columns := NewColumns(s.Manifest.Declared.Users.Attributes)
	users, err := s.Users()
	if err != nil {
		return nil, false
	}
	defer users.Close()
	if err := each(newDigest(), users, func(_ *bufio.Writer, u User) error { return columns.Add(u.JSON) }); err != nil {
		return nil, false
	}
	again, err := s.Users()
	if err != nil {
		return nil, false
	}
	defer again.Close()
	sum := newDigest()
	err = WriteCSV(sum, again, columns)
	return columns, err == nil && sum.String() == file.SHA256
}

// writeCSV renders the users of snap into a file, and syncs it.
func (w *Writer) writeCSV(snap *Snapshot, columns *Columns, path string) error {
	users, err := snap.Users()
	if err != nil {
		return err
	}
	defer users.Close()
	f, err := w.store.files.Create(path, w.store.published)
	if err != nil {
		return err
	}
	err = WriteCSV(f, users, columns)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

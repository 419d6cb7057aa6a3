package snapshot_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"oktasync/reconcile/snapshot"
)

// A disk is a FileSystem on which one call fails, or ends the process or the
// power. It records changes that aren't synced, so that a power cut can undo them.
type disk struct {
	system   snapshot.FileSystem
	kind     faultKind
	at       int      // the number of the call that fails, from 1; 0: none does
	calls    []string // up to now, of those that can fail in this way
	failed   string   // the call that failed
	stopped  bool
	unsynced []undo

	meanwhile func() // runs before the call, which then doesn't fail
}

// Over sets the file system below d.
func (d *disk) Over(system snapshot.FileSystem) { d.system = system }

type faultKind int

const (
	fails           faultKind = iota // EIO, without effect
	failsAfterwards                  // EIO after the effect
	failsHalfway                     // ENOSPC after half a write
	stopsHalfway                     // the process ends after half a write
	stopsAfter                       // the process ends after the call
	powerCut                         // the same, and unsynced changes are lost
	faultKinds
)

func (k faultKind) String() string {
	return [...]string{
		"EIO", "EIO after success", "short write", "stop amid a write", "stop", "power cut",
	}[k]
}

var errStopped = errors.New("the process has ended")

// An undo undoes a change that isn't synced yet.
type undo struct {
	dir     string    // the changed folder
	file    *diskFile // the changed file in it; nil: the names in the folder
	removes string    // the removed folder
	do      func() error
}

// do makes one call, or fails it. half, if not nil, does half of it.
func (d *disk) do(name string, call, half func() error) error {
	if d.stopped {
		return errStopped
	}
	if half == nil && (d.kind == failsHalfway || d.kind == stopsHalfway) {
		return call()
	}
	if d.calls = append(d.calls, name); len(d.calls) != d.at {
		return call()
	}
	d.failed = name
	if d.meanwhile != nil {
		d.meanwhile()
		return call()
	}
	switch d.kind {
	case fails:
		return syscall.EIO
	case failsAfterwards:
		call()
		return syscall.EIO
	case failsHalfway:
		half()
		return syscall.ENOSPC
	case stopsHalfway:
		half()
	case stopsAfter, powerCut:
		call()
	}
	d.stopped = true
	return errStopped
}

// cut undoes all unsynced changes.
func (d *disk) cut(t testing.TB) {
	t.Helper()
	for _, u := range slices.Backward(d.unsynced) {
		if err := u.do(); err != nil {
			t.Errorf("power cut: %v", err)
		}
	}
	d.unsynced = nil
}

// undo records how to undo a change of the names in the folder of path.
func (d *disk) undo(path string, do func() error) {
	d.unsynced = append(d.unsynced, undo{dir: filepath.Dir(path), do: do})
}

// synced drops the undos that is selects, and those in folders whose removal is
// synced.
func (d *disk) synced(is func(undo) bool) {
	var gone []string
	for _, u := range d.unsynced {
		if is(u) && u.removes != "" {
			gone = append(gone, u.removes)
		}
	}
	d.unsynced = slices.DeleteFunc(d.unsynced, func(u undo) bool { return is(u) || slices.Contains(gone, u.dir) })
}

func (d *disk) Create(path string, a snapshot.Ownership) (f snapshot.OpenFile, err error) {
	err = d.do("create "+filepath.Base(path), func() error {
		f, err = d.system.Create(path, a)
		if err == nil {
			d.undo(path, func() error { return os.RemoveAll(path) })
		}
		return err
	}, nil)
	return d.opened(path, f, err)
}

func (d *disk) Append(path string, a snapshot.Ownership) (f snapshot.OpenFile, err error) {
	err = d.do("append to "+filepath.Base(path), func() error {
		_, missing := os.Lstat(path)
		f, err = d.system.Append(path, a)
		if err == nil && missing != nil {
			d.undo(path, func() error { return os.RemoveAll(path) })
		}
		return err
	}, nil)
	return d.opened(path, f, err)
}

// opened returns f as a file of d, or closes it after an error.
func (d *disk) opened(path string, f snapshot.OpenFile, err error) (snapshot.OpenFile, error) {
	if err != nil && f != nil {
		f.Close()
	}
	if err != nil {
		return nil, err
	}
	return &diskFile{disk: d, path: path, file: f}, nil
}

func (d *disk) Open(path string) (r io.ReadCloser, err error) {
	err = d.do("open "+filepath.Base(path), func() error {
		r, err = d.system.Open(path)
		return err
	}, nil)
	if err != nil && r != nil {
		r.Close()
	}
	return r, err
}

func (d *disk) Mkdir(path string, a snapshot.Ownership) error {
	return d.do("mkdir "+filepath.Base(path), func() error {
		err := d.system.Mkdir(path, a)
		if err == nil {
			d.undo(path, func() error { return os.RemoveAll(path) })
		}
		return err
	}, nil)
}

func (d *disk) Rename(from, to string) error {
	return d.do("rename "+filepath.Base(from), func() error {
		restore, missing := remake(to)
		err := d.system.Rename(from, to)
		if err == nil {
			d.undo(from, func() error {
				if err := os.Rename(to, from); err != nil || missing != nil {
					return err
				}
				return restore()
			})
		}
		return err
	}, nil)
}

func (d *disk) Symlink(target, path string, a snapshot.Ownership) error {
	return d.do("symlink "+filepath.Base(path), func() error {
		err := d.system.Symlink(target, path, a)
		if err == nil {
			d.undo(path, func() error { return os.RemoveAll(path) })
		}
		return err
	}, nil)
}

func (d *disk) Remove(path string) error {
	return d.do("remove "+filepath.Base(path), func() error {
		again, err := remake(path)
		if err == nil {
			err = d.system.Remove(path)
		}
		if err == nil {
			d.unsynced = append(d.unsynced, undo{dir: filepath.Dir(path), removes: path, do: again})
		}
		return err
	}, nil)
}

// remake returns a function that creates the file, link or empty folder in path
// again.
func remake(path string) (func() error, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		return func() error { return os.Mkdir(path, info.Mode().Perm()) }, nil
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		return func() error { return os.Symlink(target, path) }, err
	}
	data, err := os.ReadFile(path)
	return func() error { return os.WriteFile(path, data, info.Mode().Perm()) }, err
}

func (d *disk) SyncDir(path string) error {
	return d.do("sync folder "+filepath.Base(path), func() error {
		d.synced(func(u undo) bool { return u.file == nil && u.dir == path })
		return nil
	}, nil)
}

// A diskFile is an open file of a disk.
type diskFile struct {
	disk *disk
	path string
	file snapshot.OpenFile
}

func (f *diskFile) Write(p []byte) (n int, err error) {
	write := func(p []byte) error {
		f.undoTail()
		n, err = f.file.Write(p)
		return err
	}
	err = f.disk.do("write "+filepath.Base(f.path),
		func() error { return write(p) },
		func() error { return write(p[:len(p)/2]) })
	return n, err
}

func (f *diskFile) Truncate(size int64) error {
	return f.disk.do("truncate "+filepath.Base(f.path), func() error {
		f.undoTail()
		return f.file.Truncate(size)
	}, nil)
}

// undoTail records the content of the file for an undo.
func (f *diskFile) undoTail() {
	data, err := os.ReadFile(f.path)
	f.disk.unsynced = append(f.disk.unsynced, undo{dir: filepath.Dir(f.path), file: f, do: func() error {
		return errors.Join(err, os.WriteFile(f.path, data, 0))
	}})
}

func (f *diskFile) Sync() error {
	return f.disk.do("sync "+filepath.Base(f.path), func() error {
		f.disk.synced(func(u undo) bool { return u.file == f })
		return nil
	}, nil)
}

// Close also closes the file after the end of the process, as the system does.
func (f *diskFile) Close() error {
	err := f.disk.do("close "+filepath.Base(f.path), func() error { return nil }, nil)
	return errors.Join(err, f.file.Close())
}

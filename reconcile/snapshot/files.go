package snapshot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// fileSystem is what writing needs of the file system. It is narrow so that a
// test can fail each of its calls in turn, and stop after each of them.
type fileSystem interface {
	Create(path string, a access) (file, error) // for writing; the path must be free
	Append(path string, a access) (file, error) // made where it is missing
	Open(path string) (io.ReadCloser, error)
	Mkdir(path string, a access) error
	Rename(from, to string) error
	Symlink(target, path string, a access) error
	Remove(path string) error
	SyncDir(path string) error
}

// file is an open file of a fileSystem.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// access says who may use a new file or folder. The umask has no say in it.
type access struct {
	file, dir fs.FileMode
	uid, gid  int // -1: as the system sets it
}

// osFiles is the fileSystem of the system.
type osFiles struct{}

func (osFiles) Create(path string, a access) (file, error) {
	return openFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, a)
}

func (osFiles) Append(path string, a access) (file, error) {
	return openFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, a)
}

func openFile(path string, flags int, a access) (file, error) {
	f, err := openPlain(path, flags, a.file)
	if err != nil {
		return nil, err
	}
	if err := a.apply(f, a.file); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (osFiles) Open(path string) (io.ReadCloser, error) { return openPlain(path, os.O_RDONLY, 0) }

func (osFiles) Mkdir(path string, a access) error {
	if err := os.Mkdir(path, a.dir.Perm()); err != nil {
		return err
	}
	return a.applyFolder(path)
}

func (osFiles) Rename(from, to string) error { return os.Rename(from, to) }

func (osFiles) Symlink(target, path string, a access) error {
	if err := os.Symlink(target, path); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil || a.owns(info) {
		return err
	}
	return os.Lchown(path, a.uid, a.gid)
}

func (osFiles) Remove(path string) error { return os.Remove(path) }

// SyncDir makes the names in a folder last. A file system that has no such
// thing for folders says EINVAL or ENOTSUP, and then nothing more can be done.
func (osFiles) SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, dir.Close())
}

// apply gives an open file or folder its owner, its group and mode, in this
// order: a change of owner takes the setgid bit away. It goes by the descriptor:
// by now the path may lead elsewhere.
func (a access) apply(f *os.File, mode fs.FileMode) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !a.owns(info) {
		if err := f.Chown(a.uid, a.gid); err != nil {
			return err
		}
		if info, err = f.Stat(); err != nil {
			return err
		}
	}
	if info.Mode()&(fs.ModePerm|fs.ModeSetgid) == mode {
		return nil
	}
	return f.Chmod(mode)
}

// applyFolder applies a to a folder, and refuses a link to one.
func (a access) applyFolder(path string) error {
	dir, err := openFolder(path)
	if err != nil {
		return err
	}
	return errors.Join(a.apply(dir, a.dir), dir.Close())
}

// owns reports whether a file has its owner and its group.
func (a access) owns(info fs.FileInfo) bool {
	uid, gid := owner(info)
	return (a.uid < 0 || a.uid == uid) && (a.gid < 0 || a.gid == gid)
}

// owner returns the user and the group that a file belongs to.
func owner(info fs.FileInfo) (uid, gid int) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid), int(stat.Gid)
	}
	return -1, -1
}

// removeFolder removes a folder of plain files, if it is there.
func removeFolder(fsys fileSystem, dir string) error {
	err := checkFolder(dir)
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
	for _, entry := range entries {
		if err := fsys.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return fsys.Remove(dir)
}

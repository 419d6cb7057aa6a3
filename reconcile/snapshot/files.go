package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"oktasync/reconcile/snapshot/tempfile"
)

// A fileSystem is the part of the file system that writers use. A test can fail each
// call, and stop after it.
type fileSystem interface {
	Create(path string, a ownership) (file, error) // for writing; the path must be free
	Append(path string, a ownership) (file, error) // creates a missing file
	Open(path string) (io.ReadCloser, error)
	Mkdir(path string, a ownership) error
	Rename(from, to string) error
	Symlink(target, path string, a ownership) error
	Remove(path string) error
	SyncDir(path string) error
}

// file is an open file of a fileSystem.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// ownership is the owner and the modes of new files and folders. The umask has no effect.
type ownership struct {
	file, dir fs.FileMode
	uid, gid  int // -1: as the system sets it
}

// osFiles is the fileSystem of the operating system, for the store in dir. The owner
// of a store can replace a folder with a link between two calls, and root must not
// follow it out of the store. So each call opens the store's folder with os.Root,
// which rejects such links. No folder stays open, because a store can be moved and
// replaced.
type osFiles struct{ dir string }

// in calls do with the store's folder and the name of path in it. If path isn't in the
// folder, it returns an error.
func (o osFiles) in(path string, do func(root *os.Root, name string) error) error {
	name, err := filepath.Rel(o.dir, path)
	if err != nil || name == "." || !filepath.IsLocal(name) {
		return fmt.Errorf("%s is not in %s", path, o.dir)
	}
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return err
	}
	return errors.Join(do(root, name), root.Close())
}

func (o osFiles) Create(path string, a ownership) (file, error) {
	return o.open(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, a)
}

func (o osFiles) Append(path string, a ownership) (file, error) {
	return o.open(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, a)
}

func (o osFiles) open(path string, flags int, a ownership) (file, error) {
	var f *os.File
	err := o.in(path, func(root *os.Root, name string) (err error) {
		if f, err = openPlainIn(root, name, flags, a); err == nil {
			err = a.apply(f, a.file)
		}
		return err
	})
	if err != nil && f != nil {
		f.Close()
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (o osFiles) Open(path string) (io.ReadCloser, error) { return OpenPlain(path) }

func (o osFiles) Mkdir(path string, a ownership) error {
	if path == o.dir {
		if err := os.Mkdir(path, a.dir.Perm()); err != nil {
			return err
		}
		return a.applyFolder(path)
	}
	return o.in(path, func(root *os.Root, name string) error {
		if err := root.Mkdir(name, a.dir.Perm()); err != nil {
			return err
		}
		dir, err := openFolderIn(root, name)
		if err != nil {
			return err
		}
		return errors.Join(a.apply(dir, a.dir), dir.Close())
	})
}

func (o osFiles) Rename(from, to string) error {
	return o.in(from, func(root *os.Root, name string) error {
		target, err := filepath.Rel(o.dir, to)
		if err != nil {
			return err
		}
		return root.Rename(name, target)
	})
}

func (o osFiles) Symlink(target, path string, a ownership) error {
	return o.in(path, func(root *os.Root, name string) error {
		if err := root.Symlink(target, name); err != nil {
			return err
		}
		info, err := root.Lstat(name)
		if err != nil || a.owns(info) {
			return err
		}
		return root.Lchown(name, a.uid, a.gid)
	})
}

func (o osFiles) Remove(path string) error {
	return o.in(path, func(root *os.Root, name string) error { return root.Remove(name) })
}

// SyncDir syncs the names in a folder. It ignores EINVAL and ENOTSUP, the errors of
// file systems that can't sync folders.
func (o osFiles) SyncDir(path string) error {
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

// apply sets the owner, group and mode of an open file or folder. The mode comes last,
// because a change of owner clears the setgid bit. apply uses the descriptor, because
// the path may be another file by now.
func (a ownership) apply(f *os.File, mode fs.FileMode) error {
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

// applyFolder applies a to a folder. It rejects a link.
func (a ownership) applyFolder(path string) error {
	dir, err := openFolder(path)
	if err != nil {
		return err
	}
	return errors.Join(a.apply(dir, a.dir), dir.Close())
}

// owns reports whether a file has the owner and group of a.
func (a ownership) owns(info fs.FileInfo) bool {
	uid, gid := owner(info)
	return (a.uid < 0 || a.uid == uid) && (a.gid < 0 || a.gid == gid)
}

// owner returns the owner and group of a file.
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
		remove := fsys.Remove
		if entry.IsDir() { // a writer makes none, but another user of the store can
			remove = func(path string) error { return removeFolder(fsys, path) }
		}
		if err := remove(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return fsys.Remove(dir)
}

// TempFile returns a new file without a name in dir, see tempfile.Create.
func TempFile(dir string) (*os.File, error) { return tempfile.Create(dir) }

var (
	ErrNotPlain  = errors.New("is not a regular file")
	errNotFolder = errors.New("is not a folder")
	errForeign   = errors.New("is a hard link or belongs to a third user, so root doesn't write to it: replace it with a copy that the store's owner owns")
)

// OpenPlain opens a regular file of a store for reading. It rejects symbolic links and
// FIFOs, which the owner of a store can put in its place. Opening a FIFO could block.
func OpenPlain(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	return plainFile(path, f, err)
}

// openPlainIn opens a plain file within root for writing. No path leads out of root.
func openPlainIn(root *os.Root, name string, flags int, a ownership) (*os.File, error) {
	path := filepath.Join(root.Name(), name)
	if info, err := root.Lstat(name); err == nil && flags&os.O_EXCL == 0 && info.Mode().Type() == fs.ModeSymlink {
		return nil, &fs.PathError{Op: "open", Path: path, Err: ErrNotPlain} // os.Root would follow it
	}
	f, err := root.OpenFile(name, flags|syscall.O_NONBLOCK, a.file)
	if f, err = plainFile(path, f, err); err != nil {
		return nil, err
	}
	if err := a.checkOwner(f); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "open", Path: path, Err: err}, f.Close())
	}
	return f, nil
}

// checkOwner rejects a file that root must not write to in another user's store.
// This user can link any file into the store.
func (a ownership) checkOwner(f *os.File) error {
	if a.uid < 0 {
		return nil // not root, or root's own store
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && (stat.Nlink > 1 || stat.Uid != 0 && int(stat.Uid) != a.uid) {
		return errForeign
	}
	return nil
}

// plainFile closes and rejects an opened file that isn't a regular file.
func plainFile(path string, f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, plainError(path, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotPlain}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// plainError returns an error of open with O_NOFOLLOW and O_NONBLOCK in words.
func plainError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ELOOP), // a symbolic link
		errors.Is(err, syscall.ENXIO), // a FIFO without a reader, a socket
		errors.Is(err, syscall.EISDIR):
		return &fs.PathError{Op: "open", Path: path, Err: ErrNotPlain}
	}
	return err
}

// openFolder opens a folder of a store. It rejects a link.
func openFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		err = &fs.PathError{Op: "open", Path: path, Err: errNotFolder}
	}
	return f, err
}

// openFolderIn is openFolder within root.
func openFolderIn(root *os.Root, name string) (*os.File, error) {
	if info, err := root.Lstat(name); err == nil && !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(root.Name(), name), Err: errNotFolder}
	}
	return root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
}

// checkFolder rejects an existing path that isn't a folder.
func checkFolder(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: path, Err: errNotFolder}
	}
	return err
}

// ReadBounded reads a regular file of a store with at most most bytes.
func ReadBounded(path string, most int64) ([]byte, error) {
	f, err := OpenPlain(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAtMost(f, most)
}

// readAtMost reads r, which has at most most bytes.
func readAtMost(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("larger than %d bytes", most)
	}
	return data, err
}

// Existing returns path if it exists, or the nearest folder above it that exists.
func Existing(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && info.IsDir():
			return path, nil
		case err == nil:
			return "", &fs.PathError{Op: "open", Path: path, Err: errNotFolder}
		case !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return "", err
		}
		path = filepath.Dir(path)
	}
}

package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

var (
	ErrNotPlain  = errors.New("is no plain file")
	errNotFolder = errors.New("is no folder")
)

// OpenPlain opens a plain file of a store for reading. Whoever owns the store can put
// anything in its place: a symbolic link, by which root would write elsewhere,
// or a FIFO, on which an open never ends. Both are refused.
func OpenPlain(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	return plainFile(path, f, err)
}

// openPlainIn opens a plain file within root, which no path leads out of.
func openPlainIn(root *os.Root, name string, flags int, mode fs.FileMode) (*os.File, error) {
	path := filepath.Join(root.Name(), name)
	if info, err := root.Lstat(name); err == nil && flags&os.O_EXCL == 0 && info.Mode().Type() == fs.ModeSymlink {
		return nil, &fs.PathError{Op: "open", Path: path, Err: ErrNotPlain} // which root would follow
	}
	f, err := root.OpenFile(name, flags|syscall.O_NONBLOCK, mode)
	return plainFile(path, f, err)
}

// plainFile refuses what was opened and is no plain file.
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

// plainError is what an open with O_NOFOLLOW and O_NONBLOCK says, in the words
// of a person.
func plainError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ELOOP), // a symbolic link
		errors.Is(err, syscall.ENXIO), // a FIFO that nobody reads, a socket
		errors.Is(err, syscall.EISDIR):
		return &fs.PathError{Op: "open", Path: path, Err: ErrNotPlain}
	}
	return err
}

// openFolder opens a folder of a store, and no link to one.
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

// checkFolder refuses what stands in the place of a folder.
func checkFolder(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: path, Err: errNotFolder}
	}
	return err
}

// readBounded reads a plain file of a store that is not larger than most.
func ReadBounded(path string, most int64) ([]byte, error) {
	f, err := OpenPlain(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAtMost(f, most)
}

// readAtMost reads what is not larger than most.
func readAtMost(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("larger than %d bytes", most)
	}
	return data, err
}

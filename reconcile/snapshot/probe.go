package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Probe says why a store of org could not be opened for writing in dir, and
// leaves nothing there: what it makes to see whether it may, it removes.
func Probe(dir string, org Org, o Options) error {
	s := newStore(dir, o)
	err := s.load()
	switch {
	case errors.Is(err, ErrNoStore):
		err = s.checkEmpty()
	case err == nil && s.meta.Org.URL != org.URL:
		return &OrgError{Dir: dir, Store: s.meta.Org, Want: org}
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = s.probeFolder()
	}
	if err != nil {
		return fmt.Errorf("open store %s: %w", dir, err)
	}
	return nil
}

// probeFolder makes a folder where the store's own would be written to, as the
// store makes them, and removes it again.
func (s *Store) probeFolder() error {
	dir, err := Existing(s.dir)
	if err != nil {
		return err
	}
	made, err := os.MkdirTemp(dir, ".probe-")
	if err != nil {
		return err
	}
	err = s.published.applyFolder(made)
	return errors.Join(err, os.Remove(made))
}

// Existing returns path, or the nearest folder above it that is there.
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

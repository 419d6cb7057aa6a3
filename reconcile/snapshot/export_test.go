package snapshot

import "time"

// The seam of publishing, for tests that make its calls fail.
type (
	FileSystem = fileSystem
	OpenFile   = file
	Access     = access
)

// SystemFiles are the files that a store writes where nobody interferes.
var SystemFiles FileSystem = osFiles{}

// WriteThrough makes s write through files.
func (s *Store) WriteThrough(files FileSystem) { s.files = files }

// SetClock sets the clock of s, which is this machine's.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

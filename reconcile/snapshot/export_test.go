package snapshot

import "time"

// The file system behind a store, for tests that make its calls fail.
type (
	FileSystem = fileSystem
	OpenFile   = file
	Ownership  = ownership
)

// WriteThrough makes s write through files, and passes it the file system of the
// store.
func (s *Store) WriteThrough(files interface {
	FileSystem
	Over(FileSystem)
}) {
	files.Over(osFiles{s.dir})
	s.files = files
}

// SetClock sets the clock of s.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

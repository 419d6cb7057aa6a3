package snapshot

import (
	"bytes"
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

// A Shape tells users in canonical form from others.
type Shape struct{ shape shape }

// Read reads a user.
func (s *Shape) Read(user []byte) error { return s.shape.read(append(bytes.Clone(user), '\n')) }

// CheckCSV reports whether file is what users render to, as Verify does.
func CheckCSV(users []User, attrs Attributes, file []byte) (bool, error) {
	c := newCSVCheck(NewColumns(attrs), bytes.NewReader(file))
	for _, user := range users {
		if err := c.columns.read(user.JSON); err != nil {
			return false, err
		}
		c.add()
	}
	return c.end()
}

// Sign is what s writes beside a manifest.
func (s *Signer) Sign(manifest []byte) ([]byte, error) { return s.sign(manifest) }

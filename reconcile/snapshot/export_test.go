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

// SystemFiles are the files that a store writes where nobody interferes.
var SystemFiles FileSystem = osFiles{}

// WriteThrough makes s write through files.
func (s *Store) WriteThrough(files FileSystem) { s.files = files }

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

package snapshot

// A User is one user of a snapshot or a reading.
type User struct {
	ID   []byte
	JSON []byte // canonical, one line without its line feed
}

// UserReader yields users in ascending order of the bytes of their ids, each
// id once. It is used by one goroutine at a time.
type UserReader interface {
	// Next returns the next user, valid until the following call, or io.EOF
	// after the last one. Any other error ends the reading as incomplete.
	Next() (User, error)
	Close() error
}

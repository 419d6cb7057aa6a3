package diff

// A Record is one record of a resource.
type Record struct {
	Key  []byte // the values of its key, see Rules.Key
	JSON []byte // canonical, one line without its line feed
}

// Reader returns records in ascending order of the bytes of their keys, each key
// once. It isn't safe for concurrent use.
type Reader interface {
	// Next returns the next record, valid until the following call, or io.EOF
	// after the last one. Any other error means that the sequence is incomplete.
	Next() (Record, error)
	Close() error
}

package diff

import (
	"bytes"
	"io"
)

// A Lookup finds records of a Reader by ascending keys, in one pass.
type Lookup struct {
	records Reader
	current Record
	began   bool
	err     error // of records; io.EOF: it has ended
}

// NewLookup returns a Lookup in records. It doesn't close them.
func NewLookup(records Reader) *Lookup { return &Lookup{records: records} }

// Find returns the JSON of the record with this key, valid until the following call,
// or nil if there is none. A key must not be lower than the one before.
func (l *Lookup) Find(key []byte) ([]byte, error) {
	for l.err == nil && (!l.began || bytes.Compare(l.current.Key, key) < 0) {
		l.began = true
		l.current, l.err = l.records.Next()
	}
	switch {
	case l.err != nil && l.err != io.EOF:
		return nil, l.err
	case l.err == nil && bytes.Equal(l.current.Key, key):
		return l.current.JSON, nil
	}
	return nil, nil
}

// Exists reports whether there is a record with this key, see Find.
func (l *Lookup) Exists(key []byte) (bool, error) {
	record, err := l.Find(key)
	return record != nil, err
}

// Finish reads the remaining records. A Reader that checks its content at the end can then
// return its error.
func (l *Lookup) Finish() error {
	for l.err == nil {
		l.current, l.err = l.records.Next()
	}
	if l.err == io.EOF {
		return nil
	}
	return l.err
}

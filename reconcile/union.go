package reconcile

import (
	"bytes"
	"io"

	"oktasync/reconcile/snapshot/diff"
)

// selected reads the edges of some parents.
type selected struct {
	diff.Reader
	selects func(parent string) bool
	parent  []byte // of the last record; nil: there was none
	passes  bool   // the parent is selected
}

func (r *selected) Next() (diff.Record, error) {
	for {
		record, err := r.Reader.Next()
		if err != nil {
			return record, err
		}
		if parent, _, _ := bytes.Cut(record.Key, zero); r.parent == nil || !bytes.Equal(parent, r.parent) {
			r.parent = append(r.parent[:0], parent...)
			r.passes = r.selects(string(parent))
		}
		if r.passes {
			return record, nil
		}
	}
}

// union reads the records of two readers, which have no key in common, in the order of
// the keys.
type union struct {
	readers [2]diff.Reader
	records [2]diff.Record // the next one of each
	errs    [2]error       // instead of a record
	began   bool
	last    int // the reader whose record was returned
}

func (u *union) Next() (diff.Record, error) {
	for i, r := range u.readers {
		if (!u.began || i == u.last) && u.errs[i] == nil {
			u.records[i], u.errs[i] = r.Next()
		}
	}
	u.began = true
	for _, err := range u.errs {
		if err != nil && err != io.EOF {
			return diff.Record{}, err
		}
	}
	switch a, b := u.records[0].Key, u.records[1].Key; {
	case u.errs[0] == io.EOF && u.errs[1] == io.EOF:
		return diff.Record{}, io.EOF
	case u.errs[1] == io.EOF, u.errs[0] == nil && bytes.Compare(a, b) < 0:
		u.last = 0
	default:
		u.last = 1
	}
	return u.records[u.last], nil
}

func (u *union) Close() error { return u.readers[1].Close() }

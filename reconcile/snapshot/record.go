package snapshot

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/edges"
)

// A member of an edge: its name, and the member of Okta's object from which it comes.
type member struct {
	name   string
	in     string // the object in Okta's object that contains from; "": from is a member of Okta's object
	from   string
	parent bool // it is the id of the parent
}

// A recorder has the buffers of one call of Record.
type recorder struct {
	canonical []byte
	allowed   *canonjson.Projector
	values    [][]byte // by index in Resource.members
}

// Record appends the record of an object to dst, in canonical form. object is what
// Okta sent, and parent is the id of the record in whose list it was; "" for a
// resource without a parent. Only the allowed members are appended. If Record fails,
// it returns dst unchanged. It is safe for concurrent use.
func (r *Resource) Record(dst []byte, parent string, object []byte) ([]byte, error) {
	if len(r.Allowed) == 0 && r.members == nil {
		return canonjson.Canonical(dst, object)
	}
	b, _ := r.pool.Get().(*recorder)
	if b == nil {
		b = &recorder{
			allowed: canonjson.Attributes{Include: r.Allowed}.Projector(nil),
			values:  make([][]byte, len(r.members)),
		}
	}
	defer r.pool.Put(b)
	if len(r.members) == len(r.Key) {
		return r.ends(dst, parent, object, b)
	}
	var err error
	if b.canonical, err = canonjson.Canonical(b.canonical[:0], object); err != nil {
		return dst, err
	}
	if r.members == nil {
		return b.allowed.Project(dst, b.canonical)
	}
	if err := r.collect(b); err != nil {
		return dst, err
	}
	return r.edge(dst, parent, b)
}

// ends appends an edge that consists of its ends. It reads only the id of the object.
func (r *Resource) ends(dst []byte, parent string, object []byte, b *recorder) ([]byte, error) {
	for i, m := range r.members {
		if m.parent {
			continue
		}
		var err error
		if b.canonical, err = canonjson.FindRaw(b.canonical[:0], object, m.from); err != nil {
			return dst, err
		}
		if b.values[i] = b.canonical; len(b.canonical) == 0 {
			b.values[i] = nil
		}
	}
	return r.edge(dst, parent, b)
}

// collect sets the values of b to those of the object in its canonical form.
func (r *Resource) collect(b *recorder) error {
	clear(b.values)
	object := canonjson.MembersOf(b.canonical)
	for object.Next() {
		for i := range r.members {
			m := &r.members[i]
			var err error
			switch {
			case m.in == "" && string(object.Name) == m.from && !m.parent:
				b.values[i] = object.Value
			case m.in != "" && string(object.Name) == m.in && canonjson.IsObject(object.Value):
				b.values[i], err = canonjson.Find(object.Value, m.from)
			}
			if err != nil {
				return err
			}
		}
	}
	return object.Err
}

// edge appends an edge with the values of b.
func (r *Resource) edge(dst []byte, parent string, b *recorder) ([]byte, error) {
	start := len(dst)
	dst = append(dst, '{')
	for i, m := range r.members {
		if !m.parent && b.values[i] == nil {
			continue
		}
		if len(dst) > start+1 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), m.name...), `":`...)
		if !m.parent {
			dst = append(dst, b.values[i]...)
			continue
		}
		var err error
		if dst, err = jsontext.AppendQuote(dst, parent); err != nil {
			return dst[:start], fmt.Errorf("the id of the %s: %w", r.Parent.Noun, err)
		}
	}
	return append(dst, '}'), nil
}

// A Source has the records of several resources: a snapshot, or a quarantined read.
type Source interface {
	Recorded() []*Resource
	Records(*Resource) (diff.Reader, error)
}

// OpenParents opens the parents of the records of r in s, and sets rules.ParentExists
// accordingly. Without parents, it does nothing. The caller must call the returned
// function after the comparison.
func OpenParents(s Source, r *Resource, rules *diff.Rules) (closeParents func() error, err error) {
	if r.Parent == nil {
		return func() error { return nil }, nil
	}
	parents, err := s.Records(r.Parent)
	if err != nil {
		return nil, err
	}
	rules.ParentExists = diff.NewLookup(parents).Exists
	return parents.Close, nil
}

// Joiner returns a Joiner for the edges of r in s. The caller must close it.
func Joiner(s Source, r *Resource) *edges.Joiner {
	end := func(of *Resource) edges.End {
		e := edges.End{Label: of.Label.Path, Member: of.Beside}
		if slices.Contains(s.Recorded(), of) {
			e.Open = func() (diff.Reader, error) { return s.Records(of) }
		}
		return e
	}
	return edges.New(func() (diff.Reader, error) { return s.Records(r) }, end(r.Parent), end(r.Other))
}

// NamedRecords opens the records of a resource as they are rendered: edges with the
// names of their ends.
func NamedRecords(s Source, r *Resource) (diff.Reader, error) {
	records, err := s.Records(r)
	if err != nil || r.Other == nil {
		return records, err
	}
	return &namedRecords{Reader: records, joiner: Joiner(s, r)}, nil
}

type namedRecords struct {
	diff.Reader
	joiner *edges.Joiner
	json   []byte
}

func (n *namedRecords) Next() (diff.Record, error) {
	record, err := n.Reader.Next()
	if err == io.EOF {
		err = cmp.Or(n.joiner.Finish(), err)
	}
	if err == nil {
		err = n.joiner.Next(record.Key)
	}
	if err == nil {
		n.json, err = n.joiner.Append(n.json[:0], record.JSON)
		record.JSON = n.json
	}
	return record, err
}

func (n *namedRecords) Close() error { return errors.Join(n.joiner.Close(), n.Reader.Close()) }

// countedRecords passes the keys of edges to a counter.
type countedRecords struct {
	diff.Reader
	counter *edges.Counter
}

func (c countedRecords) Next() (diff.Record, error) {
	record, err := c.Reader.Next()
	if err == nil {
		c.counter.Add(record.Key)
	}
	return record, err
}

// A Digest is the SHA-256 and the size of what is written to it.
type Digest struct {
	sum   hash.Hash
	Bytes int64
}

// NewDigest returns an empty Digest.
func NewDigest() *Digest { return &Digest{sum: sha256.New()} }

// Write adds p. It never fails.
func (d *Digest) Write(p []byte) (int, error) {
	d.Bytes += int64(len(p))
	return d.sum.Write(p)
}

// String returns the digest in lower-case hex.
func (d *Digest) String() string { return hex.EncodeToString(d.sum.Sum(nil)) }

// DigestOf returns the SHA-256 of data in lower-case hex.
func DigestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

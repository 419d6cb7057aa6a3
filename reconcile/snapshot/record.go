package snapshot

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/edges"
)

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

// OpenParents opens the parents of the records of r in s, and sets rules.Parents
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
	rules.Parents = diff.NewLookup(parents)
	return parents.Close, nil
}

// Joiner returns a Joiner for the records of r, which has a parent, in s. The caller must close it.
func Joiner(s Source, r *Resource) *edges.Joiner {
	return edges.New(func() (diff.Reader, error) { return s.Records(r) }, endNamed(s, r.Parent), endNamed(s, r.Other))
}

func endNamed(s Source, r *Resource) (e edges.End) {
	if r != nil {
		e.Label, e.Member = r.Label.Path, r.Beside
	}
	if slices.Contains(s.Recorded(), r) {
		e.Open = func() (diff.Reader, error) { return s.Records(r) }
	}
	return e
}

// NamedRecords opens the records of a resource as they are rendered: with the names of
// the parent and of the other end, if there are any, and of the holders of admin roles.
func NamedRecords(s Source, r *Resource) (diff.Reader, error) {
	records, err := s.Records(r)
	switch {
	case err != nil:
		return nil, err
	case r.Parent != nil:
		return &namedRecords{Reader: records, joiner: Joiner(s, r)}, nil
	case len(r.holders) > 0:
		return &edges.Holders{Assignments: records, Users: endNamed(s, Users), Groups: endNamed(s, Groups), Apps: endNamed(s, Apps), Members: endNamed(s, GroupMembers).Open}, nil
	}
	return records, nil
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

// summedRecords passes edges to sums.
type summedRecords struct {
	diff.Reader
	sums *edges.Sums
}

func (s summedRecords) Next() (diff.Record, error) {
	record, err := s.Reader.Next()
	if err == nil {
		s.sums.Add(record.Key, record.JSON)
	}
	return record, err
}

// Records returns the JSON of the records of r, up to its end or the first error.
func Records(r diff.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			record, err := r.Next()
			if err == io.EOF || !yield(record.JSON, err) || err != nil {
				return
			}
		}
	}
}

const (
	window       = 1 << 20 // bytes before the current one that the compression refers to
	maxWindow    = 8 << 20 // the same, of edges
	maxExpansion = 1000    // uncompressed bytes for each compressed one, see MaxContent
)

var errExpansion = fmt.Errorf("its content is more than %d times as large as the file", maxExpansion)

// MaxContent returns how many bytes a compressed file of this size may contain. So
// the work of a reader is bounded by the size of what it reads.
func MaxContent(packed int64) int64 { return 4*MaxLine + maxExpansion*packed }

// recordReader reads the records of one resource from a compressed file.
type recordReader struct {
	resource *Resource
	file     io.Closer
	wrap     func(error) error // adds the export and path to an error; nil: the caller does
	total    int               // expected records; -1: unknown
	content  io.ReadCloser
	sum      *Digest // of what was read of the file; nil: not computed
	sha256   string  // expected digest of the file
	lines    *LineReader
	key      []byte // of the last record
	next     []byte
}

// openRecords opens the total records in dir, in a file with the digest sha256. They
// belong to an export, or to a quarantined read if export is "". The end of the
// records is an error unless both are right.
func openRecords(dir, export string, r *Resource, total int, sha256 string) (*recordReader, error) {
	f, wrap, err := openFile(dir, export, r.RecordsFile())
	if err != nil {
		return nil, err
	}
	sum := NewDigest()
	u, err := newRecordReader(io.TeeReader(f, sum), r)
	if err != nil {
		f.Close()
		return nil, err
	}
	u.file, u.wrap, u.total, u.sum, u.sha256 = f, wrap, total, sum, sha256
	return u, nil
}

// newRecordReader reads records from the compressed file r in the calling
// goroutine. It keeps one window and one line in memory.
func newRecordReader(r io.Reader, resource *Resource) (*recordReader, error) {
	content, err := Decompress(r)
	if err != nil {
		return nil, err
	}
	return recordsIn(content, resource), nil
}

func recordsIn(content io.ReadCloser, r *Resource) *recordReader {
	return &recordReader{resource: r, content: content, lines: NewLineReader(content), total: -1}
}

// RecordsIn reads the records of a resource from the content of its file.
func RecordsIn(content io.ReadCloser, r *Resource) diff.Reader { return recordsIn(content, r) }

// Decompress returns the content of a compressed file of records. It uses a bounded
// amount of memory. Content larger than MaxContent is an error.
func Decompress(packed io.Reader) (io.ReadCloser, error) {
	d := &decompressor{packed: packed}
	var err error
	d.decoder, err = zstd.NewReader((*packedReader)(d), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	return d, err
}

type decompressor struct {
	decoder      *zstd.Decoder
	packed       io.Reader
	packedBytes  int64 // read from packed
	contentBytes int64 // returned by decoder
}

func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.decoder.Read(p)
	if d.contentBytes += int64(n); d.contentBytes > MaxContent(d.packedBytes) {
		return 0, errExpansion
	}
	return n, err
}

func (d *decompressor) Close() error {
	d.decoder.Close()
	return nil
}

// packedReader counts the compressed bytes.
type packedReader decompressor

func (d *packedReader) Read(p []byte) (int, error) {
	n, err := d.packed.Read(p)
	d.packedBytes += int64(n)
	return n, err
}

func (u *recordReader) Next() (diff.Record, error) {
	record, err := u.read()
	if err == io.EOF && u.total >= 0 && u.total != u.lines.N {
		err = fmt.Errorf("it has %d %s, and the manifest has %d", u.lines.N, u.resource.Name, u.total)
	}
	return record, u.check(err)
}

var errWrongDigest = errors.New("its digest is not the one in the manifest")

// check checks the digest of the file at its end.
func (u *recordReader) check(err error) error {
	if err == io.EOF && u.sum != nil && u.sum.String() != u.sha256 {
		err = errWrongDigest
	}
	if err != nil && err != io.EOF && u.wrap != nil {
		err = u.wrap(err)
	}
	return err
}

// Read reads the content of the file, instead of Next.
func (u *recordReader) Read(p []byte) (int, error) {
	n, err := u.content.Read(p)
	if err != nil {
		err = u.check(ContentError(err))
	}
	return n, err
}

func (u *recordReader) read() (diff.Record, error) {
	line, err := u.lines.Next()
	if err != nil {
		return diff.Record{}, ContentError(err)
	}
	line = line[:len(line)-1]
	if u.next, err = u.resource.AppendKey(u.next[:0], line); err != nil {
		return diff.Record{}, fmt.Errorf("line %d: %w", u.lines.N, err)
	}
	if u.lines.N > 1 && bytes.Compare(u.key, u.next) >= 0 {
		return diff.Record{}, fmt.Errorf("line %d: %s are not in the order of their keys", u.lines.N, u.resource.Name)
	}
	u.key, u.next = u.next, u.key
	return diff.Record{Key: u.key, JSON: line}, nil
}

func (u *recordReader) Close() error {
	err := u.content.Close()
	if u.file == nil {
		return err
	}
	return errors.Join(err, u.file.Close())
}

// ContentError returns an error of reading compressed records as a clause for people.
func ContentError(err error) error {
	_, ok := errors.AsType[*DamagedError](err)
	switch {
	case ok, err == io.EOF, errors.Is(err, ErrLongLine), errors.Is(err, errExpansion), IsSystemError(err):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it is cut short")
	}
	return errors.New("its compressed content is damaged")
}

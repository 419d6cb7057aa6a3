package reconcile

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

const (
	largeRun   = 16 << 20                  // bytes of users that are sorted in memory before they are written
	smallRun   = 4 << 20                   // the same for other resources, since several scopes are read at the same time
	readBuffer = 32 << 10                  // bytes of the read buffer of each run in a merge
	maxLengths = 5 * binary.MaxVarintLen64 // of the lengths of a record's four fields, and its number
	maxRecord  = 128 << 20                 // a longer field in a run means that the file is damaged
)

// spool accepts the records of one read in any order and returns them sorted by
// key, each key once. It is an external merge sort over unnamed temporary files, so
// its memory is constant and a crash leaves no files. Excluded attributes are
// removed before anything is written to a file.
//
// One goroutine fills it. After finish, any number of merges may read it at the
// same time, and more records may follow.
type spool struct {
	temp    func() (*os.File, error)
	record  func(dst []byte, parent string, object []byte) ([]byte, error) // what may be stored of an object, in canonical form
	project func(dst, canonical []byte) ([]byte, error)
	runSize int

	// keyOf appends the key of a record. nil: the ids of its parent and of itself.
	keyOf func(dst, record []byte) ([]byte, error)

	// counts reports whether a copy of a record is a part of the read. nil: all are.
	counts func(key, updated []byte) bool

	arena   []byte  // encoded records of the run that is being filled
	index   []entry // the records in arena
	runs    []run
	records uint64 // number of all records; a record's number is its order of arrival

	key, canonical, projected []byte // of the newest record; their memory is reused
}

// entry is one record of the arena and its sort key.
type entry struct {
	key, updated []byte
	arrival      uint64
	record       []byte
}

// order compares records by key. Among copies of one record, the copy to keep comes
// first.
func order(a, b entry) int {
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c
	}
	return cmp.Or(
		bytes.Compare(b.updated, a.updated), // RFC 3339 in UTC sorts as text
		cmp.Compare(b.arrival, a.arrival),
	)
}

type run struct {
	file *os.File
	size int64
}

// newSpool returns an empty spool for the records of a resource.
func newSpool(temp func() (*os.File, error), d Declared) *spool {
	s := &spool{temp: temp, record: d.Resource.Record, project: d.Attributes.Projector(d.Resource.Always()).Project, runSize: runSize(d)}
	if len(d.Resource.Key) > 2 {
		s.keyOf = d.Resource.AppendKey
	}
	return s
}

// runSize returns the bytes of records of a resource that are sorted in memory.
func runSize(d Declared) int {
	if d.Resource == snapshot.Users {
		return largeRun
	}
	return smallRun
}

// add adds one copy of a record as Okta sent it.
func (s *spool) add(r oktaclient.Record) error {
	if strings.ContainsRune(r.ID, 0) { // it separates the parts of a key
		return fmt.Errorf("record %.60q: a zero byte in its id", r.ID)
	}
	var err error
	if s.canonical, err = s.record(s.canonical[:0], r.Parent, r.JSON); err != nil {
		return fmt.Errorf("record %.60q: %w", r.ID, err)
	}
	if s.projected, err = s.project(s.projected[:0], s.canonical); err != nil {
		return fmt.Errorf("record %.60q: %w", r.ID, err)
	}
	return s.put(r, s.projected)
}

// addOutside adds one copy of a record that the declaration doesn't select. If it
// is the newest copy, the merge omits the record.
func (s *spool) addOutside(r oktaclient.Record) error { return s.put(r, nil) }

// put adds a record. Its json is nil if the declaration doesn't select it.
func (s *spool) put(r oktaclient.Record, json []byte) error {
	if err := s.setKey(r, json); err != nil {
		return err
	}
	if len(s.arena)+len(s.key)+len(r.LastUpdated)+len(r.Status)+len(json)+maxLengths > s.runSize {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if cap(s.arena) == 0 {
		s.arena = make([]byte, 0, s.runSize)
	}
	start := len(s.arena)
	s.records++
	s.arena = appendField(s.arena, s.key)
	key := s.arena[len(s.arena)-len(s.key):]
	s.arena = appendField(s.arena, r.LastUpdated)
	updated := s.arena[len(s.arena)-len(r.LastUpdated):]
	s.arena = appendField(s.arena, r.Status)
	s.arena = binary.AppendUvarint(s.arena, s.records)
	s.arena = appendField(s.arena, json)
	// If the arena has grown, earlier entries still point into the old array, whose
	// bytes don't change.
	s.index = append(s.index, entry{key: key, updated: updated, arrival: s.records, record: s.arena[start:]})
	return nil
}

// setKey sets s.key to the key of a record.
func (s *spool) setKey(r oktaclient.Record, json []byte) (err error) {
	if s.key = s.key[:0]; s.keyOf != nil {
		s.key, err = s.keyOf(s.key, json)
		return err
	}
	if r.Parent != "" {
		s.key = append(append(s.key, r.Parent...), 0) // as snapshot.Resource.AppendKey
	}
	s.key = append(s.key, r.ID...)
	return nil
}

// flush sorts the records in memory and writes them as one run.
func (s *spool) flush() error {
	if len(s.index) == 0 {
		return nil
	}
	slices.SortFunc(s.index, order)
	file, err := s.temp()
	if err != nil {
		return fmt.Errorf("create temporary file: %w", err)
	}
	s.runs = append(s.runs, run{file: file}) // so that close closes it
	w := bufio.NewWriterSize(file, 1<<20)
	for _, e := range s.index {
		if _, err := w.Write(e.record); err != nil {
			return fmt.Errorf("write temporary file: %w", err)
		}
		s.runs[len(s.runs)-1].size += int64(len(e.record))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write temporary file: %w", err)
	}
	s.arena, s.index = s.arena[:0], s.index[:0]
	return nil
}

// finish writes the last run and releases the memory.
func (s *spool) finish() error {
	err := s.flush()
	s.arena, s.index, s.key, s.canonical, s.projected = nil, nil, nil, nil, nil
	return err
}

// close removes the runs. It may be called twice.
func (s *spool) close() error {
	var err error
	for _, r := range s.runs {
		err = errors.Join(err, r.file.Close())
	}
	s.runs = nil
	return err
}

// merge returns a reader over all runs. It implements diff.Reader.
func (s *spool) merge() (*merge, error) {
	m := &merge{counts: s.counts}
	for _, r := range s.runs {
		c := &cursor{r: bufio.NewReaderSize(io.NewSectionReader(r.file, 0, r.size), readBuffer)}
		switch err := c.next(); {
		case err == io.EOF:
		case err != nil:
			return nil, err
		default:
			m.heap = append(m.heap, c)
		}
	}
	heap.Init(&m.heap)
	return m, nil
}

// merge reads the records of a spool in ascending order of keys. Of several copies
// of a record, the one with the newest lastUpdated counts, and among equal ones
// the last. It returns the records that the declaration selects, and counts the
// others.
type merge struct {
	heap       cursors
	counts     func(key, updated []byte) bool
	current    *cursor // its buffers contain the record that Next returned
	status     []byte
	duplicates int // further copies
	outside    int // records whose newest copy the declaration doesn't select, and copies that don't count
	key        []byte
}

func (m *merge) Next() (diff.Record, error) {
	for {
		if err := m.advance(); err != nil {
			return diff.Record{}, err
		}
		if len(m.heap) == 0 {
			return diff.Record{}, io.EOF
		}
		c := m.heap[0]
		m.current = c
		if m.counts != nil && !m.counts(c.key, c.updated) {
			m.outside++
			continue
		}
		if m.key != nil && bytes.Equal(c.key, m.key) {
			m.duplicates++
			continue
		}
		m.key = append(m.key[:0], c.key...)
		if len(c.json) == 0 {
			m.outside++
			continue
		}
		m.status = c.status
		return diff.Record{Key: m.key, JSON: c.json}, nil
	}
}

// advance moves the run of the record that was returned last.
func (m *merge) advance() error {
	if m.current == nil {
		return nil
	}
	m.current = nil
	switch err := m.heap[0].next(); {
	case err == io.EOF:
		heap.Pop(&m.heap)
	case err != nil:
		return err
	default:
		heap.Fix(&m.heap, 0)
	}
	return nil
}

// Close does nothing, because the runs belong to the spool.
func (m *merge) Close() error { return nil }

// cursor is a position in a run.
type cursor struct {
	entry  // record is unused
	r      *bufio.Reader
	status []byte
	json   []byte
}

// next reads the following record into the cursor's buffers, or returns io.EOF.
func (c *cursor) next() error {
	var err error
	if c.key, err = readField(c.r, c.key); err != nil {
		if err == io.EOF {
			return io.EOF
		}
		return fmt.Errorf("read temporary file: %w", err)
	}
	for _, field := range []*[]byte{&c.updated, &c.status} {
		if *field, err = readField(c.r, *field); err != nil {
			return fmt.Errorf("read temporary file: %w", unexpected(err))
		}
	}
	if c.arrival, err = binary.ReadUvarint(c.r); err != nil {
		return fmt.Errorf("read temporary file: %w", unexpected(err))
	}
	if c.json, err = readField(c.r, c.json); err != nil {
		return fmt.Errorf("read temporary file: %w", unexpected(err))
	}
	return nil
}

// cursors is a heap.Interface.
type cursors []*cursor

func (h cursors) Len() int           { return len(h) }
func (h cursors) Less(i, j int) bool { return order(h[i].entry, h[j].entry) < 0 }
func (h cursors) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *cursors) Push(x any)        { *h = append(*h, x.(*cursor)) }
func (h *cursors) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	*h = (*h)[:last]
	return c
}

func appendField[T ~string | ~[]byte](dst []byte, field T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(field)))
	return append(dst, field...)
}

func readField(r *bufio.Reader, buf []byte) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return buf[:0], err
	}
	if n > maxRecord {
		return buf[:0], errors.New("record too long")
	}
	buf = slices.Grow(buf[:0], int(n))[:n]
	_, err = io.ReadFull(r, buf)
	return buf, unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// counting counts records, by status and by parent unless these maps are nil, and
// computes the digest of their lines.
type counting struct {
	diff.Reader
	records            *merge // of the read
	content            *snapshot.Digest
	total              int
	byStatus, byParent map[string]int
}

var (
	lineFeed = []byte{'\n'}
	zero     = []byte{0} // between the parts of a key
)

func (c *counting) Next() (diff.Record, error) {
	record, err := c.Reader.Next()
	if err == nil {
		c.content.Write(record.JSON)
		c.content.Write(lineFeed)
		c.total++
		if c.byStatus != nil {
			c.byStatus[string(c.records.status)]++
		}
		if c.byParent != nil {
			parent, _, _ := bytes.Cut(record.Key, zero)
			c.byParent[string(parent)]++
		}
	}
	return record, err
}

func drain(records diff.Reader) error {
	for {
		if _, err := records.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

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

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

const (
	runSize    = 16 << 20                  // bytes of users that are sorted in memory before they go to disk
	readBuffer = 32 << 10                  // bytes read ahead from each run while runs are merged
	maxLengths = 5 * binary.MaxVarintLen64 // of a record's four fields, and its number
	maxRecord  = 128 << 20                 // a longer field in a run means that the file was damaged
)

// spool takes the users of one reading in any order and gives them back sorted
// by id, each id once, however many there are: it is an external merge sort
// over unnamed temporary files, so memory stays the same and a crash leaves
// nothing behind. What the declaration excludes is cut away before a byte
// reaches a file.
//
// It is filled by one goroutine; once closed for writing by flush, any number
// of merges may read it at the same time.
type spool struct {
	temp    func() (*os.File, error)
	project func(dst, canonical []byte) ([]byte, error)
	runSize int

	arena   []byte  // encoded records of the run that is being filled
	index   []entry // where they lie in arena
	runs    []run
	records uint64 // so far, in all runs: the order of arrival

	canonical, projected []byte // buffers, reused for every user
}

// entry is one record of the arena: what it is sorted by, and the whole of it.
type entry struct {
	id, updated []byte
	arrival     uint64
	record      []byte
}

// order puts records in the order of a run and of a merge: by id, and of one
// id the copy to keep first.
func order(a, b entry) int {
	if c := bytes.Compare(a.id, b.id); c != 0 {
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

func newSpool(temp func() (*os.File, error), project func(dst, canonical []byte) ([]byte, error)) *spool {
	return &spool{temp: temp, project: project, runSize: runSize}
}

// add takes one copy of a user as Okta sent it.
func (s *spool) add(u oktaclient.Record) error {
	var err error
	if s.canonical, err = snapshot.Canonical(s.canonical[:0], u.JSON); err != nil {
		return fmt.Errorf("user %s: %w", u.ID, err)
	}
	if s.projected, err = s.project(s.projected[:0], s.canonical); err != nil {
		return fmt.Errorf("user %s: %w", u.ID, err)
	}
	return s.put(u, s.projected)
}

// drop takes one copy of a user that is not of the export: where no newer copy
// says otherwise, the merge leaves the user out.
func (s *spool) drop(u oktaclient.Record) error { return s.put(u, nil) }

// put takes a record; no JSON stands for a user who is outside.
func (s *spool) put(u oktaclient.Record, json []byte) error {
	if len(s.arena)+len(u.ID)+len(u.LastUpdated)+len(u.Status)+len(json)+maxLengths > s.runSize {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if cap(s.arena) == 0 {
		s.arena = make([]byte, 0, s.runSize)
	}
	start := len(s.arena)
	s.records++
	s.arena = appendField(s.arena, u.ID)
	id := s.arena[len(s.arena)-len(u.ID):]
	s.arena = appendField(s.arena, u.LastUpdated)
	updated := s.arena[len(s.arena)-len(u.LastUpdated):]
	s.arena = appendField(s.arena, u.Status)
	s.arena = binary.AppendUvarint(s.arena, s.records)
	s.arena = appendField(s.arena, json)
	// An arena that has outgrown its capacity has moved; the entries before
	// still point into the old one, whose bytes stay as they were.
	s.index = append(s.index, entry{id: id, updated: updated, arrival: s.records, record: s.arena[start:]})
	return nil
}

// flush sorts what is in memory and writes it out as one run.
func (s *spool) flush() error {
	if len(s.index) == 0 {
		return nil
	}
	slices.SortFunc(s.index, order)
	file, err := s.temp()
	if err != nil {
		return fmt.Errorf("create temporary file: %w", err)
	}
	s.runs = append(s.runs, run{file: file}) // from here on close closes it
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

// finish writes out the last run and gives the memory back.
func (s *spool) finish() error {
	err := s.flush()
	s.arena, s.index, s.canonical, s.projected = nil, nil, nil, nil
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

// merge returns a reader over all runs. It implements snapshot.UserReader.
func (s *spool) merge() (*merge, error) {
	m := &merge{}
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

// merge reads the users of a spool ascending by id. Of several copies of a user
// the one with the newest lastUpdated counts, and of equal ones the one that
// came last. It gives those that are of the export, and counts the rest.
type merge struct {
	heap       cursors
	current    *cursor // what the last Next returned stands in its buffers
	status     []byte
	duplicates int // copies that count for nothing
	outside    int // users whose newest copy is not of the export
	id         []byte
}

func (m *merge) Next() (snapshot.User, error) {
	for {
		if err := m.advance(); err != nil {
			return snapshot.User{}, err
		}
		if len(m.heap) == 0 {
			return snapshot.User{}, io.EOF
		}
		c := m.heap[0]
		m.current = c
		if m.id != nil && bytes.Equal(c.id, m.id) {
			m.duplicates++
			continue
		}
		m.id = append(m.id[:0], c.id...)
		if len(c.json) == 0 {
			m.outside++
			continue
		}
		m.status = c.status
		return snapshot.User{ID: m.id, JSON: c.json}, nil
	}
}

// advance moves the run whose record was handed out last.
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

// Close does nothing: the runs belong to the spool.
func (m *merge) Close() error { return nil }

// cursor stands on one record of one run.
type cursor struct {
	entry  // record is unused
	r      *bufio.Reader
	status []byte
	json   []byte
}

// next reads the following record into the cursor's buffers, or returns io.EOF.
func (c *cursor) next() error {
	var err error
	if c.id, err = readField(c.r, c.id); err != nil {
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

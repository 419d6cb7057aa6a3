package review

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"oktasync/reconcile/snapshot/tempfile"
)

// A spool keeps the rows of many lists in one temporary file. Each list is a chain of
// blocks, so that memory grows with the lists, and not with their rows.
type spool struct {
	file *os.File
	end  int64 // where the next block begins
}

// blockSize is the size of a block. It begins with the offset of the next block and the
// number of bytes that follow.
const (
	blockSize   = 4 << 10
	blockHeader = 8 + 4
)

func newSpool() (*spool, error) {
	file, err := tempfile.Create(os.TempDir())
	return &spool{file: file}, err
}

func (s *spool) Close() error { return s.file.Close() }

// allocate returns the offset of a new block.
func (s *spool) allocate() int64 {
	at := s.end
	s.end += blockSize
	return at
}

// A list is a list of rows in a spool.
type list struct {
	spool *spool
	rows  int
	first int64  // its first block
	last  int64  // its last block, which isn't written yet
	block []byte // the content of that
}

func (s *spool) newList() *list {
	at := s.allocate()
	return &list{spool: s, first: at, last: at}
}

func (l *list) add(cells []string) error {
	l.rows++
	var size [binary.MaxVarintLen64]byte
	for _, cell := range cells {
		n := binary.PutUvarint(size[:], uint64(len(cell)))
		if err := l.write(size[:n]); err != nil {
			return err
		}
		if err := l.write([]byte(cell)); err != nil {
			return err
		}
	}
	return nil
}

func (l *list) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), blockSize-blockHeader-len(l.block))
		l.block = append(l.block, p[:n]...)
		if p = p[n:]; len(l.block) == blockSize-blockHeader {
			next := l.spool.allocate()
			if err := l.flush(next); err != nil {
				return err
			}
			l.last, l.block = next, l.block[:0]
		}
	}
	return nil
}

// flush writes the last block.
func (l *list) flush(next int64) error {
	header := binary.BigEndian.AppendUint64(nil, uint64(next))
	header = binary.BigEndian.AppendUint32(header, uint32(len(l.block)))
	_, err := l.spool.file.WriteAt(append(header, l.block...), l.last)
	return err
}

// done must be called before the rows are read.
func (l *list) done() error {
	err := l.flush(0)
	l.block = nil
	return err
}

// each calls visit for each row. All rows have the same number of cells.
func (l *list) each(cells int, visit func([]string) bool) error {
	r := bufio.NewReader(&chain{file: l.spool.file, next: l.first})
	for range l.rows {
		row := make([]string, cells)
		for i := range row {
			size, err := binary.ReadUvarint(r)
			if err != nil {
				return err
			}
			cell := make([]byte, size)
			if _, err := io.ReadFull(r, cell); err != nil {
				return err
			}
			row[i] = string(cell)
		}
		if !visit(row) {
			return nil
		}
	}
	return nil
}

// A chain reads the content of a chain of blocks. Its end isn't io.EOF, because the number of
// rows is known.
type chain struct {
	file  *os.File
	next  int64
	block [blockSize]byte
	rest  []byte
	read  bool
}

func (c *chain) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.read && c.next == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		n, err := c.file.ReadAt(c.block[:], c.next)
		if n < blockHeader {
			return 0, errors.Join(err, io.ErrUnexpectedEOF)
		}
		size := int(binary.BigEndian.Uint32(c.block[8:]))
		c.next = int64(binary.BigEndian.Uint64(c.block[:]))
		c.rest, c.read = c.block[blockHeader:min(n, blockHeader+size)], true
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

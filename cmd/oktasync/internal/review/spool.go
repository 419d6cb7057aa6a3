package review

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"oktasync/reconcile/snapshot/tempfile"
)

// A spool keeps rows in a temporary file. Memory has only their offsets.
type spool struct {
	file *os.File
	w    *bufio.Writer
	r    *bufio.Reader
	end  int64
}

func newSpool() (*spool, error) {
	file, err := tempfile.Create(os.TempDir())
	if err != nil {
		return nil, err
	}
	return &spool{file: file, w: bufio.NewWriter(file), r: bufio.NewReader(file)}, nil
}

func (s *spool) Close() error { return s.file.Close() }

// add adds a row, and returns its offset.
func (s *spool) add(cells []string) (offset int64, err error) {
	var row []byte
	for _, cell := range cells {
		row = append(binary.AppendUvarint(row, uint64(len(cell))), cell...)
	}
	offset = s.end
	s.end += int64(len(row))
	_, err = s.w.Write(row)
	return offset, err
}

// row returns the row at an offset, which has this number of cells.
func (s *spool) row(offset int64, cells int) ([]string, error) {
	err := s.w.Flush()
	s.r.Reset(io.NewSectionReader(s.file, offset, s.end-offset))
	row := make([]string, cells)
	for i := range row {
		size, sizeErr := binary.ReadUvarint(s.r)
		cell := make([]byte, size)
		_, cellErr := io.ReadFull(s.r, cell)
		if err = errors.Join(err, sizeErr, cellErr); err != nil {
			return nil, err
		}
		row[i] = string(cell)
	}
	return row, nil
}

package review

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
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
	file, err := newTempFile("write rows")
	if err != nil {
		return nil, err
	}
	return &spool{file: file, w: bufio.NewWriter(file), r: bufio.NewReader(file)}, nil
}

// A TempError means that a temporary file can't be created.
type TempError struct {
	Op, Dir string // what the file is for, a verb with its object; its folder
	Err     error
}

func (e *TempError) Error() string {
	return fmt.Sprintf("%s to a temporary file in %s: %v", e.Op, e.Dir, e.Err)
}

// Unwrap returns the cause.
func (e *TempError) Unwrap() error { return e.Err }

// Hint returns what a person can do.
func (e *TempError) Hint() string {
	return "set TMPDIR to a folder in which this process can create files"
}

// newTempFile returns a temporary file without a name. op is that of a TempError.
func newTempFile(op string) (*os.File, error) {
	file, err := tempfile.Create(os.TempDir())
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		err = path.Err // the path has a random name
	}
	if err != nil {
		return nil, &TempError{op, os.TempDir(), err}
	}
	return file, nil
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

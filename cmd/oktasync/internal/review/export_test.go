package review

import (
	"errors"
	"os"
	"slices"
)

// ReadFile returns the rows of a CSV file with decisions: all of them in one pass, and each
// of them again by its position. It empties the file before: the rows are those that had
// the digest.
func ReadFile(name string) (rows, again [][]string, err error) {
	t, err := openTable(name, nil)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := os.Truncate(name, 0); err != nil {
		return nil, nil, err
	}
	for r, err := range t.rows() {
		if err != nil {
			return nil, nil, err
		}
		cells, err := t.at(r.offset, r.size)
		if err != nil {
			return nil, nil, err
		}
		rows, again = append(rows, append([]string(nil), r.cells...)), append(again, append([]string(nil), cells...))
	}
	return rows, again, nil
}

var Plain = plain

// Spool writes rows of two cells to a spool, and reads them from the last to the first.
func Spool(rows [][]string) (read [][]string, err error) {
	s, err := newSpool()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var offsets []int64
	for _, row := range rows {
		offset, err := s.add(row)
		if err != nil {
			return nil, err
		}
		offsets = append(offsets, offset)
	}
	for _, offset := range slices.Backward(offsets) {
		row, err := s.row(offset, 2)
		if err != nil {
			return nil, err
		}
		read = append(read, row)
	}
	return read, nil
}

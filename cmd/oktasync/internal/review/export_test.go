package review

import (
	"errors"
	"os"
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

// Lists writes rows to lists in turn, and returns the rows of each list.
func Lists(lists int, rows [][]string) (read [][][]string, err error) {
	s, err := newSpool()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	all := make([]*list, lists)
	for i := range all {
		all[i] = s.newList()
	}
	for i, row := range rows {
		if err := all[i%lists].add(row); err != nil {
			return nil, err
		}
	}
	for _, l := range all {
		if err := l.done(); err != nil {
			return nil, err
		}
	}
	for _, l := range all {
		var rows [][]string
		if err := l.each(2, func(row []string) bool { rows = append(rows, row); return true }); err != nil {
			return nil, err
		}
		read = append(read, rows)
	}
	return read, nil
}

package review

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"oktasync/reconcile/snapshot"
)

// The limits of a file with decisions. The greatest cell is that of a spreadsheet.
const (
	maxFile      = 512 << 20 // bytes
	maxRecord    = 1 << 20   // bytes
	maxCell      = 32_767    // characters
	maxHeaderRow = 50        // other rows can come before the header
)

// A table is a CSV file with a header. Its cells are hostile.
type table struct {
	name   string
	file   *os.File // a copy without a name, so that its rows are those of digest
	digest string
	comma  rune
	start  int64 // after a byte order mark
	layout *layout
	header int // the line
}

// A record is a row of a table.
type record struct {
	cells  []string
	line   int
	offset int64 // where it begins
	size   int64
}

// openTable opens a file, and finds its separator and its header. headers contains the
// headers of a file of Okta that differ from the known ones, by field.
func openTable(name string, headers map[string]string) (*table, error) {
	info, err := os.Stat(name) // before it is opened, because that can block
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: is not a file", name)
	}
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("%s: is larger than %d MiB", name, maxFile>>20)
	}
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		err = fmt.Errorf("%s: %w", name, path.Err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no %s", name)
	}
	if err != nil {
		return nil, err
	}
	t := &table{name: name}
	if t.file, err = newTempFile("copy " + name); err != nil {
		return nil, err
	}
	if err = t.copy(); err == nil {
		err = t.findHeader(headers)
	}
	if err != nil {
		return nil, errors.Join(err, t.file.Close())
	}
	return t, nil
}

// copy copies the file, and sets its digest.
func (t *table) copy() error {
	f, err := os.Open(t.name)
	if err != nil {
		return err
	}
	defer f.Close()
	digest := snapshot.NewDigest()
	_, err = io.Copy(io.MultiWriter(t.file, digest), io.LimitReader(f, maxFile+1))
	if err == nil && digest.Bytes > maxFile {
		err = fmt.Errorf("%s: has grown while it was read", t.name)
	}
	t.digest = digest.String()
	return err
}

// findHeader sets the separator, the layout and the line of the header.
func (t *table) findHeader(headers map[string]string) error {
	mark := make([]byte, 3)
	n, err := t.file.ReadAt(mark, 0)
	if err != nil && err != io.EOF {
		return err
	}
	switch mark = mark[:n]; {
	case bytes.Equal(mark, []byte("\ufeff")):
		t.start = 3
	case bytes.HasPrefix(mark, []byte("PK")):
		return fmt.Errorf("%s: is a workbook; save each sheet as \"CSV UTF-8\"", t.name)
	}
	var problem error
	failed := 0
	for _, t.comma = range ",;\t" {
		rows := 0
		for record, err := range t.records() {
			if err != nil {
				problem = cmp.Or(problem, err)
				failed++
				break
			}
			if t.layout, err = layoutOf(record.cells, headers); t.layout != nil || err != nil {
				t.header = record.line
				return t.prefix(err, record.line)
			}
			if rows++; rows == maxHeaderRow {
				break
			}
		}
	}
	if failed == 3 { // otherwise, it is a file without a header
		return problem
	}
	return fmt.Errorf("%s: no row is a header with the columns %s and %s, or with those of Okta's Past Campaign Details; pass the sheets of the reviewers, without the cover",
		t.name, keyColumn, decisionColumn)
}

// prefix adds the position to an error.
func (t *table) prefix(err error, line int) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s:%d: %w", t.name, line, err)
}

// rows returns the records after the header, without empty ones.
func (t *table) rows() iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for r, err := range t.records() {
			if err == nil && (r.line <= t.header || !slices.ContainsFunc(r.cells, func(cell string) bool { return cell != "" })) {
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// records returns all records. The cells of a record are valid until the following one.
func (t *table) records() iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		in := &recordReader{r: bufio.NewReaderSize(io.NewSectionReader(t.file, t.start, maxFile), 64<<10)}
		r := t.reader(in)
		for {
			in.left = maxRecord
			offset := r.InputOffset()
			cells, err := r.Read()
			if err == io.EOF {
				return
			}
			at := 0
			if err == nil {
				at, _ = r.FieldPos(0)
				err = t.prefix(checkCells(cells), at)
			} else if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
				err = t.prefix(parse.Err, parse.StartLine)
			} else {
				err = fmt.Errorf("%s: %w", t.name, err)
			}
			if !yield(record{cells, at, t.start + offset, r.InputOffset() - offset}, err) || err != nil {
				return
			}
		}
	}
}

// reader returns a reader for records.
func (t *table) reader(in io.Reader) *csv.Reader {
	r := csv.NewReader(in)
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = t.comma, -1, true
	return r
}

// at returns the cells of a record again.
func (t *table) at(offset, size int64) ([]string, error) {
	cells, err := t.reader(io.NewSectionReader(t.file, offset, size)).Read()
	if err != nil {
		err = fmt.Errorf("%s: read a row again: %w", t.name, err)
	}
	return cells, err
}

func (t *table) close() error { return t.file.Close() }

func checkCells(cells []string) error {
	for _, cell := range cells {
		if !utf8.ValidString(cell) {
			return errors.New(`has text that isn't UTF-8; save the file as "CSV UTF-8"`)
		}
		if len(cell) > maxCell && utf8.RuneCountInString(cell) > maxCell {
			return fmt.Errorf("has a cell with more than %d characters", maxCell)
		}
	}
	return nil
}

// A recordReader bounds the bytes that are read for one record.
type recordReader struct {
	r    io.Reader
	left int
}

var errLongRecord = fmt.Errorf("has a row with more than %d KiB", maxRecord>>10)

func (r *recordReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errLongRecord
	}
	n, err := r.r.Read(p)
	r.left -= n
	return n, err
}

// plain removes the apostrophe that our CSV files have before a text that a spreadsheet
// could run as a formula, or that begins with an apostrophe.
func plain(cell string) string {
	rest, found := strings.CutPrefix(cell, "'")
	if !found || rest == "" {
		return cell
	}
	return rest
}

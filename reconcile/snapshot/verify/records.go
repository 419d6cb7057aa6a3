package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/render"
)

// A recordCheck reads the records of one resource once. In this pass it checks
// their form, their order, their number by status and the CSV file. It is also a
// Reader, for the comparison with the snapshot before.
type recordCheck struct {
	resource  *snapshot.Resource
	lines     *decompressor
	content   *snapshot.Digest
	scanner   *canonjson.Scanner
	csv       *render.CSVChecker // nil: there is no file to compare
	byStatus  map[string]*int
	status    []byte
	passed    func() // is called for each record
	key, next []byte
	err       error // io.EOF: all lines are correct
}

// newRecordCheck checks the compressed records in packed, and csv unless it is
// nil. The caller must call end.
func newRecordCheck(r *snapshot.Resource, attrs canonjson.Attributes, packed, csv io.Reader) (*recordCheck, error) {
	c := &recordCheck{resource: r, content: snapshot.NewDigest(), byStatus: make(map[string]*int)}
	watch := r.Always()
	if csv != nil {
		c.csv = render.NewCSVChecker(r.Schema(), attrs, csv)
		c.scanner = c.csv.Scanner(watch)
	} else {
		c.scanner = canonjson.NewScanner(watch, nil)
	}
	var err error
	c.lines, err = decompress(packed, c.content)
	return c, err
}

// Next implements diff.Reader.
func (c *recordCheck) Next() (diff.Record, error) {
	if c.err != nil {
		return diff.Record{}, c.err
	}
	var record diff.Record
	record, c.err = c.read()
	return record, c.err
}

// Close implements diff.Reader. The file stays open.
func (c *recordCheck) Close() error { return nil }

func (c *recordCheck) read() (diff.Record, error) {
	line, err := c.lines.next()
	if err != nil {
		return diff.Record{}, snapshot.ContentError(err)
	}
	if c.csv != nil {
		c.csv.Begin()
	}
	if c.scanner.Scan(line) != nil {
		return diff.Record{}, fmt.Errorf("line %d is not canonical JSON", c.lines.n)
	}
	c.next = c.next[:0]
	for i := range c.resource.Key {
		if c.next, err = c.resource.AppendKeyPart(c.next, i, c.scanner.Values[i]); err != nil {
			return diff.Record{}, fmt.Errorf("line %d: %w", c.lines.n, err)
		}
	}
	if c.lines.n > 1 && bytes.Compare(c.key, c.next) >= 0 {
		return diff.Record{}, fmt.Errorf("line %d: %s are not in the order of their keys", c.lines.n, c.resource.Name)
	}
	c.key, c.next = c.next, c.key
	if c.resource.Status != "" {
		c.count(c.scanner.Values[len(c.resource.Key)])
	}
	c.passed()
	if c.csv != nil {
		c.csv.Add()
	}
	return diff.Record{Key: c.key, JSON: line[:len(line)-1]}, nil
}

// count counts a record by status.
func (c *recordCheck) count(status []byte) {
	c.status = c.status[:0]
	if len(status) > 0 && status[0] == '"' {
		c.status = canonjson.AppendText(c.status, status[1:len(status)-1])
	}
	n := c.byStatus[string(c.status)]
	if n == nil {
		n = new(int)
		c.byStatus[string(c.status)] = n
	}
	*n++
}

// end reads the remaining records. It returns what is wrong with the records, and
// the error of reading the compressed file.
func (c *recordCheck) end(m *snapshot.Manifest, file snapshot.File) (problem, readErr error) {
	for c.err == nil {
		c.Next()
	}
	readErr = c.lines.stop()
	switch {
	case c.err != io.EOF:
		return c.err, readErr
	case c.content.String() != file.ContentSHA256:
		return fmt.Errorf("the digest of its content is %s, and the manifest says %s", c.content, file.ContentSHA256), readErr
	case c.lines.n != file.Rows:
		return fmt.Errorf("it has %d %s, and the manifest says %d", c.lines.n, c.resource.Name, file.Rows), readErr
	}
	said := m.Resources[c.resource.Name].ByStatus
	same := len(said) == len(c.byStatus)
	for status, n := range c.byStatus {
		same = same && said[status] == *n
	}
	if !same {
		return fmt.Errorf("its %s by status are not those of the manifest", c.resource.Name), readErr
	}
	return nil, readErr
}

// checkRecords checks the records and the CSV file of a resource, and compares
// the records with those of before. It returns nil if they can't be compared.
func (c *checkedSnapshot) checkRecords(ctx context.Context, r *snapshot.Resource, before *checkedSnapshot, report reportFunc) (*difference, error) {
	packed, err := c.openFile(ctx, r.RecordsFile(), report)
	if packed == nil {
		return nil, err
	}
	defer packed.Close()
	var rendered *hashedFile
	var csv io.Reader
	csvFile, listed := c.Manifest.File(r.CSVFile())
	if listed && !c.wrong[r.CSVFile()] {
		if rendered, err = c.openFile(ctx, r.CSVFile(), report); err != nil {
			return nil, err
		}
	}
	if rendered != nil {
		defer rendered.Close()
		csv = rendered
	}
	check, err := newRecordCheck(r, c.Manifest.Declared.Resources[r.Name].Attributes, packed, csv)
	if err != nil {
		return nil, err
	}
	check.passed = c.passed
	d, diffErr := c.compare(ctx, r, before, check)
	file, _ := c.Manifest.File(r.RecordsFile())
	problem, readErr := check.end(&c.Manifest, file)
	if err := packed.check(file, readErr, problem, report); err != nil {
		return nil, err
	}
	if rendered != nil {
		equal, readErr := check.csv.Close()
		if !equal || csvFile.Rows != c.Manifest.Resources[r.Name].Total {
			problem = fmt.Errorf("is not what the %s render to", r.Name)
		}
		if c.wrong[r.RecordsFile()] {
			problem = nil // there are no correct records to compare with
		}
		if err := rendered.check(csvFile, readErr, problem, report); err != nil {
			return nil, err
		}
	}
	if c.wrong[r.RecordsFile()] || errors.Is(diffErr, fs.ErrNotExist) { // the base was pruned in the meantime
		return nil, nil
	}
	return d, diffErr
}

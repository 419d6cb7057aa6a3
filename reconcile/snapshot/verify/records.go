package verify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/edges"
	"oktasync/reconcile/snapshot/readahead"
	"oktasync/reconcile/snapshot/render"
)

// A recordCheck reads the records of one resource once. In this pass, it checks
// their form, their order, their number by status and the CSV file. It is also the
// Reader for the comparison with the previous snapshot.
type recordCheck struct {
	resource  *snapshot.Resource
	always    []string // resource.Always
	lines     *snapshot.LineReader
	content   *readahead.Reader
	sum       *snapshot.Digest // of content
	scanner   *canonjson.Scanner
	csv       *render.CSVChecker // nil: there is no CSV file to compare
	members   *edges.Counter     // nil: the manifest has no control totals for the records
	sums      *edges.Sums        // nil: the records can't be carried
	joiner    *edges.Joiner      // nil: the records aren't edges, or the resources of their ends are wrong
	named     []byte             // an edge with the names of its ends, and a line feed
	namedScan *canonjson.Scanner // passes named to csv; nil: the records themselves are passed
	byStatus  map[string]*int
	status    []byte
	passed    func() // is called for each record
	key, next []byte
	err       error // io.EOF: all lines are correct
}

// newRecordCheck checks the compressed records in packed, and csv unless it is nil.
// The caller must call end.
func newRecordCheck(r *snapshot.Resource, attrs canonjson.Attributes, packed, csv io.Reader) (*recordCheck, error) {
	content, err := snapshot.Decompress(packed)
	if err != nil {
		return nil, err
	}
	c := &recordCheck{resource: r, always: r.Always(), sum: snapshot.NewDigest(), byStatus: make(map[string]*int)}
	c.content = readahead.New(content, c.sum)
	c.lines = snapshot.NewLineReader(c.content)
	if csv == nil {
		c.scanner = canonjson.NewScanner(c.always, nil)
		return c, nil
	}
	c.csv = render.NewCSVChecker(r.Schema(), attrs, csv)
	if r.Parent == nil && !r.RowsThroughGroups() {
		c.scanner = c.csv.Scanner(c.always)
		return c, nil
	}
	c.scanner, c.namedScan = canonjson.NewScanner(c.always, nil), c.csv.Scanner(nil)
	return c, nil
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
	line, err := c.lines.Next()
	if err != nil {
		return diff.Record{}, snapshot.ContentError(err)
	}
	if c.csv != nil && c.namedScan == nil {
		c.csv.Begin()
	}
	if c.scanner.Scan(line) != nil {
		return diff.Record{}, fmt.Errorf("line %d is not canonical JSON", c.lines.N)
	}
	c.next = c.next[:0]
	for i := range c.resource.Key {
		if c.next, err = c.resource.AppendKeyPart(c.next, i, c.scanner.Values[i]); err != nil {
			return diff.Record{}, fmt.Errorf("line %d: %w", c.lines.N, err)
		}
	}
	if c.lines.N > 1 && bytes.Compare(c.key, c.next) >= 0 {
		return diff.Record{}, fmt.Errorf("line %d: %s are not in the order of their keys", c.lines.N, c.resource.Name)
	}
	c.key, c.next = c.next, c.key
	if c.resource.Status != "" {
		c.count(c.scanner.Values[slices.Index(c.always, c.resource.Status)])
	}
	c.passed()
	c.members.Add(c.key)
	record := diff.Record{Key: c.key, JSON: line[:len(line)-1]}
	if c.sums != nil {
		c.sums.Add(record.Key, record.JSON)
	}
	if c.joiner != nil {
		if err := c.join(record); err != nil {
			return diff.Record{}, err
		}
	}
	if c.csv != nil && !c.resource.RowsThroughGroups() {
		c.csv.Add()
	}
	return record, nil
}

// join finds the ends of an edge, and scans its row of the CSV file.
func (c *recordCheck) join(edge diff.Record) (err error) {
	if err := c.joiner.Next(edge.Key); err != nil || c.namedScan == nil {
		return err
	}
	if c.named, err = c.joiner.Append(c.named[:0], edge.JSON); err != nil {
		return err
	}
	c.named = append(c.named, '\n')
	c.csv.Begin()
	return c.namedScan.Scan(c.named)
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

// end reads the remaining records, compares their number and digest with the
// manifest, and stops the decompression.
func (c *recordCheck) end(m *snapshot.Manifest, file snapshot.File) error {
	for c.err == nil {
		c.Next()
	}
	c.content.Close()
	switch {
	case c.err != io.EOF:
		return c.err
	case c.sum.String() != file.ContentSHA256:
		return fmt.Errorf("the digest of its content is %s, and the manifest has %s", c.sum, file.ContentSHA256)
	case c.lines.N != file.Rows:
		return fmt.Errorf("it has %d %s, and the manifest has %d", c.lines.N, c.resource.Name, file.Rows)
	}
	counts := m.Resources[c.resource.Name]
	same := len(counts.ByStatus) == len(c.byStatus)
	for status, n := range c.byStatus {
		same = same && counts.ByStatus[status] == *n
	}
	if !same {
		return fmt.Errorf("its %s by status are not those of the manifest", c.resource.Name)
	}
	if c.joiner != nil {
		if err := c.joiner.Finish(); err != nil {
			return err
		}
		if n := c.joiner.Unresolved(); n != counts.Unresolved {
			return fmt.Errorf("%d of its %s are unresolved, and the manifest has %d", n, c.resource.Name, counts.Unresolved)
		}
	}
	return m.CheckMembers(c.members)
}

// joiner returns a Joiner for the records of r, or nil if r has no parent or if there is
// a finding about the records of the ends.
func (c *checkedSnapshot) joiner(r *snapshot.Resource) *edges.Joiner {
	if r.Parent == nil || c.anyWrong(r.Parent) || r.Other != nil && c.anyWrong(r.Other) {
		return nil
	}
	return snapshot.Joiner(c.Snapshot, r)
}

// anyWrong reports whether there is a finding about the records of one of the resources.
func (c *checkedSnapshot) anyWrong(all ...*snapshot.Resource) bool {
	return slices.ContainsFunc(all, func(r *snapshot.Resource) bool { return c.wrong[r.RecordsFile()] })
}

// checkRows compares the CSV file of admin roles with all its rows, and returns their
// number.
func (c *checkedSnapshot) checkRows(ctx context.Context, check *recordCheck) (rows int, err error) {
	named, err := snapshot.NamedRecords(c.Snapshot, check.resource)
	if err != nil {
		return 0, err
	}
	defer named.Close()
	for ; ; rows++ {
		record, err := named.Next()
		if err == io.EOF {
			return rows, nil
		}
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return rows, err
		}
		check.csv.Begin()
		check.named = append(append(check.named[:0], record.JSON...), '\n')
		if err := check.namedScan.Scan(check.named); err != nil {
			return rows, err
		}
		check.csv.Add()
	}
}

// checkRecords checks the records and the CSV file of a resource, and compares the
// records with those of before. It returns nil if they can't be compared.
func (c *checkedSnapshot) checkRecords(ctx context.Context, r *snapshot.Resource, before *checkedSnapshot, report reportFunc) (*difference, error) {
	packed, err := c.openFile(ctx, r.RecordsFile(), report)
	if packed == nil {
		return nil, err
	}
	defer packed.Close()
	var rendered *hashedFile
	if _, listed := c.Manifest.File(r.CSVFile()); listed && !c.wrong[r.CSVFile()] {
		if rendered, err = c.openFile(ctx, r.CSVFile(), report); err != nil {
			return nil, err
		}
	}
	var csv io.Reader
	if rendered != nil {
		defer rendered.Close()
		csv = rendered
	}
	joiner := c.joiner(r)
	if joiner == nil && r.Parent != nil || r.RowsThroughGroups() && c.anyWrong(snapshot.Users, snapshot.Groups, snapshot.GroupMembers, snapshot.Apps) {
		csv = nil // its names can't be compared
	}
	check, err := newRecordCheck(r, c.Manifest.Declared.Resources[r.Name].Attributes, packed, csv)
	if err != nil {
		return nil, err
	}
	if check.passed = c.passed; joiner != nil {
		check.joiner = joiner
		defer joiner.Close()
	}
	if r == snapshot.GroupMembers {
		check.members = c.Manifest.MemberCounter()
	}
	if c.Manifest.Declared.Resources[r.Name].Incremental() {
		check.sums = new(edges.Sums)
		c.sums = check.sums
	}
	d, diffErr := c.compare(ctx, r, before, check)
	problem := check.end(&c.Manifest, packed.entry)
	if err := packed.check(problem, report); err != nil {
		return nil, err
	}
	wrong := c.wrong[r.RecordsFile()]
	if rendered != nil {
		if err := c.checkCSV(ctx, check, rendered, wrong, report); err != nil {
			return nil, err
		}
	}
	if wrong || errors.Is(diffErr, fs.ErrNotExist) { // the base was pruned in the meantime
		return nil, nil
	}
	return d, diffErr
}

// checkCSV checks that a CSV file contains the records that check has passed on, unless
// those are wrong.
func (c *checkedSnapshot) checkCSV(ctx context.Context, check *recordCheck, rendered *hashedFile, wrong bool, report reportFunc) (err error) {
	r := check.resource
	equal, rows := true, c.Manifest.Resources[r.Name].Total
	if check.csv != nil && r.RowsThroughGroups() && !wrong {
		if rows, err = c.checkRows(ctx, check); err != nil {
			return err
		}
	}
	if check.csv != nil {
		equal, _ = check.csv.Close() // rendered.check returns the error
	}
	var problem error
	if !wrong && (!equal || check.csv != nil && rendered.entry.Rows != rows) {
		problem = fmt.Errorf("doesn't match the %s of the snapshot", r.Name)
	}
	return rendered.check(problem, report)
}

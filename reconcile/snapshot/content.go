package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// checkedSnapshot is a snapshot that Verify has looked into.
type checkedSnapshot struct {
	*Snapshot
	users  bool            // its users are what the manifest says
	wrong  map[string]bool // files that something has been found about
	opened map[string]bool // files that have been read
	passed func()          // is called for each user that is looked at
}

// checkSnapshot looks into the folder of snap. What it compares snap with is
// before, the snapshot that it follows, or nil.
func (v *verifier) checkSnapshot(ctx context.Context, snap *Snapshot, before *checkedSnapshot) (*checkedSnapshot, error) {
	c := &checkedSnapshot{Snapshot: snap, wrong: make(map[string]bool), opened: make(map[string]bool), passed: v.checkedUser}
	report := func(file, format string, args ...any) {
		c.wrong[file] = true
		v.add(snap.finding(file, format, args...))
	}
	if snap.tomb {
		v.checkSigned(snap, report)
		v.sum.Pruned++
		return c, nil
	}
	if err := c.checkNames(report); err != nil {
		return nil, err
	}
	for _, file := range snap.Manifest.Files {
		if !c.wrong[file.Name] {
			v.sum.Files++
			v.sum.Bytes += file.Bytes
		}
	}
	d, err := c.checkFiles(ctx, before, report)
	if err != nil {
		return nil, err
	}
	if !c.wrong[signatureFile] {
		v.checkSigned(snap, report)
	}
	if c.users {
		v.sum.Users += snap.Manifest.Resources.Users.Total
	}
	v.sum.Snapshots++
	c.checkChanges(before, d, report)
	return c, nil
}

type reportFunc func(file, format string, args ...any)

// checkNames holds the names in the folder, and SHA256SUMS, against the
// manifest.
func (c *checkedSnapshot) checkNames(report reportFunc) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	expected := c.Manifest.names()
	there := make(map[string]bool)
	for _, entry := range entries {
		name := entry.Name()
		there[name] = true
		switch {
		case !slices.Contains(expected, name):
			report(name, "is not listed in the manifest")
		case !entry.Type().IsRegular():
			report(name, "is no plain file")
		}
	}
	for _, name := range expected {
		if !there[name] {
			report(name, "is missing")
		}
	}
	if c.wrong[sumsFile] {
		return nil
	}
	data, err := readBounded(filepath.Join(c.dir, sumsFile), maxManifest)
	if isSystem(err) {
		return err
	}
	files := append(slices.Clone(c.Manifest.Files), File{Name: manifestFile, SHA256: c.Digest})
	if err != nil || !bytes.Equal(data, sums(files)) {
		report(sumsFile, "does not say what the manifest says")
	}
	return nil
}

// checkFiles reads each file once and holds it against what the manifest says.
// It returns the difference with before, if the users can be compared.
func (c *checkedSnapshot) checkFiles(ctx context.Context, before *checkedSnapshot, report reportFunc) (d *difference, err error) {
	_, csv := c.Manifest.file(csvFile)
	if csv != c.Manifest.Declared.HasFormat(FormatCSV) {
		report(csvFile, "does not fit the formats declared")
	}
	if !c.wrong[usersFile] {
		if d, err = c.checkUsers(ctx, before, report); err != nil {
			return nil, err
		}
	}
	for _, file := range c.Manifest.Files {
		if c.wrong[file.Name] || c.opened[file.Name] {
			continue
		}
		if err := c.checkFile(ctx, file, report); err != nil {
			return nil, err
		}
	}
	c.users = !c.wrong[usersFile]
	return d, nil
}

// checkFile looks at a file that is not about users.
func (c *checkedSnapshot) checkFile(ctx context.Context, file File, report reportFunc) error {
	f, err := c.openFile(ctx, file.Name, report)
	if f == nil {
		return err
	}
	defer f.Close()
	var problem error
	switch file.Name {
	case requestsFile:
		problem = c.readRequests(f)
	case changesFile:
		problem = checkRowCount(f, file)
	}
	_, err = io.Copy(io.Discard, f)
	return f.hold(file, err, problem, report)
}

// hashedFile is a file whose digest is taken as it is read.
type hashedFile struct {
	io.Reader
	io.Closer
	ctx context.Context
	sum *digest
}

// openFile opens a file of the snapshot, nil where it is missing, or longer than
// what was published: one without an end would be read without an end.
func (c *checkedSnapshot) openFile(ctx context.Context, name string, report reportFunc) (*hashedFile, error) {
	f, err := openPlain(filepath.Join(c.dir, name), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		report(name, "is missing")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	said, _ := c.Manifest.file(name)
	info, err := f.Stat()
	if err == nil && info.Size() > said.Bytes {
		report(name, "it has %d bytes, and the manifest says %d", info.Size(), said.Bytes)
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	c.opened[name] = true
	sum := newDigest()
	return &hashedFile{Reader: io.TeeReader(cancelReader{ctx, f}, sum), Closer: f, ctx: ctx, sum: sum}, nil
}

// hold holds the file, which was read to its end or to readErr, against what the
// manifest says of it; problem is what was found in it.
func (h *hashedFile) hold(file File, readErr, problem error, report reportFunc) error {
	switch {
	case h.ctx.Err() != nil:
		return h.ctx.Err()
	case readErr != nil:
		report(file.Name, "can't be read: %v", readErr)
	case h.sum.String() != file.SHA256:
		report(file.Name, "its digest is %s, and the manifest says %s", h.sum, file.SHA256)
	case h.sum.bytes != file.Bytes:
		report(file.Name, "it has %d bytes, and the manifest says %d", h.sum.bytes, file.Bytes)
	case problem != nil:
		report(file.Name, "%v", problem)
	}
	return nil
}

// readRequests checks requests.ndjson, and holds the rows of all pages
// against those that were kept.
func (c *checkedSnapshot) readRequests(r io.Reader) error {
	var pages transcript
	lines := newLineReader(r)
	for {
		line, err := lines.next()
		if err == io.EOF {
			return c.Manifest.checkRows(c.Manifest.Files, pages)
		}
		if err == nil {
			err = pages.add(line)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", lines.n, err)
		}
	}
}

// checkRowCount counts the lines of a file.
func checkRowCount(r io.Reader, file File) error {
	lines := newLineReader(r)
	for {
		_, err := lines.next()
		if err == io.EOF && lines.n != file.Rows {
			return fmt.Errorf("it has %d lines, and the manifest says %d", lines.n, file.Rows)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", lines.n+1, err)
		}
	}
}

// cancelReader is a reader that ends with its context.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

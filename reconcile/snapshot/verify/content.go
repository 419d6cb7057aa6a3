package verify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/edges"
	"oktasync/reconcile/snapshot/readahead"
)

// A checkedSnapshot is a snapshot whose files Verify has read.
type checkedSnapshot struct {
	*link
	transcript snapshot.Transcript
	correct    map[string]bool // by resource: its records match the manifest
	wrong      map[string]bool // files with a finding
	opened     map[string]bool // files that have been read
	passed     func()          // is called for each record
	sums       *edges.Sums     // of the members, if they can be carried
	reads      *reads          // of the groups, in the snapshots before
	alone      bool            // it is verified without its store

	differences map[string]*difference // by resource; nil: it can't be compared with the snapshot before

	last map[string]*checkedSnapshot // by resource that is unavailable: the last one with its records
}

// A difference is the recomputed changes of a resource since the snapshot before.
type difference struct {
	counts diff.Counts
	sum    *snapshot.Digest // of the changes file
}

// base returns the snapshot with which the following one is compared: s, or the last one
// with the records of r; nil: there is none.
func (s *checkedSnapshot) base(r *snapshot.Resource) *checkedSnapshot {
	if s == nil || s.Manifest.Resources[r.Name].IsAvailable() {
		return s
	}
	return s.last[r.Name]
}

// follows reports whether before is the predecessor of s, or nil and s has none.
func (s *checkedSnapshot) follows(before *checkedSnapshot) bool {
	p := s.Manifest.Previous
	return p == nil && before == nil || p != nil && before != nil && before.Digest == p.ManifestSHA256
}

type reportFunc func(file, format string, args ...any)

// checkNames compares the names in the folder, and SHA256SUMS, with the manifest.
func (c *checkedSnapshot) checkNames(report reportFunc) error {
	entries, err := os.ReadDir(c.Dir())
	if err != nil {
		return err
	}
	expected := c.Manifest.Names()
	there := make(map[string]bool)
	for _, entry := range entries {
		name := entry.Name()
		there[name] = true
		switch {
		case name == snapshot.TimestampFile && entry.Type().IsRegular(): // checkTimestamps checks it
		case !slices.Contains(expected, name):
			report(name, "is not listed in the manifest")
		case !entry.Type().IsRegular():
			report(name, "is not a regular file")
		}
	}
	for _, name := range expected {
		if !there[name] {
			report(name, "is missing")
		}
	}
	if c.wrong[snapshot.SumsFile] {
		return nil
	}
	data, err := snapshot.ReadBounded(filepath.Join(c.Dir(), snapshot.SumsFile), snapshot.MaxManifest)
	if snapshot.IsSystemError(err) {
		return err
	}
	files := append(slices.Clone(c.Manifest.Files), snapshot.File{Name: snapshot.ManifestFile, SHA256: c.Digest})
	if err != nil || !bytes.Equal(data, snapshot.Sums(files)) {
		report(snapshot.SumsFile, "doesn't match the manifest")
	}
	return nil
}

// A hashedFile is a file of a snapshot. Its digest is computed while it is read.
type hashedFile struct {
	*readahead.Reader
	ctx   context.Context
	entry snapshot.File // in the manifest
	sum   *snapshot.Digest
}

// openFile opens a file of the snapshot. If the file is missing, has another size
// than in the manifest, or has a hole, openFile reports this and returns nil. So the
// space that a file takes on disk bounds the time of reading it.
func (c *checkedSnapshot) openFile(ctx context.Context, name string, report reportFunc) (*hashedFile, error) {
	f, err := snapshot.OpenPlain(filepath.Join(c.Dir(), name))
	if errors.Is(err, fs.ErrNotExist) {
		report(name, "is missing")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	c.opened[name] = true
	entry, _ := c.Manifest.File(name)
	if snapshot.HasHole(f, info.Size()) {
		report(name, "it has a hole (lseek SEEK_HOLE), and published files have none")
		return nil, f.Close()
	}
	sum := snapshot.NewDigest()
	h := &hashedFile{Reader: readahead.New(cancelReader{ctx, f}, sum), ctx: ctx, entry: entry, sum: sum}
	if info.Size() != entry.Bytes {
		return nil, errors.Join(h.check(nil, report), h.Close())
	}
	return h, nil
}

// check reads the rest of the file, and compares the file with the manifest. problem
// is an error in its content.
func (h *hashedFile) check(problem error, report reportFunc) error {
	_, err := io.Copy(io.Discard, h)
	name := h.entry.Name
	switch {
	case h.ctx.Err() != nil:
		return h.ctx.Err()
	case err != nil:
		report(name, "can't be read: %v", err)
	case h.sum.Bytes != h.entry.Bytes:
		report(name, "it has %d bytes, and the manifest has %d (its SHA-256 is %s)", h.sum.Bytes, h.entry.Bytes, h.sum)
	case h.sum.String() != h.entry.SHA256:
		report(name, "its digest is %s, and the manifest has %s", h.sum, h.entry.SHA256)
	case problem != nil:
		report(name, "%v", problem)
	}
	return nil
}

// checkRequests checks requests.ndjson, and compares its rows with the counts in
// the manifest.
func (c *checkedSnapshot) checkRequests(r io.Reader, file snapshot.File) error {
	lines := snapshot.NewLineReader(r)
	for {
		line, err := lines.Next()
		if err == io.EOF {
			return cmp.Or(rowsError(lines.N, file), c.Manifest.CheckRows(c.Manifest.Files, c.transcript))
		}
		if err == nil {
			err = c.transcript.Add(line)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", lines.N, err)
		}
	}
}

// rowsError is an error if a file doesn't have n lines.
func rowsError(n int, file snapshot.File) error {
	if n != file.Rows {
		return fmt.Errorf("it has %d lines, and the manifest has %d", n, file.Rows)
	}
	return nil
}

// A cancelReader ends with its context.
type cancelReader struct {
	ctx context.Context
	io.ReadCloser
}

func (c cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.ReadCloser.Read(p)
}

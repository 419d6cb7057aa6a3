package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// checkedSnapshot is a snapshot that Verify has looked into.
type checkedSnapshot struct {
	*Snapshot
	users    bool            // its users are what the manifest says
	wrong    map[string]bool // files that something has been found about
	byStatus map[string]int
	columns  *Columns // nil: it has no CSV
	passed   func()   // is called for each user that is looked at
}

// checkSnapshot looks into the folder of snap. What it compares snap with is
// before, the snapshot that was checked last, or nil.
func (v *verifier) checkSnapshot(ctx context.Context, snap *Snapshot, before *checkedSnapshot) (*checkedSnapshot, error) {
	c := &checkedSnapshot{Snapshot: snap, wrong: make(map[string]bool), byStatus: make(map[string]int), passed: v.checkedUser}
	report := func(file, format string, args ...any) {
		c.wrong[file] = true
		v.add(snap.finding(file, format, args...))
	}
	if snap.tomb {
		v.checkSigned(snap, report)
		v.sum.Pruned++
		return c, nil
	}
	if snap.Manifest.Declared.HasFormat(FormatCSV) {
		c.columns = NewColumns(snap.Manifest.Declared.Users.Attributes)
	}
	if err := c.checkNames(report); err != nil {
		return nil, err
	}
	for _, file := range snap.Manifest.Files {
		if c.wrong[file.Name] {
			continue
		}
		if err := c.checkFile(ctx, file, report); err != nil {
			return nil, err
		}
		v.sum.Files++
		v.sum.Bytes += file.Bytes
	}
	if !c.wrong[signatureFile] {
		v.checkSigned(snap, report)
	}
	if c.users = !c.wrong[usersFile]; c.users {
		v.sum.Users += snap.Manifest.Resources.Users.Total
	}
	v.sum.Snapshots++
	if err := c.checkCSV(ctx, report); err != nil {
		return nil, err
	}
	return c, c.checkChanges(ctx, before, report)
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
	if err != nil {
		return err
	}
	files := append(slices.Clone(c.Manifest.Files), File{Name: manifestFile, SHA256: c.Digest})
	if !bytes.Equal(data, sums(files)) {
		report(sumsFile, "does not say what the manifest says")
	}
	return nil
}

// checkFile reads a file once and holds it against what the manifest says.
func (c *checkedSnapshot) checkFile(ctx context.Context, file File, report reportFunc) error {
	f, err := openPlain(filepath.Join(c.dir, file.Name), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		report(file.Name, "is missing")
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	sum := newDigest()
	r := io.TeeReader(cancelReader{ctx, f}, sum)
	var problem error
	switch file.Name {
	case usersFile:
		problem = c.readUsers(r, file)
	case requestsFile:
		problem = c.readRequests(r)
	case changesFile:
		problem = checkRowCount(r, file)
	}
	_, err = io.Copy(io.Discard, r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case err != nil:
		report(file.Name, "can't be read: %v", err)
	case sum.String() != file.SHA256:
		report(file.Name, "its digest is %s, and the manifest says %s", sum, file.SHA256)
	case sum.bytes != file.Bytes:
		report(file.Name, "it has %d bytes, and the manifest says %d", sum.bytes, file.Bytes)
	case problem != nil:
		report(file.Name, "%v", problem)
	}
	return nil
}

// readUsers checks users.ndjson.zst: its lines are canonical and in order,
// and as many of each status as the manifest says.
func (c *checkedSnapshot) readUsers(r io.Reader, file File) error {
	content := newDigest()
	users, err := newUserReader(r, content)
	if err != nil {
		return err
	}
	defer users.Close()
	var again []byte
	for {
		user, err := users.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if again, err = Canonical(again[:0], user.JSON); err != nil || !bytes.Equal(again, user.JSON) {
			return fmt.Errorf("line %d is not canonical JSON", users.lines.n)
		}
		status, err := text(user.JSON, "status")
		if err != nil {
			return fmt.Errorf("line %d: %w", users.lines.n, err)
		}
		c.byStatus[status]++
		c.passed()
		if c.columns != nil {
			if err := c.columns.Add(user.JSON); err != nil {
				return fmt.Errorf("line %d: %w", users.lines.n, err)
			}
		}
	}
	switch {
	case content.String() != file.ContentSHA256:
		return fmt.Errorf("the digest of its content is %s, and the manifest says %s", content, file.ContentSHA256)
	case users.lines.n != file.Rows:
		return fmt.Errorf("it has %d users, and the manifest says %d", users.lines.n, file.Rows)
	case !maps.Equal(c.byStatus, c.Manifest.Resources.Users.ByStatus):
		return errors.New("its users by status are not those of the manifest")
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

// checkCSV renders the users as CSV anew, and holds the result against the
// digest in the manifest.
func (c *checkedSnapshot) checkCSV(ctx context.Context, report reportFunc) error {
	file, listed := c.Manifest.file(csvFile)
	if listed != (c.columns != nil) {
		report(csvFile, "does not fit the formats declared")
		return nil
	}
	if !listed || !c.users || c.wrong[csvFile] {
		return nil
	}
	users, err := c.Users()
	if err != nil {
		return err
	}
	defer users.Close()
	sum := newDigest()
	if err := WriteCSV(sum, untilDone{ctx, users}, c.columns); err != nil {
		return fmt.Errorf("render %s: %w", csvFile, err)
	}
	if sum.String() != file.SHA256 || file.Rows != c.Manifest.Resources.Users.Total {
		report(csvFile, "is not what the users render to")
	}
	return nil
}

// checkChanges compares the users with those of the snapshot before, and
// holds the difference against the changes file and the manifest.
func (c *checkedSnapshot) checkChanges(ctx context.Context, before *checkedSnapshot, report reportFunc) error {
	said := c.Manifest.Resources.Users
	file, listed := c.Manifest.file(changesFile)
	if listed != (said.Base == BasePrevious) {
		report(changesFile, "does not fit the base %q", said.Base)
		return nil
	}
	var declared *Declaration
	if c.Manifest.Previous != nil {
		if before == nil || before.Digest != c.Manifest.Previous.ManifestSHA256 {
			return nil // the chain is broken here, and that has been said
		}
		declared = &before.Manifest.Declared
	}
	rules, base := RulesFor(declared, c.Manifest.Declared)
	if base != said.Base {
		report(manifestFile, "its base is %q, and should be %q", said.Base, base)
		return nil
	}
	if !listed || !c.users || !before.users || c.wrong[changesFile] {
		return nil
	}
	counts, sum, err := recompute(ctx, before.Snapshot, c.Snapshot, rules)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // pruned just now
	}
	if err != nil {
		return err
	}
	switch {
	case sum.String() != file.SHA256:
		report(changesFile, "is not the difference with %s", before.Name())
	case counts.Added != said.Added || counts.Changed != said.Changed || counts.Removed != said.Removed,
		!maps.Equal(counts.Kinds, said.Kinds):
		report(manifestFile, "its counts are not those of the difference with %s", before.Name())
	}
	return nil
}

// recompute returns the difference of two snapshots as counts, and as the
// digest of its changes file.
func recompute(ctx context.Context, before, after *Snapshot, rules Rules) (Counts, *digest, error) {
	sum := newDigest()
	from, err := before.Users()
	if err != nil {
		return Counts{}, nil, err
	}
	defer from.Close()
	to, err := after.Users()
	if err != nil {
		return Counts{}, nil, err
	}
	defer to.Close()
	var line []byte
	counts, err := Diff(from, untilDone{ctx, to}, rules, func(c *Change) (err error) {
		if line, err = c.Line(line[:0]); err == nil {
			_, err = sum.Write(line)
		}
		return err
	})
	return counts, sum, err
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

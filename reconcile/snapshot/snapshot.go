package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/sign"
)

// A Snapshot is a published snapshot.
type Snapshot struct {
	Manifest Manifest
	Digest   string // SHA-256 of manifest.json

	// After a publish with a Stamper: the digest of the time stamp, and why there is
	// none.
	TimestampSHA256 string
	TimestampError  error

	dir string
}

// Name returns the name of the snapshot's folder.
func (s *Snapshot) Name() string { return s.Manifest.Snapshot }

// Recorded returns the resources of the snapshot, in the order of Resources.
func (s *Snapshot) Recorded() []*Resource { return s.Manifest.Recorded() }

// Dir returns the snapshot's folder.
func (s *Snapshot) Dir() string { return s.dir }

// Erased reports whether the records of s were removed.
func (s *Snapshot) Erased() bool { return filepath.Base(filepath.Dir(s.dir)) == PrunedDir }

// Damage returns one clause for each file that is missing or has the wrong size. It
// reads no file.
func (s *Snapshot) Damage() []string {
	var damage []string
	for _, file := range s.Manifest.Files {
		switch info, err := os.Lstat(filepath.Join(s.dir, file.Name)); {
		case errors.Is(err, fs.ErrNotExist):
			damage = append(damage, file.Name+" is missing")
		case err != nil || info.Size() != file.Bytes:
			damage = append(damage, file.Name+" doesn't have the size in its manifest")
		}
	}
	return damage
}

// link returns the link to s for the next manifest, nil for a nil snapshot.
func (s *Snapshot) link() *Link {
	if s == nil {
		return nil
	}
	return &Link{Snapshot: s.Name(), ManifestSHA256: s.Digest}
}

// Snapshot returns the snapshot of an export with this name.
func (s *Store) Snapshot(export, name string) (*Snapshot, error) {
	snap, err := ReadFolder(s.Path(export, name))
	if err == nil && (snap.Manifest.Export != export || snap.Manifest.Snapshot != name) {
		err = damaged(filepath.Join(snap.dir, ManifestFile),
			fmt.Errorf("its manifest is that of %s@%s", snap.Manifest.Export, snap.Manifest.Snapshot))
	}
	if e, ok := errors.AsType[*DamagedError](err); ok {
		e.Export = export
		return nil, e
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s@%s: %w", export, name, err)
	}
	return snap, nil
}

// Manifest returns the manifest of a snapshot, also of a pruned one. It isn't compared
// with the journal: verify.Verify does this.
func (s *Store) Manifest(export, name string) (*Manifest, error) {
	if _, err := ParseName(name); err != nil {
		return nil, &BadNameError{Name: name}
	}
	snap, err := s.snapshotOrTombstone(export, name)
	if err != nil {
		return nil, err
	}
	return &snap.Manifest, nil
}

// snapshotOrTombstone returns the snapshot of an export with this name. If there is none
// that can be read, it returns the tombstone in PrunedDir, if there is one.
func (s *Store) snapshotOrTombstone(export, name string) (*Snapshot, error) {
	snap, err := s.Snapshot(export, name)
	if err != nil {
		if tomb, tombErr := ReadFolder(s.Path(export, PrunedDir, name)); tombErr == nil {
			return tomb, nil
		}
	}
	return snap, err
}

// ReadFolder reads the manifest in the folder of a snapshot or of a tombstone. A
// manifest that is missing or wrong is a [DamagedError].
func ReadFolder(dir string) (*Snapshot, error) {
	path := filepath.Join(dir, ManifestFile)
	data, err := ReadBounded(path, MaxManifest)
	if err != nil {
		return nil, damaged(path, err)
	}
	m, err := ParseManifest(data)
	if err != nil {
		return nil, damaged(path, cause(err))
	}
	return &Snapshot{Manifest: *m, Digest: DigestOf(data), dir: dir}, nil
}

// Records opens the records of a resource. A resource that the snapshot doesn't
// record is a [NotRecordedError].
func (s *Snapshot) Records(r *Resource) (diff.Reader, error) {
	counts, ok := s.Manifest.Resources[r.Name]
	if !ok || !counts.IsAvailable() {
		return nil, &NotRecordedError{s.Manifest.Export, s.Name(), r.Name}
	}
	records, err := openRecords(s.dir, s.Manifest.Export, r, counts.Total, fileNamed(s.Manifest.Files, r.RecordsFile()).SHA256)
	if err != nil {
		return nil, fmt.Errorf("read %s of %s@%s: %w", r.Name, s.Manifest.Export, s.Name(), err)
	}
	return records, nil
}

// Content opens the uncompressed records of a resource. If the file isn't the published
// one, its end is an error instead of io.EOF.
func (s *Snapshot) Content(r *Resource) (io.ReadCloser, error) {
	records, err := s.Records(r)
	if err != nil {
		return nil, err
	}
	return records.(*recordReader), nil
}

// Changes opens the changes file of a resource, see diff.ParseChange. If the base
// of the resource isn't BasePrevious, there is no file, and Changes returns an
// empty one. If the file isn't the published one, its end is an error instead of io.EOF.
func (s *Snapshot) Changes(r *Resource) (io.ReadCloser, error) {
	f, wrap, err := openFile(s.dir, s.Manifest.Export, r.ChangesFile())
	if errors.Is(err, fs.ErrNotExist) && s.Manifest.Resources[r.Name].Base != BasePrevious {
		return io.NopCloser(strings.NewReader("")), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read changes of %s@%s: %w", s.Manifest.Export, s.Name(), err)
	}
	return &checkedFile{f, NewDigest(), fileNamed(s.Manifest.Files, r.ChangesFile()).SHA256, wrap}, nil
}

// A checkedFile is a file whose end is an error unless it has a digest.
type checkedFile struct {
	*os.File
	sum    *Digest
	sha256 string
	wrap   func(error) error
}

func (f *checkedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.sum.Write(p[:n])
	if err == io.EOF && f.sum.String() != f.sha256 {
		err = f.wrap(errWrongDigest)
	}
	return n, err
}

// EachChange returns the changes of a resource, in the order of their keys. It omits the
// lines for which wanted returns false; nil means that none is omitted. An error ends the
// sequence.
func (s *Snapshot) EachChange(r *Resource, wanted func(line []byte) bool) iter.Seq2[*diff.Change, error] {
	return func(yield func(*diff.Change, error) bool) {
		changes, err := s.Changes(r)
		if err != nil {
			yield(nil, err)
			return
		}
		defer changes.Close()
		lines := bufio.NewScanner(changes)
		lines.Buffer(nil, maxChange)
		for lines.Scan() {
			if wanted != nil && !wanted(lines.Bytes()) {
				continue
			}
			c, err := diff.ParseChange(lines.Bytes())
			if err != nil {
				err = fmt.Errorf("read changes of %s: %w", s.Name(), err)
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, fmt.Errorf("read changes of %s: %w", s.Name(), err))
		}
	}
}

const maxChange = 16 << 20 // bytes of a line, which can have the longest record twice

// Stamped returns the message of the time stamp of s: its signature, or its manifest
// if it isn't signed.
func (s *Snapshot) Stamped() ([]byte, error) {
	if s.Manifest.SignedBy == nil {
		return ReadBounded(filepath.Join(s.dir, ManifestFile), MaxManifest)
	}
	return ReadBounded(filepath.Join(s.dir, SignatureFile), sign.MaxKey)
}

// Timestamp returns the time stamp of s. Without one, the error is fs.ErrNotExist.
func (s *Snapshot) Timestamp() ([]byte, error) {
	return ReadBounded(filepath.Join(s.dir, TimestampFile), sign.MaxKey)
}

// Signer checks the signature of s, which must be signed, and returns the key.
func (s *Snapshot) Signer() (ssh.PublicKey, error) {
	armored, err := ReadBounded(filepath.Join(s.dir, SignatureFile), sign.MaxKey)
	if err != nil {
		return nil, cause(err)
	}
	manifest, err := canonjson.Marshal(s.Manifest)
	if err != nil {
		return nil, err
	}
	return sign.Verify(append(manifest, '\n'), armored, *s.Manifest.SignedBy, sign.Snapshot)
}

// Follows checks that a manifest is the successor of before, which is nil for the
// first snapshot: store, org, sequence, digest and times.
func (s *Store) Follows(snap, before *Snapshot) error {
	m := &snap.Manifest
	if err := s.checkOrg(m); err != nil {
		return err
	}
	want, sequence := before.link(), 1
	if before != nil {
		sequence = before.Manifest.Sequence + 1
	}
	switch {
	case m.Sequence != sequence:
		return fmt.Errorf("has the sequence %d, and %d is next", m.Sequence, sequence)
	case (m.Previous == nil) != (want == nil) || want != nil && *m.Previous != *want:
		return errors.New("doesn't follow the snapshot before it")
	case m.Read.Finished.Before(m.Read.Started.Time) || m.Signed.Before(m.Read.Finished.Time):
		return errors.New("its times contradict each other")
	case m.Read.Started.Format(nameLayout) != m.Snapshot:
		return errors.New("its name is not the time at which its read began")
	case before != nil && !m.Read.Started.After(before.Manifest.Read.Started.Time):
		return errors.New("its read began before that of the snapshot before it")
	case before != nil && m.Signed.Before(before.Manifest.Signed.Time):
		return errors.New("it was signed before the snapshot before it")
	}
	return nil
}

// checkOrg checks that a manifest belongs to the store and its org.
func (s *Store) checkOrg(m *Manifest) error {
	switch {
	case m.StoreID != s.meta.StoreID:
		return fmt.Errorf("belongs to the store %s", m.StoreID)
	case m.Org.URL != s.meta.Org.URL:
		return fmt.Errorf("belongs to the org %s", m.Org.URL)
	case m.Org.ID != s.meta.Org.ID && s.meta.Org.ID != "":
		return fmt.Errorf("belongs to the org with the id %q, and %s has %q", m.Org.ID, StoreFile, s.meta.Org.ID)
	}
	return nil
}

// Proofs returns the proofs of the removals that s records: of the records of r, or of
// their parents.
func (s *Snapshot) Proofs(r *Resource) (diff.Proofs, error) {
	return readProofs(s.dir, s.Manifest.Export, s.Manifest.Files, r)
}

// checkNames checks that the folder of s has exactly the files of its manifest, and
// perhaps a time stamp, and that SHA256SUMS names them.
func (s *Snapshot) checkNames() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	expected := append(s.Manifest.Names(), TimestampFile)
	for _, entry := range entries {
		if !slices.Contains(expected, entry.Name()) || !entry.Type().IsRegular() {
			return fmt.Errorf("%s is no part of it", entry.Name())
		}
	}
	sums, err := ReadBounded(filepath.Join(s.dir, SumsFile), MaxManifest)
	files := append(slices.Clone(s.Manifest.Files), File{Name: ManifestFile, SHA256: s.Digest})
	if err == nil && !bytes.Equal(sums, Sums(files)) {
		err = fmt.Errorf("%s doesn't match its manifest", SumsFile)
	}
	return err
}

// Sums returns the content of SHA256SUMS for files: what sha256sum prints.
func Sums(files []File) []byte {
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "%s  %s\n", f.SHA256, f.Name)
	}
	return []byte(b.String())
}

// WholeFiles reports whether each of the files in dir has its digest.
func WholeFiles(ctx context.Context, dir string, files []File) (bool, error) {
	for _, file := range files {
		f, err := OpenPlain(filepath.Join(dir, file.Name))
		if err != nil {
			return false, nil
		}
		if info, err := f.Stat(); err != nil || info.Size() != file.Bytes || HasHole(f, file.Bytes) {
			f.Close()
			return false, nil
		}
		sum := NewDigest()
		_, err = io.Copy(sum, cancelReader{ctx, f})
		f.Close()
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil || sum.String() != file.SHA256 {
			return false, nil
		}
	}
	return true, nil
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

// RulesFor returns the rules for comparing the records of a resource with those
// of an earlier snapshot, and the base of the comparison. before is its manifest,
// nil if there is no earlier snapshot. There is something to compare only if the
// base is BasePrevious. The rules have no proofs of removals.
//
// If the declared attributes differ, only the attributes that both declarations
// keep are compared. So an attribute that is new in the declaration isn't
// reported as a change, and an attribute that was excluded isn't reported as lost.
func RulesFor(r *Resource, before *Manifest, after Declaration) (diff.Rules, string) {
	is := after.Resources[r.Name]
	rules := diff.Rules{
		Key: r.Key, Label: r.Label, Always: r.Always(), Ignore: is.Changes.Ignore,
		Inactive: r.Inactive, Dates: r.Dates,
	}
	if before == nil {
		return rules, BaseNone
	}
	rules.Kind = func(t diff.Transition) (diff.Kind, error) { return r.Kind(t, is, before.Read.Started.Time) }
	was, declared := before.Declared.Resources[r.Name]
	if !declared || !before.Resources[r.Name].IsAvailable() {
		return rules, BaseNone
	}
	if !was.sameNarrowing(is) {
		return rules, BaseReset
	}
	if !was.Attributes.Equal(is.Attributes) {
		rules.Project = []canonjson.Attributes{was.Attributes, is.Attributes}
	}
	return rules, BasePrevious
}

// RulesAfter is RulesFor with the snapshot that BaseOf returns. If its records were
// erased, there is nothing to compare.
func RulesAfter(r *Resource, before *Snapshot, after Declaration) (diff.Rules, string) {
	if before == nil {
		return RulesFor(r, nil, after)
	}
	rules, base := RulesFor(r, &before.Manifest, after)
	if base == BasePrevious && before.Erased() {
		base = BaseReset
	}
	return rules, base
}

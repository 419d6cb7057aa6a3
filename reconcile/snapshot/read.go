package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/ssh"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/sign"
)

const (
	MaxManifest  = 4 << 20 // bytes of a manifest
	MaxLine      = 4 << 20 // bytes of a line of any file
	window       = 1 << 20 // bytes before the current one that the compression refers to
	maxExpansion = 1000    // uncompressed bytes for each compressed one, see MaxContent
)

var (
	// ErrLongLine means that a line is longer than any line of a published file.
	ErrLongLine = fmt.Errorf("line longer than %d bytes", MaxLine)

	errExpansion = fmt.Errorf("its content is more than %d times as large as the file", maxExpansion)
)

// MaxContent returns how many bytes a compressed file of this size may contain. So
// the work of a reader is bounded by the size of what it reads.
func MaxContent(packed int64) int64 { return 4*MaxLine + maxExpansion*packed }

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
	snap, err := s.Snapshot(export, name)
	if err == nil {
		return &snap.Manifest, nil
	}
	if tomb, tombErr := ReadFolder(s.Path(export, PrunedDir, name)); tombErr == nil {
		return &tomb.Manifest, nil
	}
	return nil, err
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

// Changes opens the changes file of a resource, see diff.ParseChange. If the base
// of the resource isn't BasePrevious, there is no file, and Changes returns an
// empty one.
func (s *Snapshot) Changes(r *Resource) (io.ReadCloser, error) {
	f, err := OpenPlain(filepath.Join(s.dir, r.ChangesFile()))
	if errors.Is(err, fs.ErrNotExist) && s.Manifest.Resources[r.Name].Base != BasePrevious {
		return io.NopCloser(strings.NewReader("")), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read changes of %s@%s: %w", s.Manifest.Export, s.Name(), err)
	}
	return f, nil
}

// recordReader reads the records of one resource from a compressed file.
type recordReader struct {
	resource *Resource
	file     io.Closer
	wrap     func(error) error // adds the export and path to an error; nil: the caller does
	total    int               // expected records; -1: unknown
	content  io.Closer
	sum      *Digest // of what was read of the file; nil: not computed
	sha256   string  // expected digest of the file
	lines    *LineReader
	key      []byte // of the last record
	next     []byte
}

// openRecords opens the total records in dir, in a file with the digest sha256. They
// belong to an export, or to a quarantined read if export is "". The end of the
// records is an error unless both are right.
func openRecords(dir, export string, r *Resource, total int, sha256 string) (*recordReader, error) {
	path := filepath.Join(dir, r.RecordsFile())
	wrap := func(err error) error {
		err = damaged(path, err)
		if e, ok := errors.AsType[*DamagedError](err); ok {
			e.Export = export
		}
		return err
	}
	f, err := OpenPlain(path)
	if err != nil {
		return nil, wrap(err)
	}
	sum := NewDigest()
	u, err := newRecordReader(io.TeeReader(f, sum), r)
	if err != nil {
		f.Close()
		return nil, err
	}
	u.file, u.wrap, u.total, u.sum, u.sha256 = f, wrap, total, sum, sha256
	return u, nil
}

// newRecordReader reads records from the compressed file r in the calling
// goroutine. It keeps one window and one line in memory.
func newRecordReader(r io.Reader, resource *Resource) (*recordReader, error) {
	content, err := Decompress(r)
	if err != nil {
		return nil, err
	}
	return recordsIn(content, resource), nil
}

func recordsIn(content io.ReadCloser, r *Resource) *recordReader {
	return &recordReader{resource: r, content: content, lines: NewLineReader(content), total: -1}
}

// RecordsIn reads the records of a resource from the content of its file.
func RecordsIn(content io.ReadCloser, r *Resource) diff.Reader { return recordsIn(content, r) }

// Decompress returns the content of a compressed file of records. It uses a bounded
// amount of memory. Content larger than MaxContent is an error.
func Decompress(packed io.Reader) (io.ReadCloser, error) {
	d := &decompressor{packed: packed}
	var err error
	d.decoder, err = zstd.NewReader((*packedReader)(d), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	return d, err
}

type decompressor struct {
	decoder      *zstd.Decoder
	packed       io.Reader
	packedBytes  int64 // read from packed
	contentBytes int64 // returned by decoder
}

func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.decoder.Read(p)
	if d.contentBytes += int64(n); d.contentBytes > MaxContent(d.packedBytes) {
		return 0, errExpansion
	}
	return n, err
}

func (d *decompressor) Close() error {
	d.decoder.Close()
	return nil
}

// packedReader counts the compressed bytes.
type packedReader decompressor

func (d *packedReader) Read(p []byte) (int, error) {
	n, err := d.packed.Read(p)
	d.packedBytes += int64(n)
	return n, err
}

func (u *recordReader) Next() (diff.Record, error) {
	record, err := u.read()
	if err == io.EOF && u.total >= 0 && u.total != u.lines.N {
		err = fmt.Errorf("it has %d %s, and the manifest has %d", u.lines.N, u.resource.Name, u.total)
	}
	if err == io.EOF && u.sum != nil && u.sum.String() != u.sha256 {
		err = errors.New("its digest is not the one in the manifest")
	}
	if err != nil && err != io.EOF && u.wrap != nil {
		err = u.wrap(err)
	}
	return record, err
}

func (u *recordReader) read() (diff.Record, error) {
	line, err := u.lines.Next()
	if err != nil {
		return diff.Record{}, ContentError(err)
	}
	line = line[:len(line)-1]
	if u.next, err = u.resource.AppendKey(u.next[:0], line); err != nil {
		return diff.Record{}, fmt.Errorf("line %d: %w", u.lines.N, err)
	}
	if u.lines.N > 1 && bytes.Compare(u.key, u.next) >= 0 {
		return diff.Record{}, fmt.Errorf("line %d: %s are not in the order of their keys", u.lines.N, u.resource.Name)
	}
	u.key, u.next = u.next, u.key
	return diff.Record{Key: u.key, JSON: line}, nil
}

func (u *recordReader) Close() error {
	err := u.content.Close()
	if u.file == nil {
		return err
	}
	return errors.Join(err, u.file.Close())
}

// A LineReader splits its input into lines of a bounded length.
type LineReader struct {
	r    *bufio.Reader
	N    int    // lines so far
	long []byte // a line that is longer than the reader's buffer
}

// NewLineReader returns a LineReader for r.
func NewLineReader(r io.Reader) *LineReader {
	return &LineReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Next returns the next line with its line feed, valid until the following call.
// After the last line, it returns io.EOF. A last line without a line feed is returned
// with io.ErrUnexpectedEOF.
func (l *LineReader) Next() ([]byte, error) {
	l.long = l.long[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if err == nil && len(l.long) == 0 {
			l.N++
			return part, nil
		}
		l.long = append(l.long, part...)
		switch {
		case len(l.long) > MaxLine:
			return nil, ErrLongLine
		case err == nil:
			l.N++
			return l.long, nil
		case err == io.EOF && len(l.long) > 0:
			return l.long, io.ErrUnexpectedEOF
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

// A DamagedError means that a file of a snapshot is missing, or isn't the published
// one.
type DamagedError struct {
	Export  string // "": the file belongs to a quarantined read
	Path    string
	Problem string // a clause
	err     error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("read %s: %s", e.Path, e.Problem) }

func (e *DamagedError) Unwrap() error { return e.err }

// damaged returns err as a *DamagedError if it is about the content of a file, and
// otherwise unchanged.
func damaged(path string, err error) error {
	problem := err.Error()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		problem = "it is missing"
	case errors.Is(err, ErrNotPlain):
		problem = "it " + ErrNotPlain.Error()
	case IsSystemError(err):
		return err
	}
	return &DamagedError{Path: path, Problem: problem, err: err}
}

// IsSystemError reports whether err has another cause than the content of a file: the
// operating system, another version of oktasync, or a context.
func IsSystemError(err error) bool {
	_, ofMachine := errors.AsType[*fs.PathError](err)
	_, ofVersion := errors.AsType[*formatError](err)
	return ofMachine || ofVersion || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// ProblemOf returns err as a clause about a file, for a finding of verify.
func ProblemOf(err error) string {
	switch e, ok := errors.AsType[*DamagedError](err); {
	case errors.Is(err, fs.ErrNotExist):
		return "is missing"
	case errors.Is(err, ErrNotPlain):
		return ErrNotPlain.Error()
	case ok:
		return e.Problem
	}
	return cause(err).Error()
}

// ContentError returns an error of reading compressed records as a clause for people.
func ContentError(err error) error {
	switch {
	case err == io.EOF, errors.Is(err, ErrLongLine), errors.Is(err, errExpansion), IsSystemError(err):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it is cut short")
	}
	return errors.New("its compressed content is damaged")
}

// cause returns the cause of err, without the context that the outer error adds.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

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

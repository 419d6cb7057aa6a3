package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"

	"oktasync/reconcile/snapshot/canonjson"
)

// Formats of what the store writes. A reader refuses any other.
const (
	storeFormat      = "oktasync.store/2"
	checkpointFormat = "oktasync.checkpoint/2"
	snapshotFormat   = "oktasync.snapshot/2"
	readFormat       = "oktasync.read/2"
)

const (
	MaxManifest = 4 << 20 // bytes of a manifest
	MaxLine     = 4 << 20 // bytes of a line of any file
)

// ErrLongLine means that a line is longer than any line of a published file.
var ErrLongLine = fmt.Errorf("line longer than %d bytes", MaxLine)

// openFile opens a file of a snapshot of an export, or of a quarantined read if export
// is "". wrap adds the export and the path to an error.
func openFile(dir, export, name string) (f *os.File, wrap func(error) error, err error) {
	path := filepath.Join(dir, name)
	wrap = func(err error) error {
		err = damaged(path, err)
		if e, ok := errors.AsType[*DamagedError](err); ok {
			e.Export = export
		}
		return err
	}
	if f, err = OpenPlain(path); err != nil {
		err = wrap(err)
	}
	return f, wrap, err
}

// nameLayout is the layout of a snapshot's name: the time at which its read began,
// in UTC.
const nameLayout = "20060102T150405Z"

// ParseName returns the time in the name of a snapshot.
func ParseName(name string) (time.Time, error) {
	t, err := time.Parse(nameLayout, name)
	if err == nil && len(name) != len(nameLayout) { // time.Parse accepts fractions of a second
		err = errors.New("not the name of a snapshot")
	}
	return t, err
}

// IsExportName reports whether name is the name of an export: up to 63 lower-case
// letters, digits and hyphens that don't begin with a hyphen.
func IsExportName(name string) bool {
	return len(name) > 0 && len(name) <= 63 && name[0] != '-' && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// A BadNameError means that a text isn't the name or date of a snapshot.
type BadNameError struct{ Name string }

func (e *BadNameError) Error() string {
	return fmt.Sprintf("%q doesn't name a snapshot: use a name (20260630T060000Z), a date (2026-06-30), a time (2026-06-30T06:00:00Z), "+
		"latest, or @-N for the Nth before the newest", e.Name)
}

// Time is an instant as the store writes it: RFC 3339 in UTC with
// milliseconds.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// At returns t as the store writes it, truncated to milliseconds.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalJSON implements json.Marshaler. Unlike that of time.Time, it always writes
// milliseconds.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalJSON implements json.Unmarshaler. It accepts only what MarshalJSON writes.
func (t *Time) UnmarshalJSON(data []byte) (err error) {
	t.Time, err = time.Parse(`"`+timeLayout+`"`, string(data))
	return err
}

// later returns the later of two times.
func later(a, b Time) Time {
	if b.After(a.Time) {
		return b
	}
	return a
}

// parseDocument parses a document that names its format.
func parseDocument(data []byte, format string, v any) error {
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return jsonError(err)
	}
	if head.Format != format {
		kind, _, _ := strings.Cut(format, "/")
		if strings.HasPrefix(head.Format, kind+"/") {
			return &formatError{head.Format, format}
		}
		return fmt.Errorf("its format is not %s", format)
	}
	return parseLine(data, v)
}

// A formatError means that another version of oktasync wrote a document.
type formatError struct{ format, supported string }

func (e *formatError) Error() string {
	return fmt.Sprintf("its format is %s, and this version of oktasync reads only %s", e.format, e.supported)
}

// jsonError returns an error of parsing JSON as a clause for people.
func jsonError(err error) error {
	e, ok := errors.AsType[*json.SemanticError](err)
	switch {
	case errors.Is(err, json.ErrUnknownName) && ok:
		return fmt.Errorf("it has an unknown member %.60q", string(e.JSONPointer))
	case ok:
		return fmt.Errorf("its member %.60q has a wrong type or value", string(e.JSONPointer))
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("it has a duplicate member")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("it is cut short")
	}
	return errors.New("it is not valid JSON")
}

// parseLine parses a line of plain RFC 8785 into v.
func parseLine(line []byte, v any) error {
	if err := json.Unmarshal(line, v, json.RejectUnknownMembers(true)); err != nil {
		return jsonError(err)
	}
	again, err := canonjson.Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(append(again, '\n'), line) {
		return errors.New("not in canonical form")
	}
	return nil
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

// A Digest is the SHA-256 and the size of what is written to it.
type Digest struct {
	sum   hash.Hash
	Bytes int64
}

// NewDigest returns an empty Digest.
func NewDigest() *Digest { return &Digest{sum: sha256.New()} }

// Write adds p. It never fails.
func (d *Digest) Write(p []byte) (int, error) {
	d.Bytes += int64(len(p))
	return d.sum.Write(p)
}

// String returns the digest in lower-case hex.
func (d *Digest) String() string { return hex.EncodeToString(d.sum.Sum(nil)) }

// DigestOf returns the SHA-256 of data in lower-case hex.
func DigestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// HasHole reports whether a file of this size has a hole: a part that takes time to
// read, and no space on disk. It returns false if the file system doesn't report holes.
func HasHole(f *os.File, size int64) bool {
	hole, err := f.Seek(0, unix.SEEK_HOLE)
	_, back := f.Seek(0, io.SeekStart)
	return err == nil && back == nil && hole < size
}

// DigestOfFile returns the SHA-256 of a regular file. For a file with holes, it is the
// SHA-256 of the size, and of the parts that take space on disk, with their positions.
func DigestOfFile(path string) (string, error) {
	f, err := OpenPlain(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	sum, size := NewDigest(), info.Size()
	if !HasHole(f, size) {
		_, err = io.Copy(sum, io.LimitReader(f, size)) // no more, while it grows
		return sum.String(), err
	}
	fmt.Fprintln(sum, size)
	for end := int64(0); ; {
		start, err := f.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, syscall.ENXIO) {
			return sum.String(), nil
		}
		if err == nil {
			end, err = f.Seek(start, unix.SEEK_HOLE)
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, start, end)
		if _, err := io.Copy(sum, io.NewSectionReader(f, start, end-start)); err != nil {
			return "", err
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

// cause returns the cause of err, without the context that the outer error adds.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

package snapshot

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

const (
	maxManifest = 4 << 20  // bytes of a manifest that are read
	maxLine     = 16 << 20 // bytes of a line of any file
	window      = 1 << 20  // how far back the compression looks: what a reader has to keep
)

var errLongLine = fmt.Errorf("line longer than %d bytes", maxLine)

// Snapshot is a published snapshot.
type Snapshot struct {
	Manifest Manifest
	Digest   string // SHA-256 of manifest.json
	dir      string
	tomb     bool // only its manifest and signature are there
}

// Name returns the name of the snapshot's folder.
func (s *Snapshot) Name() string { return s.Manifest.Snapshot }

// Dir returns the snapshot's folder.
func (s *Snapshot) Dir() string { return s.dir }

// Damage returns what is wrong with the snapshot's files as far as their names
// and sizes show it, a clause for each.
func (s *Snapshot) Damage() []string {
	var damage []string
	for _, file := range s.Manifest.Files {
		switch info, err := os.Lstat(filepath.Join(s.dir, file.Name)); {
		case errors.Is(err, fs.ErrNotExist):
			damage = append(damage, file.Name+" is missing")
		case err != nil || info.Size() != file.Bytes:
			damage = append(damage, file.Name+" has not the size that its manifest says")
		}
	}
	return damage
}

// link returns what the next manifest says of s.
func (s *Snapshot) link() *Link {
	if s == nil {
		return nil
	}
	return &Link{Snapshot: s.Name(), ManifestSHA256: s.Digest}
}

// snapshot reads the manifest of a snapshot.
func (s *Store) snapshot(export, name string) (*Snapshot, error) {
	snap, err := readSnapshot(s.path(export, name))
	if err == nil && (snap.Manifest.Export != export || snap.Manifest.Snapshot != name) {
		err = damaged(filepath.Join(snap.dir, manifestFile),
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

// Manifest returns the manifest of a snapshot, also of one that retention has
// removed. There is nothing to check it against: that is for Verify.
func (s *Store) Manifest(export, name string) (*Manifest, error) {
	if _, err := nameTime(name); err != nil {
		return nil, &BadNameError{Name: name}
	}
	snap, err := s.snapshot(export, name)
	if err == nil {
		return &snap.Manifest, nil
	}
	if tomb, tombErr := readSnapshot(s.path(export, prunedDir, name)); tombErr == nil {
		return &tomb.Manifest, nil
	}
	return nil, err
}

func readSnapshot(dir string) (*Snapshot, error) {
	path := filepath.Join(dir, manifestFile)
	data, err := readBounded(path, maxManifest)
	if err != nil {
		return nil, damaged(path, err)
	}
	m, err := ParseManifest(data)
	if err != nil {
		return nil, damaged(path, cause(err))
	}
	return &Snapshot{Manifest: *m, Digest: digestOf(data), dir: dir}, nil
}

// Users reads the snapshot's users.
func (s *Snapshot) Users() (UserReader, error) {
	users, err := openUsers(s.dir, s.Manifest.Export, s.Manifest.Resources.Users.Total)
	if err != nil {
		return nil, fmt.Errorf("read users of %s@%s: %w", s.Manifest.Export, s.Name(), err)
	}
	return users, nil
}

// Changes reads the snapshot's changes file, see ParseChange. A snapshot
// whose base is not BasePrevious has none, and Changes returns an empty one.
func (s *Snapshot) Changes() (io.ReadCloser, error) {
	f, err := openPlain(filepath.Join(s.dir, changesFile), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) && s.Manifest.Resources.Users.Base != BasePrevious {
		return io.NopCloser(strings.NewReader("")), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read changes of %s@%s: %w", s.Manifest.Export, s.Name(), err)
	}
	return f, nil
}

// userReader reads the users of a users.ndjson.zst.
type userReader struct {
	file  io.Closer
	wrong func(error) error // says whose an error is; nil: the caller does
	total int               // how many there should be; -1: whatever comes
	zstd  *zstd.Decoder
	lines *lineReader
	id    []byte // of the last user
	next  []byte
}

// openUsers reads the total users in dir, which are those of an export or, where
// it is "", held back.
func openUsers(dir, export string, total int) (*userReader, error) {
	path := filepath.Join(dir, usersFile)
	wrong := func(err error) error {
		err = damaged(path, err)
		if e, ok := errors.AsType[*DamagedError](err); ok {
			e.Export = export
		}
		return err
	}
	f, err := openPlain(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, wrong(err)
	}
	u, err := newUserReader(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	u.file, u.wrong, u.total = f, wrong, total
	return u, nil
}

// newUserReader reads users from r. One goroutine does it all, and it keeps a
// window and a line in memory.
func newUserReader(r io.Reader) (*userReader, error) {
	decoder, err := newDecoder(r)
	if err != nil {
		return nil, err
	}
	return &userReader{zstd: decoder, lines: newLineReader(decoder), total: -1}, nil
}

func (u *userReader) Next() (User, error) {
	user, err := u.read()
	if err == io.EOF && u.total >= 0 && u.total != u.lines.n {
		err = fmt.Errorf("it has %d users, and the manifest says %d", u.lines.n, u.total)
	}
	if err != nil && err != io.EOF && u.wrong != nil {
		err = u.wrong(err)
	}
	return user, err
}

func (u *userReader) read() (User, error) {
	line, err := u.lines.next()
	if err != nil {
		return User{}, unpackError(err)
	}
	line = line[:len(line)-1]
	if u.next, err = userID(u.next[:0], line); err != nil {
		return User{}, fmt.Errorf("line %d: %w", u.lines.n, err)
	}
	if u.lines.n > 1 && bytes.Compare(u.id, u.next) >= 0 {
		return User{}, fmt.Errorf("line %d: users are not in the order of their ids", u.lines.n)
	}
	u.id, u.next = u.next, u.id
	return User{ID: u.id, JSON: line}, nil
}

func (u *userReader) Close() error {
	u.zstd.Close()
	if u.file == nil {
		return nil
	}
	return u.file.Close()
}

// userID appends the id of a user in canonical form to dst.
func userID(dst, user []byte) ([]byte, error) {
	value, err := find(user, "id")
	if err != nil {
		return dst, err
	}
	if len(value) <= 2 || value[0] != '"' {
		return dst, errors.New("a user without an id")
	}
	return appendText(dst, value[1:len(value)-1]), nil
}

// lineReader cuts what it reads into lines.
type lineReader struct {
	r    *bufio.Reader
	long []byte // a line that the reader's buffer can't hold
	n    int    // lines so far
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the next line with its line feed, valid until the following
// call. After the last one it returns io.EOF, or, with what there is of it,
// io.ErrUnexpectedEOF where a line has no line feed.
func (l *lineReader) next() ([]byte, error) {
	l.long = l.long[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if err == nil && len(l.long) == 0 {
			l.n++
			return part, nil
		}
		l.long = append(l.long, part...)
		switch {
		case len(l.long) > maxLine:
			return nil, errLongLine
		case err == nil:
			l.n++
			return l.long, nil
		case err == io.EOF && len(l.long) > 0:
			return l.long, io.ErrUnexpectedEOF
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

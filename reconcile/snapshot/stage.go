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
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// A stage is a folder that is filled beside the published ones. Every file in
// it is on disk once it is listed in files.
type stage struct {
	fsys   fileSystem
	access access
	dir    string
	files  []File
}

func newStage(fsys fileSystem, a access, dir string) (*stage, error) {
	if err := fsys.Mkdir(dir, a); err != nil {
		return nil, err
	}
	return &stage{fsys: fsys, access: a, dir: dir}, nil
}

// create writes a file by fill, which returns its rows. Its digest is taken
// on the way.
func (s *stage) create(file File, fill func(w *bufio.Writer, file *File) error) error {
	f, err := s.fsys.Create(filepath.Join(s.dir, file.Name), s.access)
	if err != nil {
		return err
	}
	sum := newDigest()
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 128<<10)
	err = fill(w, &file)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file.Name, err)
	}
	file.Bytes, file.SHA256 = sum.bytes, sum.String()
	s.files = append(s.files, file)
	return nil
}

// write writes a file whole.
func (s *stage) write(name string, data []byte) error {
	return s.create(File{Name: name}, func(w *bufio.Writer, _ *File) error {
		_, err := w.Write(data)
		return err
	})
}

// users writes users.ndjson.zst, and shows each user to columns unless they
// are nil.
func (s *stage) users(ctx context.Context, users UserReader, columns *Columns) error {
	return s.create(File{Name: usersFile, Resource: resourceUsers}, func(w *bufio.Writer, file *File) error {
		content := newDigest()
		encoder, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithZeroFrames(true))
		if err != nil {
			return err
		}
		defer encoder.Close()
		lines := bufio.NewWriterSize(io.MultiWriter(encoder, content), 64<<10)
		if file.Rows, err = writeUsers(ctx, lines, users, columns); err != nil {
			return err
		}
		if err := lines.Flush(); err != nil {
			return err
		}
		file.ContentSHA256 = content.String()
		return encoder.Close()
	})
}

// writeUsers writes users as lines, and holds their reader to its order.
func writeUsers(ctx context.Context, w *bufio.Writer, users UserReader, columns *Columns) (rows int, err error) {
	var last []byte
	for ; ; rows++ {
		if err := ctx.Err(); err != nil {
			return rows, err
		}
		user, err := users.Next()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, fmt.Errorf("read users: %w", err)
		}
		if rows > 0 && bytes.Compare(last, user.ID) >= 0 {
			return rows, fmt.Errorf("read users: user %q stands after %q", user.ID, last)
		}
		last = append(last[:0], user.ID...)
		if columns != nil {
			if err := columns.Add(user.JSON); err != nil {
				return rows, fmt.Errorf("user %q: %w", user.ID, err)
			}
		}
		w.Write(user.JSON)
		if err := w.WriteByte('\n'); err != nil {
			return rows, err
		}
	}
}

// csv renders users.csv from the users that were written.
func (s *stage) csv(ctx context.Context, columns *Columns) error {
	return s.create(File{Name: csvFile, Resource: resourceUsers}, func(w *bufio.Writer, file *File) error {
		f, err := s.fsys.Open(filepath.Join(s.dir, usersFile))
		if err != nil {
			return err
		}
		defer f.Close()
		users, err := newUserReader(f)
		if err != nil {
			return err
		}
		defer users.Close()
		err = WriteCSV(w, untilDone{ctx, users}, columns)
		file.Rows = users.lines.n
		return err
	})
}

// untilDone is a UserReader that ends with its context.
type untilDone struct {
	ctx context.Context
	UserReader
}

func (u untilDone) Next() (User, error) {
	if err := u.ctx.Err(); err != nil {
		return User{}, err
	}
	return u.UserReader.Next()
}

// lines copies the lines of r into a file, and shows each to look.
func (s *stage) lines(ctx context.Context, file File, r io.Reader, look func(line []byte) error) error {
	return s.create(file, func(w *bufio.Writer, file *File) error {
		lines := newLineReader(r)
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			line, err := lines.next()
			file.Rows = lines.n
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := look(line); err != nil {
				return fmt.Errorf("line %d: %w", lines.n, err)
			}
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
	})
}

// sums returns SHA256SUMS: what sha256sum writes for files.
func sums(files []File) []byte {
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "%s  %s\n", f.SHA256, f.Name)
	}
	return []byte(b.String())
}

// digest counts and digests what is written to it.
type digest struct {
	sum   hash.Hash
	bytes int64
}

func newDigest() *digest { return &digest{sum: sha256.New()} }

func (d *digest) Write(p []byte) (int, error) {
	d.bytes += int64(len(p))
	return d.sum.Write(p)
}

func (d *digest) String() string { return hex.EncodeToString(d.sum.Sum(nil)) }

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"oktasync/cmd/oktasync/internal/term"
)

// How long somebody may take who writes to a pipe: to begin, and in all, as a
// command may ask a person for a password first.
const (
	pipeBegins = 5 * time.Second
	pipeEnds   = time.Minute
)

// ReadArgument reads a file that the command line names, and no more than most
// bytes. It may be a pipe, as /dev/stdin and <(a command) are, but none that
// nobody writes to: that would be waited for for ever.
func ReadArgument(file string, most int64) ([]byte, error) {
	return readFile(file, most, true)
}

// ReadFile is readNamed for what the configuration names, which is read
// whenever it is needed: a pipe gives what is in it once.
func ReadFile(file string, most int64) ([]byte, error) {
	return readFile(file, most, false)
}

func readFile(file string, most int64, pipe bool) ([]byte, error) {
	if problem := PathProblem(file); problem != "" {
		return nil, errors.New(problem)
	}
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would block
	if err != nil {
		return nil, WrapFileError(file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, WrapFileError(file, err)
	}
	read := io.ReadAll
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, WrapFileError(file, syscall.EISDIR)
	case mode.Type() == fs.ModeNamedPipe && pipe:
		read = func(r io.Reader) ([]byte, error) { return readPipe(f, r) }
	case !mode.IsRegular() && !isNull(info):
		return nil, fmt.Errorf("%s is no regular file", file)
	}
	data, err := read(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, WrapFileError(file, err)
	case int64(len(data)) > most:
		return nil, fmt.Errorf("%s is larger than %d bytes", file, most)
	}
	return data, nil
}

// readPipe reads r, which is of f, to its end. A pipe that nobody has opened for
// writing yet has an end, too: that is waited out.
func readPipe(f *os.File, r io.Reader) ([]byte, error) {
	if err := f.SetReadDeadline(time.Now().Add(pipeEnds)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		data, err := io.ReadAll(r)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("%s is a pipe, and its end did not come within %s", f.Name(), term.Duration(pipeEnds))
		case err != nil || len(data) > 0:
			return data, err
		case time.Since(began) > pipeBegins:
			return nil, fmt.Errorf("%s is a pipe, and nobody writes to it", f.Name())
		}
	}
}

// isNull reports whether a file is the null device, which people name for a file
// with nothing in it.
func isNull(info fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

// FileError says in people's words why a file that they have named can't be read.
// Other errors are as they were.
func WrapFileError(file string, err error) error {
	text := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = "there is no " + file
	case errors.Is(err, syscall.ENOTDIR):
		text = fmt.Sprintf("there is no %s: a part of the path is no folder", file)
	case errors.Is(err, fs.ErrPermission):
		text = fmt.Sprintf("%s may not be read by %s", file, CurrentUser())
		if _, err := os.Stat(file); err == nil {
			text += " (" + Access(file) + ")"
		}
	case errors.Is(err, syscall.EISDIR):
		text = file + " is a folder, and not a file"
	case errors.Is(err, syscall.ELOOP):
		text = fmt.Sprintf("there is no %s: links lead in a circle", file)
	default:
		return err
	}
	return FileError{text, err}
}

// FileError is an error in other words than its own.
type FileError struct {
	text string
	err  error
}

func (w FileError) Error() string { return w.text }
func (w FileError) Unwrap() error { return w.err }

// baseDir returns the folder that relative paths in a file are relative to: the
// file's own folder, or the current folder if the file is a descriptor of the
// process (/dev/stdin, /dev/fd/63). /dev/shm contains ordinary files.
func baseDir(file string) string {
	for _, prefix := range []string{"/dev/std", "/dev/fd/", "/proc/"} {
		if strings.HasPrefix(filepath.Clean(file), prefix) {
			return "."
		}
	}
	return filepath.Dir(file)
}

// hintError is an error with a hint: what to do about it.
type hintError struct {
	error
	hint string
}

// WithHint returns err with a hint for the user.
func WithHint(err error, hint string) error { return hintError{err, hint} }

func (e hintError) Unwrap() error { return e.error }

func (e hintError) Hint() string { return e.hint }

// Access says who may read a file.
func Access(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return err.Error()
	}
	owner := "its owner"
	if stat, isUnix := info.Sys().(*syscall.Stat_t); isUnix {
		owner = userName(int(stat.Uid))
	}
	return fmt.Sprintf("mode %04o, owner %s", info.Mode().Perm(), owner)
}

func CurrentUser() string { return userName(os.Geteuid()) }

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid)
}

package config

import (
	"crypto/sha256"
	"encoding/hex"
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

// Limits of reading a pipe: until its writer begins, and until it ends, because it
// may first ask a person for a password.
const (
	pipeBegins = 5 * time.Second
	pipeEnds   = time.Minute
)

// ReadArgument reads a file of at most most bytes that the command line names. It
// may be a pipe, such as /dev/stdin or <(command).
func ReadArgument(file string, most int64) ([]byte, error) {
	return readFile(file, most, true, 0)
}

// ReadFile reads a file of at most most bytes that the configuration names. It must
// be a regular file, because the daemon reads it again.
func ReadFile(file string, most int64) ([]byte, error) {
	return readFile(file, most, false, 0)
}

// ReadSecret is ReadFile for a file with a secret. It returns an error if all users
// have access to the file.
func ReadSecret(file string, most int64) ([]byte, error) {
	return readFile(file, most, false, 0o007)
}

func readFile(file string, most int64, pipe bool, forbidden fs.FileMode) ([]byte, error) {
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
		return nil, fmt.Errorf("%s is not a regular file", file)
	case mode.Perm()&forbidden != 0:
		return nil, fmt.Errorf("other users have access to %s (mode %04o): run `chmod 600 %s`", file, mode.Perm(), term.ShellWord(file))
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

// readPipe reads r, a part of f, to its end. Before a writer opens the pipe, a read
// returns the end too.
func readPipe(f *os.File, r io.Reader) ([]byte, error) {
	if err := f.SetReadDeadline(time.Now().Add(pipeEnds)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		data, err := io.ReadAll(r)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("%s is a pipe that did not end within %s", f.Name(), term.Duration(pipeEnds))
		case err != nil || len(data) > 0:
			return data, err
		case time.Since(began) > pipeBegins:
			return nil, fmt.Errorf("%s is a pipe without a writer", f.Name())
		}
	}
}

// isNull reports whether a file is the null device, which stands for an empty file.
func isNull(info fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

// WrapFileError returns a FileError for the reason why a file can't be read. It
// returns other errors unchanged.
func WrapFileError(file string, err error) error {
	text := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = "there is no " + file
	case errors.Is(err, syscall.ENOTDIR):
		text = fmt.Sprintf("there is no %s: a part of the path is not a folder", file)
	case errors.Is(err, fs.ErrPermission):
		text = fmt.Sprintf("%s can't read %s", CurrentUser(), file)
		if _, err := os.Stat(file); err == nil {
			text += " (" + Access(file) + ")"
		}
	case errors.Is(err, syscall.EISDIR):
		text = file + " is a folder, not a file"
	case errors.Is(err, syscall.ELOOP):
		text = fmt.Sprintf("the links of %s form a loop", file)
	default:
		return err
	}
	return FileError{text, err}
}

// FileError is an error with a text for people.
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

// hintError is an error with a hint about what to do.
type hintError struct {
	error
	hint string
}

// WithHint returns err with a hint for the user.
func WithHint(err error, hint string) error { return hintError{err, hint} }

func (e hintError) Unwrap() error { return e.error }

func (e hintError) Hint() string { return e.hint }

// Access returns the mode and the owner of a file, for messages.
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

// CurrentUser returns the name of the user that runs this process.
func CurrentUser() string { return userName(os.Geteuid()) }

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid)
}

// PathProblem returns the problem with a path, or "". It contains no part of the
// path, which could be a pasted key.
func PathProblem(path string) string {
	switch {
	case strings.Contains(path, "-----BEGIN") || strings.HasPrefix(strings.TrimSpace(path), "{"):
		return "this is a key, not a path; write the key to a file"
	case strings.ContainsAny(path, "\n\r\x00"):
		return "contains a line break; use the path of a file"
	case path == "~" || strings.HasPrefix(path, "~/"):
		return "\"~\" is not expanded; write the whole path"
	}
	return ""
}

// resolve returns path relative to dir.
func resolve(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// SHA256 returns the digest of data in hexadecimal.
func SHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

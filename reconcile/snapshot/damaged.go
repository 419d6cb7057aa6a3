package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// DamagedError says that a file of a snapshot is not what was published, or is
// not there.
type DamagedError struct {
	Export  string // "" where it is about a quarantined reading
	Path    string
	Problem string // a clause
	err     error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("read %s: %s", e.Path, e.Problem) }

func (e *DamagedError) Unwrap() error { return e.err }

// Hint says what to do.
func (e *DamagedError) Hint() string {
	if e.Export == "" {
		return "what is held can't be released; `oktasync quarantine drop` removes it, and `oktasync apply` reads anew"
	}
	return fmt.Sprintf("`oktasync verify` says what is damaged; put the snapshot's folder back from a backup, or, if it is the newest, "+
		"move it out of the store and go on from the one before, on the record: `oktasync adopt %s --reason TEXT`", e.Export)
}

// damaged returns what is wrong with a file as a *DamagedError, and what is not
// the file's fault as it is.
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

// isSystem reports whether err comes from the machine or from another version
// of the program, and not from what was read.
func IsSystemError(err error) bool {
	_, ofMachine := errors.AsType[*fs.PathError](err)
	_, ofVersion := errors.AsType[*formatError](err)
	return ofMachine || ofVersion || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// problemOf is what Verify says of err.
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

// unpackError is what reading the lines of compressed users says, in the words
// of a person.
func ContentError(err error) error {
	switch {
	case err == io.EOF, errors.Is(err, ErrLongLine), IsSystemError(err):
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

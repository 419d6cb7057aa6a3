package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// output is standard output. It keeps the first write error, so that a command can't
// succeed with incomplete output, as on a full disk.
type output struct {
	io.Writer
	failed error // the first error
}

func (o *output) Write(p []byte) (int, error) {
	if o.failed != nil {
		return 0, o.failed // write nothing after a gap
	}
	n, err := o.Writer.Write(p)
	o.failed = err
	return n, err
}

// Fd returns the file descriptor for term.IsTerminal, and -1 if there is none.
func (o *output) Fd() uintptr {
	if f, ok := o.Writer.(interface{ Fd() uintptr }); ok {
		return f.Fd()
	}
	return ^uintptr(0)
}

// complete returns err, and an error if the output is incomplete.
func (o *output) complete(err error) error {
	if o.failed == nil {
		return err
	}
	cause := o.failed
	if file := (*os.PathError)(nil); errors.As(cause, &file) {
		cause = file.Err
	}
	lost := fmt.Errorf("standard output is incomplete: %v", cause) // %v: no hint about the store applies
	if status := (exitError{}); err == nil || errors.As(err, &status) || errors.Is(err, o.failed) {
		return lost
	}
	return errors.Join(err, lost)
}

// writeJSON prints v as one indented JSON document.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

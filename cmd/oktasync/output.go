package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"oktasync/cmd/oktasync/internal/term"
)

// output is standard output. It remembers that something could not be written:
// half a list on a full disk must not pass for a whole one, whatever the command
// looks at of its own.
type output struct {
	io.Writer
	failed error // the first failure
}

func (o *output) Write(p []byte) (int, error) {
	if o.failed != nil {
		return 0, o.failed // nothing comes after a gap
	}
	n, err := o.Writer.Write(p)
	o.failed = err
	return n, err
}

// Fd is that of the file behind it, for isTerminal; no file's where there is none.
func (o *output) Fd() uintptr {
	if f, ok := o.Writer.(interface{ Fd() uintptr }); ok {
		return f.Fd()
	}
	return ^uintptr(0)
}

// whole returns err, how a command ended, or that its output is not whole.
func (o *output) whole(err error) error {
	if o.failed == nil {
		return err
	}
	cause := o.failed
	if file := (*os.PathError)(nil); errors.As(cause, &file) {
		cause = file.Err
	}
	lost := fmt.Errorf("standard output is not whole: %v", cause) // a disk of somebody else's, not the store's
	if told := (exitError{}); err == nil || errors.As(err, &told) || errors.Is(err, o.failed) {
		return lost
	}
	return errors.Join(err, lost)
}

// data is where users go as they are, but for a terminal: nobody wants what a
// user's title may do to it.
func (a *app) data() io.Writer {
	if !term.IsTerminal(a.stdout) {
		return a.stdout
	}
	return term.NewSafeWriter(a.stdout)
}

// writeJSON prints v as one indented JSON document.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

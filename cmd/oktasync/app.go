package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/daemon"
	"oktasync/cmd/oktasync/internal/term"
)

// The exit statuses.
const (
	exitDone        = 0
	exitFailed      = 1
	exitChanges     = 2 // plan and diff with --detailed-exitcode found changes
	exitQuarantined = 3 // the guard stopped a read
)

// app contains the output and the global flags, which the commands share.
type app struct {
	stdout, stderr io.Writer        // escape control characters on a terminal
	statusLine     *term.StatusLine // of stderr; nil if stderr is no terminal
	getenv         func(string) (string, bool)
	jsonLog        *slog.Logger // nil: the log doesn't have JSON lines

	membershipLag time.Duration // of the org; 0: Okta's

	configFile string
	envFile    string
	logLevel   string
	noColor    bool
	quiet      bool
}

// exitError ends the program with a status and without a message.
type exitError struct{ status int }

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// exit prints err and returns the exit status.
func (a *app) exit(err error) int {
	var e exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.status
	}
	a.printError(err)
	return exitFailed
}

// printError prints an error, and its hint on the next line. If the log has JSON
// lines, the error is one of them.
func (a *app) printError(err error) {
	if a.jsonLog != nil {
		var hint []any
		if text := hintFor(err); text != "" {
			hint = []any{"hint", text}
		}
		a.jsonLog.Error(err.Error(), hint...)
		return
	}
	priority := ""
	if daemon.IsJournal(a.stderr) {
		priority = "<3>" // an error, as in sd-daemon(3)
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintf(a.stderr, "%soktasync: error: %s\n", priority, term.Safe(line))
	}
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(a.stderr, "oktasync: hint: %s\n", term.Safe(hint))
	}
}

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

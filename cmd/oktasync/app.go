package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/lmittmann/tint"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/daemon"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
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

// hintFor returns what the user can do about an error, and "" if unknown.
func hintFor(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		return h.Hint()
	}
	if hint := org.Hint(err); hint != "" {
		return hint
	}
	if e, ok := errors.AsType[*reconcile.QuarantinedError](err); ok {
		return fmt.Sprintf("check the app's admin role with `oktasync doctor`, and the changes with `oktasync quarantine diff %[1]s`; "+
			"if both are correct, run `oktasync quarantine release %[1]s --reason TEXT`, or read again with `oktasync apply %[1]s --publish-anyway --reason TEXT`", e.Export)
	}
	return storeHint(err)
}

// storeHint returns what the user can do about an error of the store.
func storeHint(err error) string {
	if e, ok := errors.AsType[*snapshot.MismatchError](err); ok {
		return fmt.Sprintf("`oktasync verify` lists the differences; restore the files from a backup, or accept the current state with "+
			"`oktasync adopt %s --reason TEXT`", e.Export)
	}
	if e, ok := errors.AsType[*snapshot.RollbackError](err); ok {
		return fmt.Sprintf("restore the newer copy, or accept the older one with `oktasync adopt %s --lost %s --reason TEXT`", e.Export, e.Lost)
	}
	if e, ok := errors.AsType[*snapshot.DamagedError](err); ok {
		if e.Export == "" {
			return "a damaged read can't be released; `oktasync quarantine drop` removes it, and `oktasync apply` reads again"
		}
		return fmt.Sprintf("`oktasync verify` lists the damaged files; restore the snapshot's folder from a backup. If there is no backup of the newest snapshot, "+
			"move its folder out of the store, and continue from the snapshot before: `oktasync adopt %s --reason TEXT`", e.Export)
	}
	if _, ok := errors.AsType[*snapshot.OrgError](err); ok {
		return "a store belongs to one org; set another store.path for this org"
	}
	if errors.Is(err, snapshot.ErrTooLarge) {
		return "Okta returned a value that is too large to be published; exclude the attribute (attributes.exclude), or correct it in Okta"
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return "free some space there; `oktasync doctor` prints how much a snapshot needs"
	}
	if errors.Is(err, syscall.EROFS) {
		return "the store is on a read-only file system: mount it read-write, or set another store.path; verify, list, show and diff only read"
	}
	file, ok := errors.AsType[*fs.PathError](err)
	if ok && errors.Is(file, fs.ErrPermission) && !errors.As(err, new(config.FileError)) { // a FileError names the owner
		return fmt.Sprintf("this process runs as %s: run it as the owner of these files; store.group lets others read a store", config.CurrentUser())
	}
	return ""
}

// daemonLogger returns the log of the daemon. The format auto is text on a terminal,
// entries with fields in systemd's journal, and JSON lines elsewhere. If the log has
// JSON lines, later errors of the program have the same format.
func (a *app) daemonLogger(level slog.Leveler, format string) *slog.Logger {
	log := newLogger(a.stderr, level, format, a.color(a.stderr))
	if _, ok := log.Handler().(*slog.JSONHandler); ok {
		a.jsonLog = log
	}
	return log
}

// commandLogger is daemonLogger for a command that ends. Its format auto is never
// JSON lines, because the command also prints notes and results for people.
func (a *app) commandLogger(level slog.Leveler, format string) *slog.Logger {
	if format == "auto" && !daemon.IsJournal(a.stderr) {
		format = "text"
	}
	return a.daemonLogger(level, format)
}

// newLogger returns a logger that writes to w.
func newLogger(w io.Writer, level slog.Leveler, format string, color bool) *slog.Logger {
	if format == "auto" && daemon.IsJournal(w) {
		return slog.New(daemon.NewJournalHandler(level))
	}
	if format == "json" || format == "auto" && !term.IsTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: readableDuration}))
	}
	return slog.New(tint.NewTextHandler(term.Unescaped(w), &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !color, ReplaceAttr: visibleEscape}))
}

// readableDuration writes durations as 1.5s instead of nanoseconds.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	return a
}

// visibleEscape replaces escape characters in values. With colors, tint quotes other
// control characters, but not this one.
func visibleEscape(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Any().(type) {
	case string, error:
		a.Value = slog.StringValue(strings.ReplaceAll(a.Value.String(), "\x1b", "\u241b"))
	}
	return a
}

// color reports whether output to w may have colors (https://no-color.org).
func (a *app) color(w io.Writer) bool {
	noColor, _ := a.getenv("NO_COLOR")
	return !a.noColor && noColor == "" && term.IsTerminal(w)
}

func logLevel(name string) (level slog.Level, err error) {
	if level.UnmarshalText([]byte(name)) != nil {
		return 0, fmt.Errorf("--log-level %s: must be debug, info, warn or error", term.Word(name))
	}
	return level, nil
}

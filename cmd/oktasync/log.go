package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/lmittmann/tint"

	"oktasync/cmd/oktasync/internal/daemon"
	"oktasync/cmd/oktasync/internal/term"
)

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

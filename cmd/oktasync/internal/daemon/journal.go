package daemon

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/journal"

	"oktasync/cmd/oktasync/internal/term"
)

// IsJournal reports whether w is the standard error output, and systemd's journal
// reads it.
func IsJournal(w io.Writer) bool {
	if w != io.Writer(os.Stderr) {
		return false
	}
	is, err := journal.StderrIsJournalStream()
	return err == nil && is
}

// journalHandler writes log records as entries of systemd's journal. Each attribute is
// a field, for `journalctl EXPORT=all-users`, and is also appended to the message, for
// people.
type journalHandler struct {
	level slog.Leveler
	send  func(message string, priority journal.Priority, fields map[string]string) error
	with  []func(slog.Handler) slog.Handler // WithAttrs and WithGroup, for the handler of each record
}

// NewJournalHandler returns a handler that writes to systemd's journal.
func NewJournalHandler(level slog.Leveler) slog.Handler {
	return &journalHandler{level: level, send: journal.Send}
}

func (h *journalHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.and(func(text slog.Handler) slog.Handler { return text.WithAttrs(attrs) })
}

func (h *journalHandler) WithGroup(name string) slog.Handler {
	return h.and(func(text slog.Handler) slog.Handler { return text.WithGroup(name) })
}

func (h *journalHandler) and(with func(slog.Handler) slog.Handler) slog.Handler {
	return &journalHandler{h.level, h.send, append(slices.Clip(h.with), with)}
}

// Handle implements slog.Handler. A TextHandler formats the attributes and passes each
// one to replace.
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	var attrs strings.Builder
	fields := make(map[string]string)
	replace := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		fields[fieldName(append(groups, a.Key))] = term.SafeLines(a.Value.String())
		return a
	}
	var text slog.Handler = slog.NewTextHandler(&attrs, &slog.HandlerOptions{Level: r.Level, ReplaceAttr: replace})
	for _, with := range h.with {
		text = with(text)
	}
	message, priority := r.Message, journalPriority(r.Level)
	r.Time = time.Time{} // the journal adds the time
	if err := text.Handle(ctx, r); err != nil {
		return err
	}
	return h.send(strings.TrimSpace(message+" "+attrs.String()), priority, fields)
}

// fieldName returns the name of a journal field: capital letters, digits and
// underscores, with a capital letter first.
func fieldName(path []string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(strings.Join(path, "_")))
	if name == "" || name[0] < 'A' || name[0] > 'Z' {
		name = "X" + name
	}
	return name
}

func journalPriority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}

package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

// IsJournal reports whether w writes to systemd's journal.
func IsJournal(w io.Writer) bool {
	if w != io.Writer(os.Stderr) {
		return false
	}
	is, err := journal.StderrIsJournalStream()
	return err == nil && is
}

// journalHandler writes log lines as the journal's own entries: each attribute
// is a field, so that `journalctl EXPORT=all-users` finds it, and follows the
// message too, for whoever reads along.
type journalHandler struct {
	level slog.Leveler
	send  func(message string, priority journal.Priority, fields map[string]string) error
	group string // of the attributes to come, "" or "a."
	attrs []slog.Attr
}

// NewJournalHandler returns a handler that writes to systemd's journal.
func NewJournalHandler(level slog.Leveler) slog.Handler {
	return &journalHandler{level: level, send: journal.Send}
}

func (h *journalHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clip(h.attrs)
	for _, a := range attrs {
		with.attrs = append(with.attrs, flatAttrs(h.group, a)...)
	}
	return &with
}

func (h *journalHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.group += name + "."
	return &with
}

func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clone(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, flatAttrs(h.group, a)...)
		return true
	})
	var message strings.Builder
	message.WriteString(r.Message)
	fields := make(map[string]string, len(attrs))
	for _, a := range attrs {
		text := attrText(a.Value)
		fields[fieldName(a.Key)] = text
		if strings.ContainsAny(text, " \"=\n") || text == "" {
			text = strconv.Quote(text)
		}
		fmt.Fprintf(&message, " %s=%s", a.Key, text)
	}
	return h.send(message.String(), journalPriority(r.Level), fields)
}

// flatAttrs resolves an attribute, and puts the members of a group in its place.
func flatAttrs(group string, a slog.Attr) []slog.Attr {
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		if a.Key == "" {
			return nil
		}
		return []slog.Attr{{Key: group + a.Key, Value: value}}
	}
	if a.Key != "" {
		group += a.Key + "."
	}
	var attrs []slog.Attr
	for _, member := range value.Group() {
		attrs = append(attrs, flatAttrs(group, member)...)
	}
	return attrs
}

func attrText(v slog.Value) string {
	if v.Kind() == slog.KindTime {
		return v.Time().UTC().Format(time.RFC3339Nano)
	}
	return v.String()
}

// fieldName is key as the journal takes it: capitals, digits and underscores,
// beginning with a capital.
func fieldName(key string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(key))
	if name == "" || name[0] < 'A' {
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

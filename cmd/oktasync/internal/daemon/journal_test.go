package daemon

import (
	"errors"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

// Control characters in values are escaped.
func TestJournalEntriesHaveFieldsAndPriorities(t *testing.T) {
	type entry struct {
		message  string
		priority journal.Priority
		fields   map[string]string
	}
	var got []entry
	log := slog.New(&journalHandler{level: slog.LevelInfo, send: func(m string, p journal.Priority, f map[string]string) error {
		got = append(got, entry{m, p, f})
		return nil
	}})
	log.Debug("below the level")
	log.With("export", "staff").Info("snapshot published", "users", 50, "elapsed", 1500*time.Millisecond)
	log.WithGroup("okta").With("request id", "aZ3k").Warn("slow", slog.Group("page", "number", 3))
	log.Error("reconcile failed", "err", errors.New(`okta: "no"`), "1st", "", "id", "\x1b[2J")
	want := []entry{
		{`snapshot published export=staff users=50 elapsed=1.5s`, journal.PriInfo,
			map[string]string{"EXPORT": "staff", "USERS": "50", "ELAPSED": "1.5s"}},
		{`slow "okta.request id"=aZ3k okta.page.number=3`, journal.PriWarning,
			map[string]string{"OKTA_REQUEST_ID": "aZ3k", "OKTA_PAGE_NUMBER": "3"}},
		{`reconcile failed err="okta: \"no\"" 1st="" id="\x1b[2J"`, journal.PriErr,
			map[string]string{"ERR": `okta: "no"`, "X1ST": "", "ID": `\u001b[2J`}},
	}
	if len(got) != len(want) {
		t.Fatalf("got %d entries, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		if got[i].message != want[i].message || got[i].priority != want[i].priority || !maps.Equal(got[i].fields, want[i].fields) {
			t.Errorf("entry %d =\n     %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

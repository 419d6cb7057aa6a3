package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// State is how an export stands.
type State string

const (
	StateUpToDate    State = "up to date"
	StateFailing     State = "failing"     // the last reconcile failed
	StateQuarantined State = "quarantined" // a guard held the last reading back
	StateOverdue     State = "overdue"     // a due time has passed without a reconcile
	StateDamaged     State = "damaged"     // the last verify found something, or it is plain to see
	StateUnknown     State = "unknown"     // the journal can't be read
)

var states = []State{StateUpToDate, StateFailing, StateQuarantined, StateOverdue, StateDamaged, StateUnknown}

// Health is the state of an export, since when it is so, and why.
type Health struct {
	Export string
	State  State
	Since  time.Time
	Reason string // "" where there is no more to say
}

func (h Health) String() string {
	text := string(h.State)
	if !h.Since.IsZero() {
		text += " since " + h.Since.UTC().Format(time.RFC3339)
	}
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	return text
}

// HealthOf finds the state of an export from its journal. when is nil for an
// export without a schedule, which can't be overdue; began is the time
// from which due times count at the earliest.
func HealthOf(export reconcile.Export, history snapshot.History, when scheduler.Schedule, began, now time.Time) Health {
	h := Health{Export: export.Name, State: StateUpToDate}
	done, started := history.LastDone, history.LastStarted.Time
	switch {
	case done.Event == snapshot.EventFailed:
		h.State, h.Since, h.Reason = StateFailing, done.Time.Time, done.Error
		return h
	case done.Event == snapshot.EventQuarantined:
		h.State, h.Since, h.Reason = StateQuarantined, done.Time.Time, done.Reason
		return h
	case export.Timeout > 0 && started.After(history.LastEnd.Time.Time) && now.After(started.Add(export.Timeout)):
		// It was killed, or it would have failed by now.
		h.State, h.Since, h.Reason = StateFailing, started.Time, "the reconcile did not come to an end"
		return h
	}
	if when == nil {
		return h
	}
	last := began
	if t := done.Time.Time; t.After(last) {
		last = t
	}
	// A reconcile may take as long as its timeout before it has failed.
	if due := when.Next(last); !due.IsZero() && now.After(due.Add(export.Timeout)) {
		h.State, h.Since = StateOverdue, due
	}
	return h
}

// health is HealthOf for the daemon, which also knows of failures that no
// journal could take, as on a full disk. A journal is read again only when it
// has grown.
func (s *service) health(export reconcile.Export) Health {
	now := time.Now()
	history, err := s.histories.get(s.store, export.Name)
	if err != nil {
		return s.histories.steady(Health{Export: export.Name, State: StateUnknown, Since: now, Reason: err.Error()})
	}
	h := HealthOf(export, history, s.schedules[export.Name], s.since[export.Name], now)
	if h.State == StateUpToDate {
		h = h.Damaged(LastVerified(history), s.damages.of(s.store, export.Name, history.Lines), now)
	}
	if f, ok := s.failures.of(export.Name); ok && f.Since.After(history.LastDone.Time.Time) && !slices.Contains([]State{StateFailing, StateQuarantined}, h.State) {
		h = f
	}
	return s.histories.steady(h)
}

// failures remembers how the last reconcile of each export failed.
type failures struct {
	mu   sync.Mutex
	last map[string]Health
}

// note takes how a reconcile ended. Where somebody else is at work on the
// export, nothing has failed.
func (f *failures) note(export string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		f.last = make(map[string]Health)
	}
	if isLocked(err) {
		return
	}
	delete(f.last, export)
	if err != nil {
		f.last[export] = Health{Export: export, State: StateFailing, Since: time.Now(), Reason: err.Error()}
	}
}

// isLocked reports whether err says that somebody else is at work.
func isLocked(err error) bool {
	locked := (*snapshot.LockedError)(nil)
	return errors.As(err, &locked)
}

func (f *failures) of(export string) (Health, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, ok := f.last[export]
	return h, ok
}

// histories remembers what journals said, by their size and time.
type histories struct {
	mu   sync.Mutex
	seen map[string]rememberedHistory
	last map[string]Health
}

type rememberedHistory struct {
	store   string
	size    int64
	changed time.Time
	history snapshot.History
}

func (h *histories) get(store *snapshot.Store, export string) (snapshot.History, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var size int64
	var changed time.Time
	if info, err := os.Stat(filepath.Join(store.Dir(), export, "journal.ndjson")); err == nil {
		size, changed = info.Size(), info.ModTime()
	}
	if r, ok := h.seen[export]; ok && r.store == store.Dir() && r.size == size && r.changed.Equal(changed) {
		return r.history, nil
	}
	history, err := store.Journal(export)
	if err != nil {
		return snapshot.History{}, err
	}
	if h.seen == nil {
		h.seen = make(map[string]rememberedHistory)
	}
	h.seen[export] = rememberedHistory{store.Dir(), size, changed, history}
	return history, nil
}

// steady gives h the time at which its state began, where the journal shows the
// last of several failures.
func (h *histories) steady(now Health) Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before := h.last[now.Export]; before.State == now.State && !before.Since.IsZero() {
		now.Since = before.Since
	}
	if h.last == nil {
		h.last = make(map[string]Health)
	}
	h.last[now.Export] = now
	return now
}

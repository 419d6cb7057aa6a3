package daemon

import (
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// State is the state of an export.
type State string

const (
	StateUpToDate    State = "up to date"
	StateFailing     State = "failing"     // the last reconcile failed
	StateQuarantined State = "quarantined" // the guard stopped the last read
	StateOverdue     State = "overdue"     // a due time has passed without a reconcile
	StateDamaged     State = "damaged"     // the last verify or Survey found a problem
	StateUnknown     State = "unknown"     // the journal can't be read
)

var states = []State{StateUpToDate, StateFailing, StateQuarantined, StateOverdue, StateDamaged, StateUnknown}

// Health is the state of an export, with its start and its reason.
type Health struct {
	Export string
	State  State
	Since  time.Time // zero: unknown, or the export is up to date
	Reason string    // "": none
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

// HealthOf returns the state of an export according to its journal. when is nil for
// an export without a schedule, which can't be overdue. Due times before began don't
// count.
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
		h.State, h.Since, h.Reason = StateFailing, started.Time, "the reconcile was killed" // the timeout would have ended it
		return h
	}
	if when == nil {
		return h
	}
	last := began
	if t := done.Time.Time; t.After(last) {
		last = t
	}
	// A reconcile that takes longer than its timeout has failed.
	if due := when.Next(last); !due.IsZero() && now.After(due.Add(export.Timeout)) {
		h.State, h.Since = StateOverdue, due
	}
	return h
}

// health returns HealthOf, with damage, and with failures that couldn't be written to
// the journal, for example because the disk was full.
func (s *service) health(export reconcile.Export) Health {
	now := time.Now()
	s.watch(export.Name)
	history, err := s.histories.get(s.store, export.Name)
	if err != nil {
		return s.histories.sinceFirst(Health{Export: export.Name, State: StateUnknown, Since: now, Reason: err.Error()})
	}
	h := HealthOf(export, history, s.schedules[export.Name], s.since[export.Name], now)
	if h.State == StateUpToDate {
		h = h.Damaged(LastVerified(history), s.damages.of(s.store, export.Name, history.Lines), now)
	}
	if f, ok := s.failures.of(export.Name); ok && f.Since.After(history.LastDone.Time.Time) && h.State != StateFailing && h.State != StateQuarantined {
		h = f
	}
	return s.histories.sinceFirst(h)
}

// watch takes over a checkpoint that another process has written. If it isn't
// acceptable, for example because an older copy has replaced the export, watch records
// this as a failed reconcile, and logs it once.
func (s *service) watch(export string) {
	err := s.store.Watch(export)
	_, rollback := errors.AsType[*snapshot.RollbackError](err)
	_, mismatch := errors.AsType[*snapshot.MismatchError](err)
	if !rollback && !mismatch {
		return
	}
	if f, ok := s.failures.of(export); ok && strings.Contains(f.Reason, err.Error()) {
		return
	}
	s.failures.record(export, err)
	s.log.Error("export not accepted", "export", export, "err", err)
}

// failures contains the failure of the last reconcile of each export.
type failures struct {
	mu   sync.Mutex
	last map[string]Health
}

// record records the result of a reconcile. A locked export isn't a failure: another
// process works on it.
func (f *failures) record(export string, err error) {
	if isLocked(err) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.last, export)
	if err != nil {
		f.last[export] = Health{Export: export, State: StateFailing, Since: time.Now(), Reason: err.Error()}
	}
}

func isLocked(err error) bool {
	_, locked := errors.AsType[*snapshot.LockedError](err)
	return locked
}

func (f *failures) of(export string) (Health, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, ok := f.last[export]
	return h, ok
}

// histories caches the journals by export, and the last state of each export.
type histories struct {
	mu    sync.Mutex
	cache map[string]cachedHistory
	last  map[string]Health
}

type cachedHistory struct {
	path    string
	size    int64
	changed time.Time
	history snapshot.History
}

// get returns the journal of an export. It reads the file only if that has changed.
func (h *histories) get(store *snapshot.Store, export string) (snapshot.History, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := cachedHistory{path: store.Path(export, snapshot.JournalFile)}
	if info, err := os.Stat(now.path); err == nil {
		now.size, now.changed = info.Size(), info.ModTime()
	}
	if c, ok := h.cache[export]; ok && c.path == now.path && c.size == now.size && c.changed.Equal(now.changed) {
		return c.history, nil
	}
	var err error
	if now.history, err = store.Journal(export); err != nil {
		return snapshot.History{}, err
	}
	h.cache[export] = now
	return now.history, nil
}

// sinceFirst returns h with the start of its state. The journal alone gives the time
// of the last of several failures.
func (h *histories) sinceFirst(now Health) Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before := h.last[now.Export]; before.State == now.State && !before.Since.IsZero() {
		now.Since = before.Since
	}
	h.last[now.Export] = now
	return now
}

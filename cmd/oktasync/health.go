package main

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// state is how an export stands.
type state string

const (
	stateFresh       state = "fresh"
	stateFailing     state = "failing"     // the last reconcile failed
	stateQuarantined state = "quarantined" // a guard held the last reading back
	stateOverdue     state = "overdue"     // a due time has passed without a reconcile
	stateDamaged     state = "damaged"     // the last verify found something, or it is plain to see
	stateUnknown     state = "unknown"     // the journal can't be read
)

var states = []state{stateFresh, stateFailing, stateQuarantined, stateOverdue, stateDamaged, stateUnknown}

// health is the state of an export, and since when it is so.
type health struct {
	Export string
	State  state
	Since  time.Time
	Damage string // a clause, of stateDamaged
}

func (h health) String() string {
	text := string(h.State)
	if !h.Since.IsZero() {
		text += " since " + h.Since.UTC().Format(time.RFC3339)
	}
	if h.Damage != "" {
		text += ": " + h.Damage
	}
	return text
}

// healthOf finds the state of an export from its journal. when is nil for an
// export without a schedule, which can't be overdue; began is the time
// from which due times count at the earliest.
func healthOf(export reconcile.Export, history snapshot.History, when scheduler.Schedule, began, now time.Time) health {
	h := health{Export: export.Name, State: stateFresh}
	done, started := history.LastDone, history.LastStarted.Time
	switch {
	case done.Event == snapshot.EventFailed:
		h.State, h.Since = stateFailing, done.Time.Time
		return h
	case done.Event == snapshot.EventQuarantined:
		h.State, h.Since = stateQuarantined, done.Time.Time
		return h
	case export.Timeout > 0 && started.After(history.LastEnd.Time.Time) && now.After(started.Add(export.Timeout)):
		// It was killed, or it would have failed by now.
		h.State, h.Since = stateFailing, started.Time
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
		h.State, h.Since = stateOverdue, due
	}
	return h
}

// health is healthOf for the daemon. A journal is read again only when it has
// grown.
func (s *service) health(export reconcile.Export) health {
	now := time.Now()
	history, err := s.histories.get(s.store, export.Name)
	if err != nil {
		return s.histories.steady(health{Export: export.Name, State: stateUnknown, Since: now})
	}
	h := healthOf(export, history, s.whens[export.Name], s.since[export.Name], now)
	if h.State == stateFresh {
		h = h.damaged(lastVerified(history), s.damages.of(s.store, export.Name, history.Lines), now)
	}
	return s.histories.steady(h)
}

// histories remembers what journals said, by their size and time.
type histories struct {
	mu   sync.Mutex
	seen map[string]rememberedHistory
	last map[string]health
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
func (h *histories) steady(now health) health {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before := h.last[now.Export]; before.State == now.State && !before.Since.IsZero() {
		now.Since = before.Since
	}
	if h.last == nil {
		h.last = make(map[string]health)
	}
	h.last[now.Export] = now
	return now
}

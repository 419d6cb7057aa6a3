package daemon

import (
	"errors"
	"os"
	"sync"
	"time"

	"oktasync/reconcile/snapshot"
)

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

// sinceFirst returns now with the start of its state. The journal alone gives the time
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

// failures contains the last failure of each export.
type failures struct {
	mu   sync.Mutex
	last map[string]failure
}

// failure is the state of an export after a failure, and its cause.
type failure struct {
	Health
	err error
}

// record records a result. A locked export isn't a failure: another
// process works on it.
func (f *failures) record(export string, err error) {
	if isLocked(err) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.last, export)
	if err != nil {
		f.last[export] = failure{Health{Export: export, State: StateFailing, Since: time.Now(), Reason: err.Error()}, err}
	}
}

func (f *failures) of(export string) (failure, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, ok := f.last[export]
	return last, ok
}

func isLocked(err error) bool {
	_, locked := errors.AsType[*snapshot.LockedError](err)
	return locked
}

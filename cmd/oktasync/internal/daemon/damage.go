package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"oktasync/reconcile/snapshot"
)

// Surveyed is the visible state of the snapshots of an export.
type Surveyed struct {
	Snapshots []*snapshot.Snapshot // oldest first
	Pruned    int                  // pruned snapshots
	Damage    []string             // files that are missing, can't be parsed, or have another size than in the manifest

	allPruned bool // there are pruned snapshots, and no others
}

// Survey returns the visible state of the snapshots of an export. It hashes nothing;
// verify does.
func Survey(store *snapshot.Store, export string) (found Surveyed) {
	var err error
	if found.Snapshots, err = store.List(export); err != nil {
		found.Damage = strings.Split(err.Error(), "\n")
	}
	for _, s := range found.Snapshots {
		damage := s.Damage()
		if _, err := os.Lstat(s.Dir()); len(damage) > 0 && errors.Is(err, fs.ErrNotExist) {
			continue // pruned meanwhile
		}
		for _, text := range damage {
			found.Damage = append(found.Damage, fmt.Sprintf("%s@%s: %s", export, s.Name(), text))
		}
	}
	pruned, err := store.Pruned(export)
	if err != nil {
		found.Damage = append(found.Damage, err.Error())
	}
	found.Pruned = len(pruned)
	found.allPruned = len(found.Snapshots) == 0 && len(pruned) > 0
	return found
}

// surveys caches the results of Survey by export, because surveying years of
// snapshots takes a while.
type surveys struct {
	mu    sync.Mutex
	cache map[string]survey
}

type survey struct {
	store string
	lines int // of the journal
	at    time.Time
	found Surveyed
}

// surveyAge is the largest age of a cached result.
const surveyAge = time.Minute

func (d *surveys) of(store *snapshot.Store, export string, lines int) Surveyed {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.cache[export]
	if ok && s.store == store.Dir() && s.lines == lines && time.Since(s.at) < surveyAge {
		return s.found
	}
	found := Survey(store, export)
	found.Snapshots = nil // they need much memory
	d.cache[export] = survey{store.Dir(), lines, time.Now(), found}
	return found
}

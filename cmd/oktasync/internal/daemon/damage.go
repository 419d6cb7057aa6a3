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

// Survey returns the snapshots of an export and their visible damage: files that
// are missing, can't be parsed, or have another size than in the manifest. It
// hashes nothing; verify does.
func Survey(store *snapshot.Store, export string) (list []*snapshot.Snapshot, damage []string) {
	list, err := store.List(export)
	if err != nil {
		damage = strings.Split(err.Error(), "\n")
	}
	for _, s := range list {
		found := s.Damage()
		if _, err := os.Lstat(s.Dir()); len(found) > 0 && errors.Is(err, fs.ErrNotExist) {
			continue // pruned meanwhile
		}
		for _, text := range found {
			damage = append(damage, fmt.Sprintf("%s@%s: %s", export, s.Name(), text))
		}
	}
	return list, damage
}

// damages caches the results of Survey by export, because surveying years of
// snapshots takes a while.
type damages struct {
	mu    sync.Mutex
	cache map[string]survey
}

type survey struct {
	store  string
	lines  int // of the journal
	at     time.Time
	damage []string
}

// surveyAge is the largest age of a cached result.
const surveyAge = time.Minute

func (d *damages) of(store *snapshot.Store, export string, lines int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.cache[export]
	if ok && s.store == store.Dir() && s.lines == lines && time.Since(s.at) < surveyAge {
		return s.damage
	}
	_, damage := Survey(store, export)
	d.cache[export] = survey{store.Dir(), lines, time.Now(), damage}
	return damage
}

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
	Pruned    int                  // snapshots that were pruned, and not only moved to pruned/
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
	if err := found.addPruned(store, export); err != nil && len(found.Damage) == 0 { // List can have reported the cause
		found.Damage = strings.Split(err.Error(), "\n")
	}
	found.allPruned = len(found.Snapshots) == 0 && found.Pruned > 0
	return found
}

// addPruned counts the pruned snapshots. A snapshot in pruned/ is damage if no covered
// line of the journal permits that its records are missing.
func (found *Surveyed) addPruned(store *snapshot.Store, export string) error {
	names, err := store.Pruned(export)
	if err != nil || len(names) == 0 {
		return err
	}
	// Without WithCheckpoint: a prune writes the checkpoint before it moves a snapshot.
	if store, err = snapshot.Open(store.Dir()); err != nil {
		return err
	}
	erased, err := store.Erased(export)
	if err != nil {
		return fmt.Errorf("read %s: %w", export, err)
	}
	var moved []*snapshot.Snapshot
	for _, name := range names {
		digest, err := snapshot.DigestOfFile(store.Path(export, snapshot.PrunedDir, name, snapshot.ManifestFile))
		if err == nil && erased[digest] > 0 {
			found.Pruned++
			continue
		}
		tombstone, err := snapshot.ReadFolder(store.Path(export, snapshot.PrunedDir, name))
		if err != nil {
			found.Damage = append(found.Damage, err.Error())
			continue
		}
		moved = append(moved, tombstone)
	}
	if len(moved) == 0 {
		return nil
	}
	adopted, err := store.LastAdopted(export)
	head, _ := snapshot.ParseHead(adopted.NewHead) // "": nothing was adopted
	for _, s := range moved {
		if s.Manifest.Sequence < head.Sequence { // a person has accepted this damage
			found.Pruned++
			continue
		}
		found.Damage = append(found.Damage, fmt.Sprintf("%s@%s: its records are missing, and no covered line of the journal records that they were removed", export, s.Name()))
	}
	return err
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

package snapshot

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
)

// Adoption says that a snapshot goes on from an older one than the journal
// knew, and on whose word: a backup was put back, or something was lost.
type Adoption struct {
	Time   Time   `json:"time"`
	User   string `json:"user"`
	Reason string `json:"reason"`
	Known  *Link  `json:"known"` // the newest snapshot that the journal knew; null: it knew none
}

// BehindError refuses to publish where the newest snapshot is not the one that
// the journal knows, or lacks one that somebody was told of: what comes next
// would hide that something is missing.
type BehindError struct {
	Export, Newest, Known string // names of snapshots, or ""
	Told                  bool   // of the known one the journal knows nothing, or only that it was lost
}

func (e *BehindError) Error() string {
	name := func(name string) string {
		if name == "" {
			return "none"
		}
		return name
	}
	if e.Told {
		return fmt.Sprintf("the newest snapshot is %s, and %s was published after it: the store was put back from a backup, or is a copy",
			name(e.Newest), e.Known)
	}
	return fmt.Sprintf("the newest snapshot is %s, and the journal knows %s: something was lost, or put back from a backup",
		name(e.Newest), name(e.Known))
}

// behind returns why nothing can be published and which snapshot is known, nil
// for none. Both are nil where the newest snapshot is the one that the journal
// knows, and the chain has all that anybody was told of.
func (w *Writer) behind() (*BehindError, *Link) {
	last := w.journal.seen.LastPublished
	e := &BehindError{Export: w.export, Known: last.Snapshot}
	digest := ""
	if w.newest != nil {
		e.Newest, digest = w.newest.Name(), w.newest.Digest
	}
	lost := w.lost()
	switch {
	case lost != nil:
		e.Known, e.Told = lost.Snapshot, lost.Snapshot != last.Snapshot
		return e, lost
	case e.Newest == e.Known && digest == last.ManifestSHA256:
		return nil, nil
	case e.Known == "":
		return e, nil
	}
	return e, &Link{Snapshot: last.Snapshot, ManifestSHA256: last.ManifestSHA256}
}

// adopted returns what the next manifest has to say of a break, and refuses
// one that nobody has adopted.
func (w *Writer) adopted() (*Adoption, error) {
	behind, known := w.behind()
	if behind == nil {
		return nil, nil
	}
	said := w.journal.seen.lastAdopted
	if said.Event == "" || said.Snapshot != behind.Newest {
		if behind.Told {
			w.noted = known
		}
		return nil, behind
	}
	return &Adoption{Time: said.Time, User: said.User, Reason: said.Reason, Known: known}, nil
}

// Adopt lets the next snapshot go on from the newest one, although the journal
// knows another. The journal has it at once, and the manifest of the next
// snapshot, with its signature, for good; until then Verify calls it a problem.
func (w *Writer) Adopt(user, reason string) error {
	if w.damaged != nil {
		return fmt.Errorf("adopt: %w", w.damaged)
	}
	behind, _ := w.behind()
	if behind == nil {
		return errors.New("adopt: there is nothing to adopt: the newest snapshot is the one that the journal knows")
	}
	if err := w.announceTombs(); err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	return w.Journal(Event{Event: EventAdopted, Snapshot: behind.Newest, User: user, Reason: reason})
}

// announceTombs tells the journal of the tombstones that it has lost, or never
// knew: a snapshot that somebody prunes by hand from now on is not among them.
func (w *Writer) announceTombs() error {
	known, err := w.store.Journal(w.export)
	if err != nil {
		return err
	}
	names, err := snapshotNames(w.path(PrunedDir))
	if err != nil {
		return err
	}
	for _, name := range names {
		if known.pruned[name] {
			continue
		}
		tomb, err := ReadFolder(w.path(PrunedDir, name))
		if err != nil {
			return err
		}
		event := Event{Event: EventPruned, Snapshot: name, ManifestSHA256: tomb.Digest, Reason: "its tombstone was there, and the journal did not know it"}
		if err := w.append(event); err != nil {
			return err
		}
	}
	return nil
}

// A Witness remembers the heads of chains while the process lives. A store that
// is put back from a backup as a whole agrees with itself, and nothing in it
// tells that there was more; whoever was told of a later head knows. The zero
// Witness is ready, and safe for concurrent use.
type Witness struct {
	mu    sync.Mutex
	heads map[string]Link // by the export's folder
}

// head returns the head that was seen last, nil where none was. A nil Witness
// has seen none.
func (w *Witness) head(folder string) *Link {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if head, ok := w.heads[folder]; ok {
		return &head
	}
	return nil
}

func (w *Witness) saw(folder string, head *Link) {
	if w == nil || head == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heads == nil {
		w.heads = make(map[string]Link)
	}
	w.heads[folder] = *head
}

// lost returns the head that somebody knows and the chain has not: of which
// the store's witness was told, or of which the journal has noted that. Nil: the
// chain has all that is known.
func (w *Writer) lost() *Link {
	for _, known := range []*Link{w.store.witness.head(w.path()), w.journal.seen.lost} {
		if known != nil && !w.has(*known) {
			return known
		}
	}
	return nil
}

// has reports whether the chain holds a snapshot, or a manifest that adopts its
// loss.
func (w *Writer) has(known Link) bool {
	if w.newest != nil && w.newest.Name() == known.Snapshot {
		return w.newest.Digest == known.ManifestSHA256
	}
	for _, dir := range []string{known.Snapshot, filepath.Join(PrunedDir, known.Snapshot)} {
		if snap, err := ReadFolder(w.path(dir)); err == nil && snap.Digest == known.ManifestSHA256 {
			return true
		}
	}
	list, _ := w.store.List(w.export) // what can't be read adopts nothing
	for _, snap := range list {
		if a := snap.Manifest.Adopted; a != nil && a.Known != nil && *a.Known == known {
			return true
		}
	}
	return false
}

package snapshot

import (
	"path/filepath"
	"sync"
)

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

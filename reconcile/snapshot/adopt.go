package snapshot

import (
	"errors"
	"fmt"
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

// Hint says what to do.
func (e *BehindError) Hint() string {
	return fmt.Sprintf("look with `oktasync verify`; put back what is missing, or go on from what is there, on the record: "+
		"`oktasync adopt %s --reason TEXT`", e.Export)
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

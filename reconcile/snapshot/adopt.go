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
	names, err := snapshotNames(w.path(prunedDir))
	if err != nil {
		return err
	}
	for _, name := range names {
		if known.pruned[name] {
			continue
		}
		tomb, err := readSnapshot(w.path(prunedDir, name))
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

// adopter returns the snapshot that adopted a break after the snapshot name,
// nil where none did.
func (c *chain) adopter(name string) *Snapshot {
	for _, snap := range c.links {
		if snap.Manifest.Adopted != nil && name < snap.Name() {
			return snap
		}
	}
	return nil
}

// followAdopters finds the snapshots that each adoption goes on from: those are
// there on somebody's word, and what else came before it is gone on that word.
func (c *chain) followAdopters() {
	links := make(map[string]*Snapshot, len(c.links))
	for _, snap := range c.links {
		links[snap.Name()] = snap
	}
	for _, by := range c.links {
		if by.Manifest.Adopted == nil {
			continue
		}
		for snap := by; snap != nil && snap.Manifest.Previous != nil; {
			name := snap.Manifest.Previous.Snapshot
			if snap = links[name]; c.adopted[name] != nil || name >= by.Name() {
				break
			}
			c.adopted[name] = by
		}
	}
}

// excuseUnknown makes a note of a finding that the journal does not know a
// snapshot, where one that adopted a break goes on from it: the journal was lost
// then.
func (c *chain) excuseUnknown(f Finding) Finding { return f.excusedBy(c.adopted[f.Snapshot]) }

// excuseGone makes a note of a finding that a snapshot is gone, where one that
// adopted a break goes on from an older one.
func (c *chain) excuseGone(f Finding) Finding {
	for _, by := range c.links {
		from := by.Manifest.Previous
		if by.Manifest.Adopted != nil && f.Snapshot < by.Name() && (from == nil || from.Snapshot < f.Snapshot) {
			return f.excusedBy(by)
		}
	}
	return f
}

// excusedBy is f as the note that it is once the snapshot by has adopted it.
func (f Finding) excusedBy(by *Snapshot) Finding {
	if by != nil {
		a := by.Manifest.Adopted
		f.Note = true
		f.Problem += fmt.Sprintf("; %s adopted that in %s: %s", a.User, by.Name(), a.Reason)
	}
	return f
}

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
// the journal knows: what comes next would hide that something is missing.
type BehindError struct{ Export, Newest, Known string } // names of snapshots, or ""

func (e *BehindError) Error() string {
	name := func(name string) string {
		if name == "" {
			return "none"
		}
		return name
	}
	return fmt.Sprintf("the newest snapshot is %s, and the journal knows %s: something was lost, or put back from a backup",
		name(e.Newest), name(e.Known))
}

// Hint says what to do.
func (e *BehindError) Hint() string {
	return fmt.Sprintf("look with `oktasync verify`; put back what is missing, or go on from what is there, on the record: "+
		"`oktasync adopt %s --reason TEXT`", e.Export)
}

// behind returns why nothing can be published, nil where the newest snapshot is
// the one that the journal knows.
func (w *Writer) behind() *BehindError {
	known := w.journal.seen.LastPublished
	e := &BehindError{Export: w.export, Known: known.Snapshot}
	digest := ""
	if w.newest != nil {
		e.Newest, digest = w.newest.Name(), w.newest.Digest
	}
	if e.Newest == e.Known && digest == known.ManifestSHA256 {
		return nil
	}
	return e
}

// adopted returns what the next manifest has to say of a break, and refuses
// one that nobody has adopted.
func (w *Writer) adopted() (*Adoption, error) {
	behind := w.behind()
	if behind == nil {
		return nil, nil
	}
	said := w.journal.seen.lastAdopted
	if said.Event == "" || said.Snapshot != behind.Newest {
		return nil, behind
	}
	a := &Adoption{Time: said.Time, User: said.User, Reason: said.Reason}
	if known := w.journal.seen.LastPublished; known.Snapshot != "" {
		a.Known = &Link{Snapshot: known.Snapshot, ManifestSHA256: known.ManifestSHA256}
	}
	return a, nil
}

// Adopt lets the next snapshot go on from the newest one, although the journal
// knows another. The journal has it at once, and the manifest of the next
// snapshot, with its signature, for good; until then Verify calls it a problem.
func (w *Writer) Adopt(user, reason string) error {
	if w.damaged != nil {
		return fmt.Errorf("adopt: %w", w.damaged)
	}
	behind := w.behind()
	if behind == nil {
		return errors.New("adopt: there is nothing to adopt: the newest snapshot is the one that the journal knows")
	}
	return w.Journal(Event{Event: EventAdopted, Snapshot: behind.Newest, User: user, Reason: reason})
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

// excuse makes a note of a finding about a snapshot before a break that was
// adopted.
func (c *chain) excuse(f Finding) Finding {
	if by := c.adopter(f.Snapshot); by != nil {
		a := by.Manifest.Adopted
		f.Note = true
		f.Problem += fmt.Sprintf("; %s adopted that in %s: %s", a.User, by.Name(), a.Reason)
	}
	return f
}

package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// An Adoption accepts the state of an export that a Writer refuses.
type Adoption struct {
	User, Reason  string
	Lost          *Head    // kept outside the store, which no longer contains it; nil: none
	Accepted      []string // digests of the findings of Verify that are accepted
	JournalSHA256 string   // of the lines of the journal that Verify has read; "": there is none
}

// Adopt makes the state of an export on disk its verified state: the snapshot with
// the highest sequence becomes the newest one, and the checkpoint covers all whole
// lines of the journal. Adopt appends an event "adopted" with the old and the new head,
// which accepts exactly the findings that decide returns. Adopt calls decide while the
// export is locked, with the checkpoint, or with nil if the checkpoint can't be read. If
// decide returns an error, nothing is written.
//
// Adopt is the only way to replace a checkpoint that a Writer doesn't accept, and to
// sign an unsigned export for the first time.
func (s *Store) Adopt(export string, h Holder, decide func(*Checkpoint) (Adoption, error)) (err error) {
	w, err := s.lockExport(export, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	c, _ := s.Checkpoint(export)
	a, err := decide(c)
	if err != nil {
		return err
	}
	if err := w.adopt(a, c); err != nil {
		return fmt.Errorf("adopt %s: %w", export, err)
	}
	return nil
}

func (w *Writer) adopt(a Adoption, c *Checkpoint) error {
	if err := w.store.checkOwnKey(); err != nil {
		return err
	}
	event := Event{Event: EventAdopted, User: a.User, Reason: a.Reason, Accepted: a.Accepted}
	if a.Lost != nil {
		event.Lost = a.Lost.String()
	}
	if c != nil && w.goesOnFrom(c) {
		event.OldHead, w.checkpoint = c.Head().String(), c
	}
	if c != nil && len(a.Accepted) == 0 && a.Lost == nil && w.checkKey(c) == nil {
		return errors.New("there is nothing to adopt: verify finds no problem")
	}
	if err := w.adoptJournal(&event); err != nil {
		return err
	}
	if event.JournalSHA256 != a.JournalSHA256 {
		return errors.New("its journal has changed while it was verified")
	}
	var err error
	if w.newest, err = w.highest(); err != nil {
		return err
	}
	if w.store.signer == nil && (c != nil && c.SignedBy != nil || w.newest != nil && w.newest.Manifest.SignedBy != nil) {
		return errors.New("the export is signed, and the configuration has no signing key")
	}
	head := Head{Lines: w.journal.lines, Line: w.journal.head}
	if w.newest != nil {
		head.Sequence, head.Digest = w.newest.Manifest.Sequence, w.newest.Digest
		event.Snapshot, event.ManifestSHA256 = w.newest.Name(), w.newest.Digest
		if w.newest.Erased() {
			event.Files = w.newest.Manifest.fileNames()
		}
	}
	event.NewHead = head.String()
	if err := w.append(event); err != nil {
		return err
	}
	if err := w.replaceCheckpoint(); err != nil || w.newest == nil || w.newest.Erased() {
		return err
	}
	return w.relink(w.newest.Name())
}

// Accepts reports whether a Writer of s accepts the key of a checkpoint. A checkpoint that
// isn't signed is accepted.
func (s *Store) Accepts(c *Checkpoint) bool {
	w := &Writer{store: s, export: c.Export}
	return c.SignedBy == nil || w.checkKey(c) == nil
}

// goesOnFrom reports whether the lines that c covers were verified: a key that the
// writer accepts signed them, or nothing is signed yet.
func (w *Writer) goesOnFrom(c *Checkpoint) bool {
	return w.store.Accepts(c) && w.journal.hasLine(c.Bytes, c.LineSHA256) == nil
}

// adoptJournal takes all whole lines of the journal over as they are.
func (w *Writer) adoptJournal(event *Event) error {
	f, err := OpenPlain(w.journal.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	all := NewDigest()
	torn, err := readLines(f, func(line []byte) error {
		e, _ := ParseEvent(line)
		w.journal.add(line, later(w.journal.time, e.Time))
		_, err := all.Write(line)
		return err
	})
	w.journal.torn = torn
	event.JournalSHA256 = all.String()
	return err
}

// highest returns the snapshot with the highest sequence, or nil if there is none.
// Its records can be pruned.
func (w *Writer) highest() (*Snapshot, error) {
	var highest *Snapshot
	for _, dir := range []string{w.path(), w.path(PrunedDir)} {
		names, err := snapshotNames(dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			snap, err := ReadFolder(filepath.Join(dir, name))
			if err != nil || snap.Name() != name || snap.Manifest.Export != w.export || snap.Manifest.StoreID != w.store.meta.StoreID {
				continue // verify reports it
			}
			if highest == nil || snap.Manifest.Sequence > highest.Manifest.Sequence {
				highest = snap
			}
		}
	}
	return highest, nil
}

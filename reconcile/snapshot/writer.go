package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/sign"
)

// Writer is the one writer of an export. It belongs to one goroutine.
type Writer struct {
	store      *Store
	export     string
	holder     Holder
	lock       *lock
	checkpoint *Checkpoint // as on disk
	journal    *journal
	newest     *Snapshot // nil: none yet
	failed     bool      // a step has failed halfway; the next writer repairs the export
}

var errHalfway = errors.New("an earlier step has failed halfway; the next run completes it")

func (w *Writer) mismatch(format string, args ...any) error {
	return &MismatchError{w.export, fmt.Sprintf(format, args...)}
}

func (w *Writer) makeFolder() error {
	fsys := w.store.files
	err := fsys.Mkdir(w.path(), w.store.published)
	if errors.Is(err, fs.ErrExist) {
		return w.store.published.applyFolder(w.path())
	}
	if err != nil {
		return err
	}
	return fsys.SyncDir(w.store.dir)
}

// path joins the export's folder and the names below it.
func (w *Writer) path(names ...string) string { return w.store.Path(w.export, names...) }

// quarantine joins the folder of the export's quarantine and the names below it.
func (w *Writer) quarantine(names ...string) string {
	return filepath.Join(append([]string{w.store.dir, QuarantineDir, w.export}, names...)...)
}

// readFolder returns the entries of the export's folder.
func (w *Writer) readFolder() ([]fs.DirEntry, error) { return os.ReadDir(w.path()) }

// Journal appends a line to the export's journal. If it returns nil, the line is on
// disk, and the checkpoint covers it, except for started and released: these are
// covered together with the line that ends the run. Journal sets the time, and the
// user if e has none. If an earlier step has failed halfway, Journal does nothing:
// the next writer repairs the export first.
func (w *Writer) Journal(e Event) error {
	if w.failed {
		return nil
	}
	err := w.append(e)
	if err == nil && e.Event != EventStarted && e.Event != EventReleased {
		err = w.cover()
	}
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// RecordReview appends the event that a user checked a file with decisions about snap, and
// returns it. digest is the digest of the file. If a covered line already has the event,
// RecordReview returns that one, and earlier is true. If the checkpoint doesn't cover snap,
// the error is a *MismatchError.
func (w *Writer) RecordReview(snap *Snapshot, digest, user string) (e Event, earlier bool, err error) {
	covered, err := w.covered()
	if err != nil {
		return e, false, err
	}
	for _, e := range covered.Events() {
		if e.Event == EventReview && e.ReviewSHA256 == digest && e.ManifestSHA256 == snap.Digest {
			return e, true, nil
		}
	}
	if w.failed {
		return e, false, errHalfway
	}
	if w.store.coveredManifests(covered, w.newest)[snap.Name()] != snap.Digest {
		return e, false, notCovered(w.export, snap.Name())
	}
	e = Event{Event: EventReview, Snapshot: snap.Name(), ManifestSHA256: snap.Digest, ReviewSHA256: digest, User: user}
	err = w.Journal(e)
	e.Time = w.journal.time
	return e, false, err
}

// append completes e and appends it.
func (w *Writer) append(e Event) error {
	e.Time, e.Export = At(w.store.now()), w.export
	if e.User == "" {
		e.User = w.holder.User
	}
	return w.journal.append(e)
}

// Latest returns the newest snapshot, or nil if there is none.
func (w *Writer) Latest() *Snapshot { return w.newest }

// Head returns the head that the checkpoint covers.
func (w *Writer) Head() Head { return w.checkpoint.Head() }

// Close releases the lock.
func (w *Writer) Close() error {
	var err error
	if w.journal != nil {
		err = w.journal.close()
	}
	return errors.Join(err, w.lock.release())
}

// openNewest opens the newest snapshot that the checkpoint covers.
func (w *Writer) openNewest() error {
	c := w.checkpoint
	if c.Sequence == 0 {
		return nil
	}
	snap, err := w.store.newest(c)
	if err != nil {
		return err
	}
	if err := w.store.checkOrg(&snap.Manifest); err != nil {
		return w.mismatch("its newest snapshot, %s, %v", snap.Name(), err)
	}
	w.newest = snap
	if !snap.Erased() {
		return nil
	}
	covered, err := w.covered()
	if err == nil && covered.Erased()[snap.Digest] == 0 {
		err = w.mismatch("the records of its newest snapshot, %s, are missing, and no covered line of the journal records that they were removed", snap.Name())
	}
	return err
}

// newestErased takes into account that the records of the newest snapshot were removed.
func (w *Writer) newestErased() error {
	w.newest.dir = w.path(PrunedDir, w.newest.Name())
	err := w.store.files.Remove(w.path(LatestLink))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// Reader returns a store for reading with the checkpoint in memory, which the writer has
// checked.
func (w *Writer) Reader() *Store { return w.store.WithCheckpoint(w.checkpoint) }

// covered returns the ledger of the lines that the checkpoint in memory covers.
func (w *Writer) covered() (*Ledger, error) { return w.store.ledger(w.export, w.checkpoint, nil) }

// cover replaces the checkpoint by one that covers the journal and the newest
// snapshot as the writer has them in memory. Before, it checks that the checkpoint
// and the last line on disk are the ones that the writer has in memory. The system
// calls: openat with O_EXCL, write, fsync, renameat, and fsync of the folder.
func (w *Writer) cover() (err error) {
	defer func() { w.failed = w.failed || err != nil }()

	old, err := w.store.Checkpoint(w.export)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !old.SameAs(w.checkpoint) {
		return w.mismatch("its checkpoint has changed during the run")
	}
	if err := w.journal.checkLast(); err != nil {
		return err
	}
	return w.replaceCheckpoint()
}

// replaceCheckpoint writes the checkpoint.
func (w *Writer) replaceCheckpoint() error {
	c := w.next()
	line, err := canonjson.Marshal(c)
	if err != nil {
		return err
	}
	c.data = append(line, '\n')
	if c.SignedBy != nil {
		signature, err := w.store.sign(c.data, sign.Checkpoint)
		if err != nil {
			return err
		}
		c.data = append(c.data, signature...)
	}
	if err := w.store.replaceFile(w.path(), CheckpointFile, c.data); err != nil {
		return err
	}
	w.checkpoint = c
	w.store.witness.saw(w.path(), c)
	return nil
}

// next returns the checkpoint for what the writer has in memory. Its time is never
// before a time that it covers, so a clock that was set back doesn't matter.
func (w *Writer) next() *Checkpoint {
	j := w.journal
	c := &Checkpoint{
		Format: checkpointFormat, StoreID: w.store.meta.StoreID, Export: w.export,
		Lines: j.lines, Bytes: j.bytes, LineSHA256: j.head,
		SignedBy: signedBy(w.store.signer),
	}
	c.Time = later(At(w.store.now()), j.time)
	if old := w.checkpoint; old != nil {
		c.Time = later(c.Time, old.Time)
	}
	if w.newest != nil {
		c.Sequence, c.Snapshot, c.ManifestSHA256 = w.newest.Manifest.Sequence, w.newest.Name(), w.newest.Digest
		c.Time = later(c.Time, w.newest.Manifest.Signed)
	}
	return c
}

// checkKey checks that the writer accepts the key of a checkpoint.
func (w *Writer) checkKey(c *Checkpoint) error {
	signer := w.store.signer
	switch {
	case c.SignedBy == nil && signer == nil:
		return nil
	case c.SignedBy == nil:
		return w.mismatch("its checkpoint is not signed, and the configuration has a signing key")
	case signer == nil:
		return w.mismatch("its checkpoint is signed by %s, and the configuration has no signing key", *c.SignedBy)
	}
	key, err := c.Signer()
	if err != nil {
		return w.mismatch("the signature of its checkpoint %v", err)
	}
	if err := w.store.accept(key, sign.Checkpoint, w.store.now()); err != nil {
		return w.mismatch("its checkpoint is signed by %s, which %v", *c.SignedBy, err)
	}
	return nil
}

// accept returns why a key isn't accepted at a time: it must be the store's own,
// or one of the allowed signers.
func (s *Store) accept(key ssh.PublicKey, namespace string, at time.Time) error {
	if s.signer != nil && bytes.Equal(key.Marshal(), s.signer.Key().Marshal()) {
		return nil
	}
	switch {
	case s.allowed == nil && s.signer == nil:
		return nil // a reader that accepts every key
	case s.allowed == nil:
		return errors.New("is not the key of this store")
	}
	_, err := s.allowed.Check(key, namespace, at)
	return err
}

// checkOwnKey checks that the allowed signers, if they are configured, accept the
// store's own key now.
func (s *Store) checkOwnKey() error {
	if s.signer == nil || s.allowed == nil {
		return nil
	}
	for _, namespace := range []string{sign.Snapshot, sign.Checkpoint} {
		if _, err := s.allowed.Check(s.signer.Key(), namespace, s.now()); err != nil {
			return fmt.Errorf("the signing key %s %w; nothing is signed with it", s.signer.Fingerprint(), err)
		}
	}
	return nil
}

// sign signs data with the store's own key, if the allowed signers accept it now.
func (s *Store) sign(data []byte, namespace string) ([]byte, error) {
	if err := s.checkOwnKey(); err != nil {
		return nil, err
	}
	return s.signer.Sign(data, namespace)
}

// signedBy returns the fingerprint of a key for a manifest or a checkpoint; nil: there is
// no key.
func signedBy(s *sign.Signer) *string {
	if s == nil {
		return nil
	}
	fingerprint := s.Fingerprint()
	return &fingerprint
}

// checkRollback checks that the journal still has the last line of seen, which this
// process has read or written, or that a covered line adopts its loss.
func (w *Writer) checkRollback(seen *Checkpoint) error {
	if seen == nil || w.journal.hasLine(seen.Bytes, seen.LineSHA256) == nil && seen.Bytes <= w.checkpoint.Bytes {
		return nil
	}
	lost := seen.Head()
	covered, err := w.covered()
	if err != nil {
		return err
	}
	adopted := slices.ContainsFunc(covered.Events(), func(e Event) bool {
		return e.Event == EventAdopted && (e.Lost == lost.String() || e.OldHead == lost.String())
	})
	if !adopted {
		return &RollbackError{w.export, lost}
	}
	return nil
}

// undamaged returns those of names whose files have their digests.
func (w *Writer) undamaged(ctx context.Context, names []string) (undamaged []string, err error) {
	for _, name := range names {
		snap, err := w.store.Snapshot(w.export, name)
		if err != nil {
			return nil, err
		}
		whole, err := WholeFiles(ctx, snap.dir, snap.Manifest.Files)
		if err != nil {
			return nil, err
		}
		if whole {
			undamaged = append(undamaged, name)
		}
	}
	return undamaged, nil
}

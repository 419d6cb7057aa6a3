package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot/sign"
)

// mend completes or removes what an interrupted run has left, see doc.go. A crash
// during mend leaves a state that the next mend completes.
func (w *Writer) mend(ctx context.Context) error {
	planted, err := w.sweep(w.path())
	if err != nil {
		return err
	}
	if _, err := w.sweep(w.quarantine()); err != nil {
		return err
	}
	snap, err := w.unpublished(ctx, planted)
	if err != nil {
		return err
	}
	if err := w.mendTail(ctx, snap); err != nil {
		return err
	}
	return w.mendRemovals()
}

// sweep removes files and folders with partial names, and returns the names of
// snapshots that are later than the newest one.
func (w *Writer) sweep(dir string) (later []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	removed := false
	for _, entry := range entries {
		name := entry.Name()
		if _, isPartial := PartialOf(name); !isPartial {
			if _, err := ParseName(name); err == nil && name > w.checkpoint.Snapshot {
				later = append(later, name)
			}
			continue
		}
		removed = true
		if err := w.removePartial(filepath.Join(dir, name), entry.IsDir()); err != nil {
			return nil, err
		}
	}
	if removed {
		err = w.store.files.SyncDir(dir)
	}
	return later, err
}

// removePartial removes an unfinished file or folder.
func (w *Writer) removePartial(path string, isDir bool) error {
	if isDir {
		return removeFolder(w.store.files, path)
	}
	return w.store.files.Remove(path)
}

// unpublished returns the snapshot of an interrupted publish, whose folder is in
// place while no covered line names it, or nil if there is none. names are the
// names of snapshots that are later than the newest. Anything else than one such
// snapshot is a mismatch.
func (w *Writer) unpublished(ctx context.Context, names []string) (*Snapshot, error) {
	switch len(names) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, w.mismatch("its checkpoint doesn't cover the snapshots %s", strings.Join(names, " and "))
	}
	snap, err := w.store.Snapshot(w.export, names[0])
	if err != nil {
		return nil, err
	}
	if err := w.checkSuccessor(ctx, snap); ctx.Err() != nil {
		return nil, ctx.Err()
	} else if err != nil {
		return nil, w.mismatch("its checkpoint doesn't cover the snapshot %s, and an interrupted publish didn't leave it: %v", snap.Name(), err)
	}
	return snap, nil
}

// checkSuccessor checks that the store could have published snap after the newest
// snapshot.
func (w *Writer) checkSuccessor(ctx context.Context, snap *Snapshot) error {
	if err := w.store.Follows(snap, w.newest); err != nil {
		return err
	}
	if whole, err := WholeFiles(ctx, snap.dir, snap.Manifest.Files); err != nil {
		return err
	} else if !whole {
		return errors.New("its files aren't complete")
	}
	if err := snap.checkNames(); err != nil {
		return err
	}
	signedBy := snap.Manifest.SignedBy
	switch {
	case (signedBy == nil) != (w.checkpoint.SignedBy == nil):
		return errors.New("only one of it and the checkpoint is signed")
	case signedBy == nil:
		return nil
	}
	key, err := snap.Signer()
	if err != nil {
		return fmt.Errorf("its signature %w", err)
	}
	return w.store.accept(key, sign.Snapshot, w.store.now())
}

// maxTail is the most bytes that one run can write to the journal after a checkpoint.
// It bounds the time that reading a tail takes.
const maxTail = 64 << 20

// A tail is what follows the covered lines of a journal.
type tail struct {
	started int
	keep    int64             // bytes up to and with the named line; 0: there is none
	named   Event             // the line that the unpublished snapshot names
	reads   map[string]string // the digests of the quarantined reads that the lines name, and their names
	cut     *Digest
}

// readTail reads the journal after its covered lines. snap, if not nil, names a
// line of the tail.
func (w *Writer) readTail(snap *Snapshot) (*tail, error) {
	t := &tail{cut: NewDigest(), reads: make(map[string]string)}
	f, err := OpenPlain(w.path(JournalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if n := info.Size() - w.journal.bytes; n > maxTail {
		return nil, w.mismatch("after the lines that its checkpoint covers, its journal has %d bytes, and an interruption leaves at most %d", n, maxTail)
	}
	if _, err := f.Seek(w.journal.bytes, io.SeekStart); err != nil {
		return nil, err
	}
	n, size := w.journal.lines, int64(0)
	started, quarantined := []byte(`"event":"`+EventStarted+`"`), []byte(`"event":"`+EventQuarantined+`"`)
	_, err = readLines(f, func(line []byte) error {
		n, size = n+1, size+int64(len(line))
		named := snap != nil && n == snap.Manifest.Journal.Lines
		if !named && !bytes.Contains(line, started) && (len(t.reads) == 10 || !bytes.Contains(line, quarantined)) {
			return nil // parsing every line of a forged tail would take long
		}
		e, err := ParseEvent(line)
		switch {
		case err != nil:
		case e.Event == EventStarted:
			t.started++
		case e.Event == EventQuarantined && len(t.reads) < 10:
			t.reads[e.ReadSHA256] = e.Snapshot
		}
		if t.started > 1 {
			return w.mismatch("after the lines that its checkpoint covers, its journal has %d runs, and an interruption leaves one", t.started)
		}
		if named && DigestOf(line) == snap.Manifest.Journal.SHA256 {
			t.keep, t.named = size, e
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrLongLine) {
		return nil, err
	}
	if _, err := f.Seek(w.journal.bytes+t.keep, io.SeekStart); err != nil {
		return nil, err
	}
	_, err = io.Copy(t.cut, f)
	return t, err
}

// mendTail cuts the lines off that the checkpoint doesn't cover. If the folder of a
// snapshot is in place, the lines up to the one that it names stay, and it is
// published.
func (w *Writer) mendTail(ctx context.Context, snap *Snapshot) error {
	t, err := w.checkTail(snap)
	if err != nil || snap == nil && t.cut.Bytes == 0 {
		return err
	}
	return w.cutTail(ctx, t, snap)
}

// checkTail reads the tail, and checks that one interrupted run can have left it.
func (w *Writer) checkTail(snap *Snapshot) (*tail, error) {
	t, err := w.readTail(snap)
	switch {
	case err != nil:
		return nil, err
	case snap != nil && t.keep == 0:
		return nil, w.mismatch("its checkpoint doesn't cover the snapshot %s, and its journal has no line of an interrupted publish", snap.Name())
	}
	return t, nil
}

// Unfinished returns what the next Writer completes or removes after the lines that
// c covers, or "" if there is nothing. A state that no interruption leaves is a
// *MismatchError. The keys of signatures must be in allowed, unless it is nil.
func (s *Store) Unfinished(ctx context.Context, c *Checkpoint, allowed *sign.AllowedSigners) (string, error) {
	reader := *s
	reader.allowed = allowed
	w := &Writer{store: &reader, export: c.Export, checkpoint: c}
	var err error
	if w.journal, err = reader.openJournal(c.Export, c); err != nil {
		return "", err
	}
	if err := w.openNewest(); err != nil {
		return "", err
	}
	names, err := snapshotNames(w.path())
	if err != nil {
		return "", err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name <= c.Snapshot })
	snap, err := w.unpublished(ctx, names)
	if err != nil {
		return "", err
	}
	t, err := w.checkTail(snap)
	switch {
	case err != nil:
		return "", err
	case snap != nil:
		return fmt.Sprintf("unfinished publish: the next run completes %s", snap.Name()), nil
	case t.cut.Bytes > 0:
		return fmt.Sprintf("unfinished run: a run is in progress, or the next run removes %d bytes after the covered lines of the journal", t.cut.Bytes), nil
	}
	return "", nil
}

func (w *Writer) cutTail(ctx context.Context, t *tail, snap *Snapshot) error {
	if err := w.removeReads(t.reads); err != nil {
		return err
	}
	j, before := w.journal, w.journal.lines
	if t.keep > 0 {
		if err := w.keepTail(t.keep); err != nil {
			return err
		}
	}
	j.torn = t.cut.Bytes > 0
	event := Event{Event: EventRepaired, Reason: fmt.Sprintf("removed what an interrupted run left after line %d", j.lines)}
	if t.cut.Bytes > 0 {
		event.CutSHA256 = t.cut.String()
	}
	if snap != nil {
		event.Snapshot, event.ManifestSHA256 = snap.Name(), snap.Digest
		event.Reason = fmt.Sprintf("completed an interrupted publish; kept the lines %d to %d", before+1, j.lines)
	}
	if err := w.append(event); err != nil {
		return err
	}
	if snap == nil {
		return w.cover()
	}
	if err := w.stampAgain(ctx, snap); err != nil {
		return err
	}
	published := snap.published()
	if t.named.Event == EventReleased {
		published.ReadSHA256 = t.named.ReadSHA256
	}
	return w.finish(snap, published)
}

// stampAgain replaces the time stamp of an interrupted publish: no covered line has its
// digest, so another could have taken its place.
func (w *Writer) stampAgain(ctx context.Context, snap *Snapshot) error {
	err := w.store.files.Remove(filepath.Join(snap.dir, TimestampFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s := &stage{fsys: w.store.files, ownership: w.store.published, dir: snap.dir}
	if err := w.stampSnapshot(ctx, s, snap); err != nil {
		return err
	}
	return w.store.files.SyncDir(snap.dir)
}

// removeReads removes the quarantined reads with these digests and names, except those
// that a covered line names.
func (w *Writer) removeReads(names map[string]string) error {
	if len(names) == 0 {
		return nil
	}
	covered, err := w.covered()
	if err != nil {
		return err
	}
	for _, e := range covered.Events() {
		delete(names, e.ReadSHA256)
	}
	for digest, name := range names {
		if _, err := w.openQuarantined(name, digest); err != nil {
			continue // another read has this name, or none
		}
		if err := w.removeQuarantined(name); err != nil {
			return err
		}
	}
	return nil
}

// keepTail adds the first n bytes of the tail to the journal in memory.
func (w *Writer) keepTail(n int64) error {
	f, err := OpenPlain(w.path(JournalFile))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = readLines(io.NewSectionReader(f, w.journal.bytes, n), func(line []byte) error {
		e, err := ParseEvent(line)
		if err != nil || !e.follows(w.journal.head) {
			return w.mismatch("the lines of an interrupted publish don't follow each other")
		}
		w.journal.add(line, e.Time)
		return nil
	})
	return err
}

// mendRemovals completes the removals that the last covered lines permit. A
// snapshot that is still in its place stays: the next prune decides again.
func (w *Writer) mendRemovals() error {
	return w.journal.backwardEvents(func(e Event) (more bool, err error) {
		done, err := w.mendRemoval(e)
		return !done, err
	})
}

// mendRemoval completes one removal. done means that e is no removal, or the last
// one of its run.
func (w *Writer) mendRemoval(e Event) (done bool, err error) {
	if e.Event == EventPublished && e.ReadSHA256 != "" {
		return true, w.removeReleased(e.ReadSHA256)
	}
	if e.Event == EventFailed || e.Event == EventCancelled {
		return false, nil // perhaps because a removal failed
	}
	if _, err := ParseName(e.Snapshot); err != nil {
		return true, nil
	}
	switch e.Event {
	case EventPruned:
		return false, w.removeRecords(e.Snapshot, e.Files)
	case EventDropped:
		return false, w.removeQuarantined(e.Snapshot)
	}
	return true, nil
}

// removeReleased removes the quarantined read with a digest that was published, if it is
// there.
func (w *Writer) removeReleased(digest string) error {
	covered, err := w.covered()
	if err != nil {
		return err
	}
	for _, e := range covered.Events() {
		if e.Event == EventQuarantined && e.ReadSHA256 == digest {
			return w.removeQuarantined(e.Snapshot)
		}
	}
	return nil
}

package snapshot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// FindReading returns the reading of an export that is held back under name,
// "" for the newest.
func (s *Store) FindReading(export, name string) (*Reading, error) {
	list, err := s.Quarantined(export)
	for i := len(list) - 1; i >= 0; i-- {
		if name == "" || list[i].Name() == name {
			return list[i], nil
		}
	}
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, fmt.Errorf("%s has nothing in quarantine", export)
	}
	return nil, fmt.Errorf("%s has no %s in quarantine; the newest is %s", export, name, list[len(list)-1].Name())
}

// Release publishes a reading that a guard held back, as it was read. The
// manifest and the journal say who let it out and why, and when. It is refused
// once there is a newer snapshot than the one that the reading was compared
// with: it would put an older state after a newer one. Once published, the
// reading is no longer held.
func (w *Writer) Release(ctx context.Context, name string, by Override, tool Tool) (*Snapshot, error) {
	snap, err := w.release(ctx, name, by, tool)
	if err != nil {
		err = fmt.Errorf("release %s@%s: %w", w.export, name, err)
	}
	return snap, err
}

func (w *Writer) release(ctx context.Context, name string, by Override, tool Tool) (*Snapshot, error) {
	r, err := w.store.FindReading(w.export, name)
	if err != nil {
		return nil, err
	}
	if w.damaged != nil {
		return nil, w.damaged
	}
	if newest := w.newest; newest != nil && (r.Previous == nil || *r.Previous != *newest.link()) {
		return nil, fmt.Errorf("there is a newer snapshot, %s; it would be followed by an older state", newest.Name())
	}
	if whole, err := wholeFiles(ctx, r.dir, r.Files); err != nil || !whole {
		return nil, errors.Join(err, errors.New("its files are not what was held"))
	}
	d, closeDraft, err := w.draftOf(ctx, r)
	if err != nil {
		return nil, err
	}
	defer closeDraft()
	now := At(w.store.now())
	by.Guard, by.Released = r.Reason, &now
	d.Run.Override, d.Tool = &by, tool
	event := Event{Event: EventReleased, Snapshot: r.Name(), User: by.User, Reason: by.Reason}
	if err := w.append(event); err != nil {
		return nil, err
	}
	snap, err := w.Publish(ctx, d)
	if err != nil {
		return nil, err
	}
	return snap, w.removeReading(r.Name())
}

// draftOf compares a reading with the newest snapshot, and makes a draft of
// both.
func (w *Writer) draftOf(ctx context.Context, r *Reading) (d Draft, closeDraft func(), err error) {
	var open []io.Closer
	closeDraft = func() {
		for _, c := range open {
			c.Close()
		}
	}
	defer func() {
		if err != nil {
			closeDraft()
		}
	}()
	said := r.Resources.Users
	d = Draft{
		Started: r.Read.Started.Time, Finished: r.Read.Finished.Time, Org: r.Org, Client: r.Client, Run: r.Run,
		ClockOffset: time.Duration(r.Read.ClockOffsetMS) * time.Millisecond,
		Declared:    r.Declared, Read: r.Read, ByStatus: said.ByStatus, Counts: Counts{Total: said.Total},
	}
	var declared *Declaration
	if w.newest != nil {
		declared = &w.newest.Manifest.Declared
	}
	var rules Rules
	if rules, d.Base = RulesFor(declared, r.Declared); d.Base == BasePrevious {
		changes, err := w.store.TempFile()
		if err != nil {
			return d, nil, err
		}
		open = append(open, changes)
		if d.Counts, err = w.changesTo(ctx, r, rules, changes); err != nil {
			return d, nil, fmt.Errorf("compare with %s: %w", w.newest.Name(), err)
		}
		d.Changes = changes
	}
	requests, err := openPlain(filepath.Join(r.dir, requestsFile), os.O_RDONLY, 0)
	if err != nil {
		return d, nil, err
	}
	open = append(open, requests)
	users, err := r.Users()
	if err != nil {
		return d, nil, err
	}
	open = append(open, users)
	d.Requests, d.Users = requests, users
	return d, closeDraft, nil
}

// changesTo writes what is different in r from the newest snapshot to a file,
// which can be read from its beginning then.
func (w *Writer) changesTo(ctx context.Context, r *Reading, rules Rules, to *os.File) (Counts, error) {
	before, err := w.newest.Users()
	if err != nil {
		return Counts{}, err
	}
	defer before.Close()
	after, err := r.Users()
	if err != nil {
		return Counts{}, err
	}
	defer after.Close()
	lines := bufio.NewWriter(to)
	var line []byte
	counts, err := Diff(before, untilDone{ctx, after}, rules, func(c *Change) (err error) {
		if line, err = c.Line(line[:0]); err == nil {
			_, err = lines.Write(line)
		}
		return err
	})
	if err = errors.Join(err, lines.Flush()); err != nil {
		return counts, err
	}
	_, err = to.Seek(0, io.SeekStart)
	return counts, err
}

// Drop removes a reading that a guard held back. The journal says who did,
// and why.
func (w *Writer) Drop(name string, user, reason string) error {
	r, err := w.store.FindReading(w.export, name)
	if err == nil {
		name = r.Name()
		err = w.append(Event{Event: EventDropped, Snapshot: name, User: user, Reason: reason})
	}
	if err == nil {
		err = w.removeReading(name)
	}
	if err != nil {
		return fmt.Errorf("drop %s@%s: %w", w.export, name, err)
	}
	return nil
}

// removeReading removes a reading. It is renamed first, so that it is never
// there in part.
func (w *Writer) removeReading(name string) error {
	fsys := w.store.files
	away := w.quarantine(partial(name))
	if err := fsys.Rename(w.quarantine(name), away); err != nil {
		return err
	}
	if err := fsys.SyncDir(w.quarantine()); err != nil {
		return err
	}
	return removeFolder(fsys, away)
}

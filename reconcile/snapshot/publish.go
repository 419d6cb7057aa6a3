package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"time"
)

// Draft is what becomes a snapshot.
type Draft struct {
	Started, Finished time.Time // by Okta's clock
	ClockOffset       time.Duration
	Org               Org
	Client            Client
	Run               Run
	Tool              Tool
	Declared          Declaration // complete
	Read              Read        // its times come from the fields above, its Requests from the lines of Requests
	ByStatus          map[string]int
	Counts            Counts
	Base              string
	Users             UserReader // canonical users, read once, not closed
	Changes           io.Reader  // lines of Change.Line; nil unless Base is BasePrevious
	Requests          io.Reader  // lines of Request.Line
}

// Publish makes a snapshot of d. After an error the newest snapshot is the
// one before, or, where only the last steps have failed, the next Writer
// finishes what is missing; this Writer publishes nothing more.
//
// Nobody sees anything that is not on disk, and a crash between any two steps
// leaves what the next Writer mends and Verify calls an unfinished publish:
//
//  1. mkdirat .NAME.partial
//  2. every file in it, manifest.json, its signature and SHA256SUMS last: openat with O_EXCL, write, fsync, close
//  3. fsync .NAME.partial
//  4. intent in the journal: write, fsync
//  5. renameat .NAME.partial NAME
//  6. fsync the export's folder
//  7. symlinkat NAME .latest.partial, renameat .latest.partial latest
//  8. fsync the export's folder
//  9. published in the journal: write, fsync
//
// Up to 4 the next Writer sweeps away what it finds, from 5 on it goes
// through 6 to 9.
func (w *Writer) Publish(ctx context.Context, d Draft) (*Snapshot, error) {
	if w.damaged != nil {
		return nil, fmt.Errorf("publish snapshot: %w", w.damaged)
	}
	if w.failed {
		return nil, errors.New("publish snapshot: an earlier attempt has failed; the next writer mends it")
	}
	snap, err := w.publish(ctx, d)
	if err != nil {
		w.failed = true
		return nil, fmt.Errorf("publish snapshot: %w", err)
	}
	w.newest = snap
	w.store.witness.saw(w.path(), snap.link())
	return snap, nil
}

func (w *Writer) publish(ctx context.Context, d Draft) (*Snapshot, error) {
	if err := w.check(d); err != nil {
		return nil, err
	}
	if _, err := w.adopted(); err != nil {
		return nil, err
	}
	name := w.name(d.Started)
	dir := w.path(name)
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("%s is there already, and the journal does not know it", name)
	}
	partialDir := w.path(partial(name))
	snap, err := w.stage(ctx, name, partialDir, d)
	if err == nil {
		err = w.append(snap.intent())
	}
	if err == nil {
		err = w.store.files.Rename(partialDir, dir)
	}
	if err != nil {
		removeFolder(w.store.files, partialDir) // or else the next writer does
		return nil, err
	}
	snap.dir = dir
	return snap, w.finish(snap, "")
}

// finish does what is left once a snapshot has its name. It can be done again.
func (w *Writer) finish(snap *Snapshot, reason string) error {
	if err := w.store.files.SyncDir(w.path()); err != nil {
		return err
	}
	if err := w.relink(snap.Name()); err != nil {
		return err
	}
	return w.append(snap.published(reason))
}

// relink has latest lead to a snapshot, from one moment to the next.
func (w *Writer) relink(name string) error {
	fsys := w.store.files
	link := w.path(partial(latestLink))
	if err := fsys.Symlink(name, link, w.store.published); err != nil {
		return err
	}
	if err := fsys.Rename(link, w.path(latestLink)); err != nil {
		return err
	}
	return fsys.SyncDir(w.path())
}

// intent announces s in the journal.
func (s *Snapshot) intent() Event {
	return Event{Event: EventIntent, Snapshot: s.Name(), ManifestSHA256: s.Digest, User: s.Manifest.Run.User}
}

// published says in the journal that s is there, and, where a guard was
// against it, whose doing that is.
func (s *Snapshot) published(reason string) Event {
	e := s.intent()
	e.Event, e.Reason = EventPublished, reason
	if o := s.Manifest.Run.Override; o != nil {
		e.User, e.Reason = o.User, o.Reason
	}
	return e
}

// check refuses a draft that Verify would not let pass.
func (w *Writer) check(d Draft) error {
	newest := w.newest
	switch {
	case (newest == nil) != (d.Base == BaseNone):
		return fmt.Errorf("a draft on base %q does not fit what is there", d.Base)
	case (d.Base == BasePrevious) != (d.Changes != nil):
		return fmt.Errorf("a draft on base %q comes with changes: %t", d.Base, d.Changes != nil)
	case d.Base == BasePrevious && d.Counts.Before != newest.Manifest.Resources.Users.Total:
		return errors.New("the draft was compared with another snapshot than the newest")
	case newest != nil && newest.Manifest.SignedBy != nil && w.store.signer == nil:
		return fmt.Errorf("%s is signed, and there is no key to sign what follows it", newest.Name())
	}
	return nil
}

// name returns the name for a snapshot whose reading began at started: later
// than every one that has been, also those that are lost.
func (w *Writer) name(started time.Time) string {
	before := w.journal.seen.LastPublished.Snapshot
	if w.newest != nil {
		before = max(before, w.newest.Name())
	}
	return nameAfter(before, started)
}

// nameAfter returns the name for what began at started, and a later one than
// before.
func nameAfter(before string, started time.Time) string {
	name := started.UTC().Format(nameLayout)
	if last, err := nameTime(before); err == nil && name <= before {
		name = last.Add(time.Second).Format(nameLayout)
	}
	return name
}

// stage writes everything of a snapshot into dir and returns it.
func (w *Writer) stage(ctx context.Context, name, dir string, d Draft) (*Snapshot, error) {
	s, err := newStage(w.store.files, w.store.published, dir)
	if err != nil {
		return nil, err
	}
	m := w.manifest(name, d)
	if m.Adopted, err = w.adopted(); err != nil {
		return nil, err
	}
	if err := s.fill(ctx, m, d); err != nil {
		return nil, err
	}
	m.Files = s.files
	data, err := MarshalCanonical(m)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	data = append(data, '\n')
	if _, err := ParseManifest(data); err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	if err := s.write(manifestFile, data); err != nil {
		return nil, err
	}
	covered := s.files
	if signer := w.store.signer; signer != nil {
		signature, err := signer.sign(data)
		if err != nil {
			return nil, err
		}
		if err := s.write(signatureFile, signature); err != nil {
			return nil, err
		}
	}
	if err := s.write(sumsFile, sums(covered)); err != nil {
		return nil, err
	}
	return &Snapshot{Manifest: *m, Digest: digestOf(data), dir: dir}, s.fsys.SyncDir(dir)
}

// manifest returns the manifest of d but for its files.
func (w *Writer) manifest(name string, d Draft) *Manifest {
	m := &Manifest{
		Format:    snapshotFormat,
		StoreID:   w.store.meta.StoreID,
		Export:    w.export,
		Snapshot:  name,
		Sequence:  1,
		Org:       d.Org,
		Client:    d.Client,
		Run:       d.Run,
		Tool:      d.Tool,
		Declared:  d.Declared,
		Read:      d.read(),
		Resources: Resources{Users: d.resource()},
		SignedBy:  w.store.signer.signedBy(),
		Journal:   JournalHead{Lines: w.journal.seen.Lines, SHA256: w.journal.seen.Head},
		Previous:  w.newest.link(),
	}
	if w.newest != nil {
		m.Sequence = w.newest.Manifest.Sequence + 1
	}
	return m
}

func (d Draft) read() Read {
	r := d.Read
	r.Started, r.Finished, r.ClockOffsetMS = At(d.Started), At(d.Finished), d.ClockOffset.Milliseconds()
	return r
}

func (d Draft) resource() Resource {
	kinds := map[Kind]int{} // also where nothing was compared, so that no JSON of ours has null for it
	maps.Copy(kinds, d.Counts.Kinds)
	return Resource{
		Total: d.Counts.Total, ByStatus: d.ByStatus,
		Added: d.Counts.Added, Changed: d.Counts.Changed, Removed: d.Counts.Removed,
		Kinds: kinds, Base: d.Base,
	}
}

// fill writes the files of d that m is going to list, and checks on the way
// what m says of their rows.
func (s *stage) fill(ctx context.Context, m *Manifest, d Draft) error {
	var columns *Columns
	if d.Declared.HasFormat(FormatCSV) {
		columns = NewColumns(d.Declared.Users.Attributes)
	}
	if err := s.users(ctx, d.Users, columns); err != nil {
		return err
	}
	if columns != nil {
		if err := s.csv(ctx, columns); err != nil {
			return err
		}
	}
	if d.Changes != nil {
		file := File{Name: changesFile, Resource: resourceUsers}
		if err := s.lines(ctx, file, d.Changes, func([]byte) error { return nil }); err != nil {
			return err
		}
	}
	pages, err := s.requests(ctx, d.Requests)
	if err != nil {
		return err
	}
	m.Read.Requests = pages.requests
	return m.checkRows(s.files, pages)
}

// requests writes requests.ndjson.
func (s *stage) requests(ctx context.Context, lines io.Reader) (sum transcript, err error) {
	if lines == nil {
		return sum, errors.New("a draft without its requests")
	}
	err = s.lines(ctx, File{Name: requestsFile, Resource: resourceRequests}, lines, sum.add)
	return sum, err
}

// transcript sums up a requests.ndjson.
type transcript struct{ requests, rows int }

func (t *transcript) add(line []byte) error {
	r, err := ParseRequest(line)
	t.requests++
	t.rows += r.Rows
	return err
}

// checkRows holds what m says of rows against what the files have.
func (m *Manifest) checkRows(files []File, pages transcript) error {
	users := m.Resources.Users
	rows := make(map[string]int)
	for _, f := range files {
		rows[f.Name] = f.Rows
	}
	byStatus := 0
	for _, n := range users.ByStatus {
		byStatus += n
	}
	for _, c := range []struct {
		what        string
		said, found int
	}{
		{"users", users.Total, rows[usersFile]},
		{"users by status", users.Total, byStatus},
		{"changes", users.Added + users.Changed + users.Removed, rows[changesFile]},
		{"requests", m.Read.Requests, pages.requests},
		{"rows of all pages", m.Read.Rows, pages.rows},
		{"rows kept, doubled and outside", m.Read.Rows, users.Total + m.Read.Duplicates + m.Read.Outside},
	} {
		if c.said != c.found {
			return fmt.Errorf("%s: the manifest says %d, and there are %d", c.what, c.said, c.found)
		}
	}
	return nil
}

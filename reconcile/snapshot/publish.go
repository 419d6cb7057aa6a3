package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"time"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/render"
)

// Draft is the input of a publish.
type Draft struct {
	Started, Finished time.Time // by Okta's clock
	ClockOffset       time.Duration
	Org               Org
	Client            Client
	Run               Run
	Tool              Tool
	Declared          Declaration
	Settled           bool
	Resources         []ResourceDraft // every declared resource
	Requests          io.Reader       // lines of Request.Line
}

// ResourceDraft is one resource of a draft.
type ResourceDraft struct {
	Resource   *Resource
	ByStatus   map[string]int
	Counts     diff.Counts
	Base       string
	Records    diff.Reader // canonical records, read once, not closed
	Changes    io.Reader   // lines of Change.Line; nil unless Base is BasePrevious
	Rows       int         // records in all responses
	Duplicates int         // further copies of records
	Outside    int         // records that the declaration doesn't select
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
	if err := w.checkName(name, d); err != nil {
		return nil, err
	}
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

// relink makes latest point to a snapshot, atomically. It leaves a folder alone: a copy
// without links has one.
func (w *Writer) relink(name string) error {
	fsys := w.store.files
	if info, err := os.Lstat(w.path(LatestLink)); err == nil && info.IsDir() {
		return nil
	}
	link := w.path(partial(LatestLink))
	if err := fsys.Symlink(name, link, w.store.published); err != nil {
		return err
	}
	if err := fsys.Rename(link, w.path(LatestLink)); err != nil {
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

// check rejects a draft that a later verify would reject.
func (w *Writer) check(d Draft) error {
	if len(d.Resources) != len(d.Declared.Resources) {
		return errors.New("a draft must have every declared resource")
	}
	for _, r := range d.Resources {
		if err := w.checkBase(r); err != nil {
			return fmt.Errorf("%s: %w", r.Resource.Name, err)
		}
	}
	if newest := w.newest; newest != nil && newest.Manifest.SignedBy != nil && w.store.signer == nil {
		return fmt.Errorf("%s is signed, and no key is configured to sign its successor", newest.Name())
	}
	return nil
}

func (w *Writer) checkBase(d ResourceDraft) error {
	var before Counts
	recorded := false
	if w.newest != nil {
		before, recorded = w.newest.Manifest.Resources[d.Resource.Name]
	}
	switch {
	case recorded == (d.Base == BaseNone):
		return fmt.Errorf("the base %q doesn't match the newest snapshot", d.Base)
	case (d.Base == BasePrevious) != (d.Changes != nil):
		return fmt.Errorf("a draft with the base %q has changes: %t", d.Base, d.Changes != nil)
	case d.Base == BasePrevious && d.Counts.Before != before.Total:
		return errors.New("the draft was compared with another snapshot than the newest")
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
	if last, err := ParseName(before); err == nil && name <= before {
		name = last.Add(time.Second).Format(nameLayout)
	}
	return name
}

// maxAhead is how far a name can be in the future.
const maxAhead = time.Minute

// checkName returns an error if a name is in the future of Okta's clock and of the
// local clock. The name is then that of an earlier, wrong time plus a second.
func (w *Writer) checkName(name string, d Draft) error {
	now := w.store.now()
	if d.Finished.After(now) {
		now = d.Finished
	}
	if at, err := ParseName(name); err != nil || at.After(now.Add(maxAhead)) {
		return fmt.Errorf("its name %s is in the future of this machine's clock and of Okta's, because the newest snapshot's name is", name)
	}
	return nil
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
	data, err := canonjson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	data = append(data, '\n')
	if _, err := ParseManifest(data); err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	if err := s.write(ManifestFile, data); err != nil {
		return nil, err
	}
	covered := s.files
	if signer := w.store.signer; signer != nil {
		signature, err := signer.sign(data)
		if err != nil {
			return nil, err
		}
		if err := s.write(SignatureFile, signature); err != nil {
			return nil, err
		}
	}
	if err := s.write(SumsFile, Sums(covered)); err != nil {
		return nil, err
	}
	return &Snapshot{Manifest: *m, Digest: DigestOf(data), dir: dir}, s.fsys.SyncDir(dir)
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
		Resources: d.counts(),
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
	return Read{Started: At(d.Started), Finished: At(d.Finished), ClockOffsetMS: d.ClockOffset.Milliseconds(), Settled: d.Settled}
}

// counts returns the counts of the manifest, by resource.
func (d Draft) counts() map[string]Counts {
	counts := make(map[string]Counts)
	for _, r := range d.Resources {
		kinds := map[diff.Kind]int{} // never nil, so that the manifest has no null
		maps.Copy(kinds, r.Counts.Kinds)
		counts[r.Resource.Name] = Counts{
			Total: r.Counts.Total, ByStatus: r.ByStatus,
			Added: r.Counts.Added, Changed: r.Counts.Changed, Removed: r.Counts.Removed,
			Kinds: kinds, Base: r.Base, Rows: r.Rows, Duplicates: r.Duplicates, Outside: r.Outside,
		}
	}
	return counts
}

// fill writes the files of d that m is going to list, and checks the counts of m.
func (s *stage) fill(ctx context.Context, m *Manifest, d Draft) error {
	for i := range d.Resources {
		r := &d.Resources[i]
		var columns *render.Columns
		if d.Declared.HasFormat(FormatCSV) {
			columns = render.NewColumns(r.Resource.Schema(), d.Declared.Resources[r.Resource.Name].Attributes)
		}
		if err := s.resource(ctx, r, columns); err != nil {
			return err
		}
	}
	transcript, err := s.requests(ctx, d.Requests)
	if err != nil {
		return err
	}
	m.Read.Requests = transcript.Requests
	return m.CheckRows(s.files, transcript)
}

// CheckRows compares the counts of m with the rows of files and of the
// transcript.
func (m *Manifest) CheckRows(files []File, transcript Transcript) error {
	rows := make(map[string]int)
	for _, f := range files {
		rows[f.Name] = f.Rows
	}
	if m.Read.Requests != transcript.Requests {
		return fmt.Errorf("requests: the manifest has %d, and there are %d", m.Read.Requests, transcript.Requests)
	}
	for _, r := range m.Recorded() {
		counts := m.Resources[r.Name]
		byStatus := 0
		for _, n := range counts.ByStatus {
			byStatus += n
		}
		if r.Status == "" {
			byStatus = counts.Total
		}
		for _, c := range []struct {
			name        string
			said, found int
		}{
			{r.Name, counts.Total, rows[r.RecordsFile()]},
			{r.Name + " by status", counts.Total, byStatus},
			{"changes of " + r.Name, counts.Added + counts.Changed + counts.Removed, rows[r.ChangesFile()]},
			{"rows of " + r.Name + " in all responses", counts.Rows, transcript.Rows[r.Name]},
			{r.Name + " with duplicates and outside", counts.Rows, counts.Total + counts.Duplicates + counts.Outside},
		} {
			if c.said != c.found {
				return fmt.Errorf("%s: the manifest has %d, and there are %d", c.name, c.said, c.found)
			}
		}
	}
	return nil
}

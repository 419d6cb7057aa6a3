package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/edges"
	"oktasync/reconcile/snapshot/render"
	"oktasync/reconcile/snapshot/sign"
)

// Publish publishes a snapshot of d. After an error, the newest snapshot is still the
// previous one. But if only one of the last steps has failed, the next Writer completes
// the publish, and this Writer does nothing more.
//
// Readers see only what is on disk. A crash between two steps leaves a state that
// the next Writer completes or removes, and that Verify reports as unfinished:
//
//  1. mkdirat .NAME.partial
//  2. every file in it, manifest.json, its signature and SHA256SUMS last: openat with O_EXCL, write, fsync, close
//  3. fsync .NAME.partial
//  4. renameat .NAME.partial NAME
//  5. fsync the export's folder
//  6. published in the journal: write, fsync
//  7. checkpoint: write, fsync, renameat, fsync the export's folder
//  8. symlinkat NAME .latest.partial, renameat .latest.partial latest, fsync the export's folder
//
// Before step 4, the next Writer removes what it finds. After it, it continues with
// step 5.
func (w *Writer) Publish(ctx context.Context, d Draft) (*Snapshot, error) {
	snap, err := w.publish(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("publish snapshot: %w", err)
	}
	return snap, nil
}

func (w *Writer) publish(ctx context.Context, d Draft) (*Snapshot, error) {
	if w.failed {
		return nil, errHalfway
	}
	if err := w.check(d); err != nil {
		return nil, err
	}
	name, err := w.name(&d)
	if err != nil {
		return nil, err
	}
	dir, partialDir := w.path(name), w.path(partial(name))
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("the folder %s exists, and the checkpoint doesn't cover it", name)
	}
	snap, err := w.stage(ctx, name, partialDir, d)
	if err != nil {
		removeFolder(w.store.files, partialDir) // if this fails, the next writer removes it
		return nil, err
	}
	if err := w.store.files.Rename(partialDir, dir); err != nil {
		w.failed = true
		return nil, err
	}
	snap.dir = dir
	published := snap.published()
	published.ReadSHA256 = d.readSHA256
	return snap, w.finish(snap, published)
}

// finish completes a publish once the snapshot's folder is in place.
func (w *Writer) finish(snap *Snapshot, published Event) error {
	err := w.store.files.SyncDir(w.path())
	if err == nil {
		err = w.append(published)
	}
	if err != nil {
		w.failed = true
		return err
	}
	w.newest = snap
	if err := w.cover(); err != nil {
		return err
	}
	return w.relink(snap.Name())
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

// published returns the journal's line for s. If the guard was overridden, it names
// the user who did it, and the reason.
func (s *Snapshot) published() Event {
	e := Event{
		Event: EventPublished, Snapshot: s.Name(), ManifestSHA256: s.Digest, TimestampSHA256: s.TimestampSHA256, User: s.Manifest.Run.User,
	}
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
	last := -1
	for _, r := range d.Resources {
		at := slices.Index(resources, r.Resource)
		if at <= last {
			return errors.New("a draft must have its resources in the order of Resources")
		}
		last = at
		if err := w.checkBase(r); err != nil {
			return fmt.Errorf("%s: %w", r.Resource.Name, err)
		}
	}
	if base, newest := d.Base.link(), w.newest.link(); (base == nil) != (newest == nil) || base != nil && *base != *newest {
		return errors.New("the draft was compared with a snapshot that isn't the newest")
	}
	return nil
}

// checkBase rejects a draft of a resource with another base than BaseOf returns.
func (w *Writer) checkBase(d ResourceDraft) error {
	if d.Unavailable != "" {
		return nil
	}
	base, err := w.store.BaseOf(w.newest, d.Resource)
	if err != nil {
		return err
	}
	var before Counts
	recorded := false
	if base != nil {
		before, recorded = base.Manifest.Resources[d.Resource.Name]
	}
	switch {
	case recorded == (d.Base == BaseNone):
		return fmt.Errorf("the base %q doesn't match the newest snapshot", d.Base)
	case (d.Base == BasePrevious) != (d.Changes != nil):
		return fmt.Errorf("a draft with the base %q has changes: %t", d.Base, d.Changes != nil)
	case d.Base == BasePrevious && d.Counts.Before != before.Total:
		return errors.New("the draft was compared with a snapshot that isn't the newest")
	}
	return nil
}

// clockTolerance is the difference between two clocks that is accepted as jitter.
const clockTolerance = time.Minute

// name returns the name of a snapshot, which is the time at which its read began,
// in seconds. That must be at least a second after the previous one; if it is
// earlier within the tolerance of clocks, name raises the times of d.
func (w *Writer) name(d *Draft) (string, error) {
	if ahead := d.Finished.Add(d.ClockOffset).Sub(w.store.now()); ahead > clockTolerance {
		return "", fmt.Errorf("the read ended %s in the future, by Okta's clock", ahead.Round(time.Second))
	}
	if w.newest != nil {
		before, err := ParseName(w.newest.Name())
		if err != nil {
			return "", err
		}
		if next := before.Add(time.Second); d.Started.Before(next) {
			if late := next.Sub(d.Started); late > clockTolerance {
				return "", fmt.Errorf("the read began %s before that of the newest snapshot, %s, by Okta's clock", late.Round(time.Second), w.newest.Name())
			}
			d.Started = next
		}
	}
	lost, err := w.lostNames()
	if err != nil {
		return "", err
	}
	for lost[d.Started.UTC().Format(nameLayout)] {
		d.Started = d.Started.Truncate(time.Second).Add(time.Second)
	}
	if d.Finished.Before(d.Started) {
		d.Finished = d.Started
	}
	return d.Started.UTC().Format(nameLayout), nil
}

// lostNames returns the names of snapshots that were published after the newest one
// and lost, so that no other snapshot gets such a name. It reads the lines of the
// journal since the newest snapshot, so each line is read for one publish.
func (w *Writer) lostNames() (map[string]bool, error) {
	lost, left := make(map[string]bool), w.journal.lines
	if w.newest != nil {
		left -= w.newest.Manifest.Journal.Lines
	}
	err := w.journal.backward(func(line []byte) (more bool, err error) {
		if e, err := ParseEvent(line); err == nil && e.Event == EventPublished {
			lost[e.Snapshot] = true
		}
		left--
		return left > 0, nil
	})
	return lost, err
}

// stage writes everything of a snapshot into dir and returns it.
func (w *Writer) stage(ctx context.Context, name, dir string, d Draft) (*Snapshot, error) {
	s, err := newStage(w.store.files, w.store.published, dir)
	if err != nil {
		return nil, err
	}
	m := w.manifest(name, d)
	if err := s.fill(ctx, m, d); err != nil {
		return nil, err
	}
	m.Files, m.Signed = s.files, w.signed(d)
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
	if w.store.signer != nil {
		signature, err := w.store.sign(data, sign.Snapshot)
		if err != nil {
			return nil, err
		}
		if err := s.write(SignatureFile, signature); err != nil {
			return nil, err
		}
	}
	snap := &Snapshot{Manifest: *m, Digest: DigestOf(data), dir: dir}
	if err := w.stampSnapshot(ctx, s, snap); err != nil {
		return nil, err
	}
	if err := s.write(SumsFile, Sums(covered)); err != nil {
		return nil, err
	}
	return snap, s.fsys.SyncDir(dir)
}

// fill writes the files of d that m is going to list, and checks the counts of m.
func (s *stage) fill(ctx context.Context, m *Manifest, d Draft) error {
	members := m.MemberCounter()
	for i := range d.Resources {
		r := &d.Resources[i]
		if r.Unavailable != "" {
			continue
		}
		var columns *render.Columns
		if d.Declared.HasFormat(r.Resource.Name, FormatCSV) {
			columns = render.NewColumns(r.Resource.Schema(), d.Declared.Resources[r.Resource.Name].Attributes)
		}
		if r.Resource == GroupMembers {
			r.Records = countedRecords{r.Records, members}
		}
		if err := s.resource(ctx, r, columns); err != nil {
			return err
		}
	}
	transcript, err := s.requestsAndParents(ctx, m.Snapshot, d)
	if err != nil {
		return err
	}
	m.Resources, m.Read.Requests = d.counts(), transcript.Requests
	return cmp.Or(m.CheckMembers(members), m.CheckRows(s.files, transcript))
}

// stampSnapshot requests a time stamp over the signature of a staged snapshot, or over
// its manifest if it isn't signed. Without an answer of the authority, the snapshot is
// published without a stamp: the next stamp covers it through the chain.
func (w *Writer) stampSnapshot(ctx context.Context, s *stage, snap *Snapshot) error {
	if w.store.stamper == nil {
		return nil
	}
	message, err := snap.Stamped()
	if err != nil {
		return err
	}
	stamp, err := w.store.stamper(ctx, message)
	if err != nil {
		snap.TimestampError = err
		return ctx.Err()
	}
	snap.TimestampSHA256 = DigestOf(stamp)
	return s.write(TimestampFile, stamp)
}

// manifest returns the manifest of d but for its files.
func (w *Writer) manifest(name string, d Draft) *Manifest {
	for i := range d.Resources {
		d.Resources[i].last = w.last(d.Resources[i].Resource)
	}
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
		Control:   d.Control,
		Resources: d.counts(),
		SignedBy:  signedBy(w.store.signer),
		Journal:   JournalHead{Lines: w.journal.lines, SHA256: w.journal.head},
		Previous:  w.newest.link(),
	}
	if w.newest != nil {
		m.Sequence = w.newest.Manifest.Sequence + 1
	}
	return m
}

// last returns the link to the newest snapshot with the records of r, or nil.
func (w *Writer) last(r *Resource) *Link {
	if w.newest == nil {
		return nil
	}
	counts, declared := w.newest.Manifest.Resources[r.Name]
	if declared && counts.IsAvailable() {
		return w.newest.link()
	}
	return counts.Last
}

// signed returns the time at which a manifest is signed, by Okta's clock. It is
// never before the end of the read, and never before the previous manifest was
// signed.
func (w *Writer) signed(d Draft) Time {
	signed := later(At(w.store.now().Add(-d.ClockOffset)), At(d.Finished))
	if w.newest != nil {
		signed = later(signed, w.newest.Manifest.Signed)
	}
	return signed
}

// countedRecords passes the keys of edges to a counter.
type countedRecords struct {
	diff.Reader
	counter *edges.Counter
}

func (c countedRecords) Next() (diff.Record, error) {
	record, err := c.Reader.Next()
	if err == nil {
		c.counter.Add(record.Key)
	}
	return record, err
}

package snapshot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"oktasync/reconcile/snapshot/diff"
)

// Release publishes a quarantined read as it was read. The name "" means the newest
// one, see [Store.FindQuarantined]. The manifest and the journal record who released
// it, why, and when. Release fails if a snapshot has
// been published since the read: an older state would follow a newer one. After
// the publish, the read is no longer in quarantine.
func (w *Writer) Release(ctx context.Context, name string, by Override, tool Tool) (*Snapshot, error) {
	snap, err := w.release(ctx, name, by, tool)
	if err != nil {
		err = fmt.Errorf("release %s: %w", strings.TrimSuffix(w.export+"@"+name, "@"), err)
	}
	return snap, err
}

func (w *Writer) release(ctx context.Context, name string, by Override, tool Tool) (*Snapshot, error) {
	if w.failed {
		return nil, errHalfway
	}
	q, err := w.FindQuarantined(name)
	if err != nil {
		return nil, err
	}
	if newest := w.newest; newest != nil && (q.Previous == nil || *q.Previous != *newest.link()) {
		return nil, fmt.Errorf("there is a newer snapshot, %s; an older read can't be released", newest.Name())
	}
	if err := w.checkQuarantined(q); err != nil {
		return nil, err
	}
	if err := w.checkCarried(q); err != nil {
		return nil, err
	}
	d, closeDraft, err := w.draftOf(ctx, q)
	if err != nil {
		return nil, err
	}
	defer closeDraft()
	now := At(w.store.now())
	by.Guard, by.Released = q.Reason, &now
	d.Run.Override, d.Tool = &by, tool
	event := Event{Event: EventReleased, Snapshot: q.ReadName, ReadSHA256: q.digest, User: by.User, Reason: by.Reason}
	if err := w.append(event); err != nil {
		return nil, err
	}
	snap, err := w.Publish(ctx, d)
	if err != nil {
		return nil, err
	}
	return snap, w.removeQuarantined(q.ReadName)
}

// FindQuarantined is [Store.FindQuarantined] with the lines that the writer has
// verified.
func (w *Writer) FindQuarantined(name string) (*QuarantinedRead, error) {
	if name == "" {
		return w.newestQuarantined()
	}
	return w.store.FindQuarantined(w.export, name)
}

// CheckQuarantined returns what is wrong with the files of the quarantined read in
// dir, or "". It doesn't check read.json.
func (s *Store) CheckQuarantined(ctx context.Context, dir string) (problem string, err error) {
	q, err := loadQuarantined(dir)
	if err != nil {
		return err.Error(), nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		if name := entry.Name(); name != ReadFile && fileNamed(q.Files, name).Name == "" {
			return name + " is no part of a quarantined read", nil
		}
	}
	whole, err := WholeFiles(ctx, dir, q.Files)
	if err == nil && !whole {
		problem = "its files are not the ones that were read"
	}
	return problem, err
}

// checkQuarantined checks that a covered line of the journal has the digest of a
// quarantined read, and that no later one records its release or removal.
func (w *Writer) checkQuarantined(q *QuarantinedRead) error {
	covered, err := w.covered()
	if err != nil {
		return err
	}
	known := ""
	for _, e := range covered.Quarantined() {
		if e.Snapshot == q.ReadName {
			known = e.ReadSHA256
		}
	}
	switch {
	case known == "":
		return errors.New("no covered line of the journal names it")
	case known != q.digest || q.StoreID != w.store.meta.StoreID || q.Export != w.export:
		return errors.New("it has changed since the read")
	}
	return nil
}

// checkCarried returns an error if a quarantined read has records of the newest snapshot,
// and that was adopted since the read.
func (w *Writer) checkCarried(q *QuarantinedRead) error {
	if q.Resources[GroupMembers.Name].CarriedSince == nil {
		return nil
	}
	adopted, err := w.Reader().WasAdopted(w.newest)
	if err == nil && adopted {
		err = fmt.Errorf("it carries members of %s, which was adopted since the read", w.newest.Name())
	}
	return err
}

// draftOf compares a quarantined read with the newest snapshot, and returns a
// draft of both. closeDraft closes its files.
func (w *Writer) draftOf(ctx context.Context, q *QuarantinedRead) (d Draft, closeDraft func(), err error) {
	var open []io.Closer
	closeAll := func() {
		for _, c := range open {
			c.Close()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	d = Draft{
		Started: q.Read.Started.Time, Finished: q.Read.Finished.Time, Org: q.Org, Client: q.Client, Run: q.Run,
		ClockOffset: time.Duration(q.Read.ClockOffsetMS) * time.Millisecond,
		Declared:    q.Declared, Settled: q.Read.Settled, Control: q.Control, Base: w.newest,
		readSHA256: q.digest, requestsSHA256: fileNamed(q.Files, RequestsFile).SHA256,
	}
	for _, r := range Resources() {
		if counts, declared := q.Resources[r.Name]; !declared {
			continue
		} else if !counts.IsAvailable() {
			d.Resources = append(d.Resources, ResourceDraft{Resource: r, Unavailable: counts.Reason, Rows: counts.Rows, Outside: counts.Outside})
			continue
		}
		draft, changes, err := w.resourceDraftOf(ctx, q, r)
		if changes != nil {
			open = append(open, changes)
		}
		if err != nil {
			return d, nil, err
		}
		open = append(open, draft.Records)
		d.Resources = append(d.Resources, draft)
	}
	requests, err := OpenPlain(filepath.Join(q.dir, RequestsFile))
	if err != nil {
		return d, nil, err
	}
	open = append(open, requests)
	d.Requests = requests
	return d, closeAll, nil
}

func (w *Writer) resourceDraftOf(ctx context.Context, q *QuarantinedRead, r *Resource) (d ResourceDraft, changes *os.File, err error) {
	counts := q.Resources[r.Name]
	d = ResourceDraft{
		Resource: r, ByStatus: counts.ByStatus, Counts: diff.Counts{Total: counts.Total},
		Rows: counts.Rows, Duplicates: counts.Duplicates, Outside: counts.Outside,
		ContentSHA256: fileNamed(q.Files, r.RecordsFile()).ContentSHA256,
	}
	if q.Declared.Resources[r.Name].Incremental() {
		if d.Stamp, err = q.stamps(r); err != nil {
			return d, nil, err
		}
	}
	base, err := w.store.BaseOf(w.newest, r)
	if err != nil {
		return d, nil, err
	}
	var rules diff.Rules
	if rules, d.Base = RulesAfter(r, base, q.Declared); d.Base == BasePrevious {
		if rules.Proofs, err = q.Proofs(r); err != nil {
			return d, nil, err
		}
		if changes, err = w.store.TempFile(); err != nil {
			return d, nil, err
		}
		if d.Counts, err = w.changesTo(ctx, base, q, r, rules, changes); err != nil {
			return d, changes, fmt.Errorf("compare with %s: %w", base.Name(), err)
		}
		d.Changes = changes
	}
	d.Records, err = q.Records(r)
	return d, changes, err
}

// changesTo writes the changes from a snapshot to a quarantined read into a file, and
// seeks to its beginning.
func (w *Writer) changesTo(ctx context.Context, base *Snapshot, q *QuarantinedRead, r *Resource, rules diff.Rules, to *os.File) (diff.Counts, error) {
	before, err := base.Records(r)
	if err != nil {
		return diff.Counts{}, err
	}
	defer before.Close()
	after, err := q.Records(r)
	if err != nil {
		return diff.Counts{}, err
	}
	defer after.Close()
	closeParents, err := OpenParents(q, r, &rules)
	if err != nil {
		return diff.Counts{}, err
	}
	defer closeParents()
	lines := bufio.NewWriter(to)
	var line []byte
	counts, err := diff.Diff(before, &untilDone{Reader: after, ctx: ctx}, rules, func(c *diff.Change) (err error) {
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

// stamps returns the function Stamp for the release of q.
func (q *QuarantinedRead) stamps(r *Resource) (func(string) string, error) {
	lines, err := openParents(q.dir, "", fileNamed(q.Files, r.ParentsFile()))
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	stamps := make(map[string]string)
	for {
		p, err := lines.Next()
		if err == io.EOF {
			return func(group string) string { return stamps[group] }, nil
		}
		if err != nil {
			return nil, err
		}
		stamps[p.GroupID] = p.LastMembershipUpdated
	}
}

// Proofs returns the proofs of removals that the read contains.
func (q *QuarantinedRead) Proofs(r *Resource) (diff.Proofs, error) {
	return readProofs(q.dir, "", q.Files, r)
}

package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// Of each export, the newest quarantined reads are kept, and all that are younger.
const (
	keptReads = 3
	keptFor   = 14 * 24 * time.Hour
)

// Quarantine stores the records and the transcript of d apart from the snapshots, and
// returns the name of the read. Of each export, the newest three reads and those of
// the last 14 days are kept. The steps: stage and sync the files; quarantined in the
// journal, with the digest of the read; rename the folder, sync its parent; replace
// the checkpoint. If a crash leaves the folder without a checkpoint that covers it,
// the next Writer removes it.
func (w *Writer) Quarantine(ctx context.Context, d Draft, reason string) (name string, err error) {
	if w.failed {
		return "", fmt.Errorf("quarantine: %w", errHalfway)
	}
	name, err = w.storeQuarantined(ctx, d, reason)
	if err != nil {
		return "", fmt.Errorf("quarantine: %w", err)
	}
	if err := w.dropOldReads(); err != nil {
		return "", fmt.Errorf("quarantine: drop the oldest: %w", err)
	}
	return name, nil
}

// storeQuarantined writes a read, and returns its name.
func (w *Writer) storeQuarantined(ctx context.Context, d Draft, reason string) (string, error) {
	if err := w.makeQuarantine(); err != nil {
		return "", err
	}
	name, err := w.quarantineName(d.Started)
	if err != nil {
		return "", err
	}
	fsys, dir := w.store.files, w.quarantine(partial(name))
	digest, err := w.stageQuarantined(ctx, name, dir, d, reason)
	if err == nil {
		err = w.append(Event{Event: EventQuarantined, Snapshot: name, ReadSHA256: digest, Reason: reason})
	}
	if err != nil {
		removeFolder(fsys, dir) // if this fails, the next writer removes it
		return "", err
	}
	err = fsys.Rename(dir, w.quarantine(name))
	if err == nil {
		err = fsys.SyncDir(w.quarantine())
	}
	if err != nil {
		w.failed = true
		return "", err
	}
	return name, w.cover()
}

// makeQuarantine creates the folders of the quarantine.
func (w *Writer) makeQuarantine() error {
	for _, dir := range []string{filepath.Dir(w.quarantine()), w.quarantine()} {
		err := w.store.files.Mkdir(dir, w.store.private)
		if err == nil {
			err = w.store.files.SyncDir(filepath.Dir(dir))
		}
		if errors.Is(err, fs.ErrExist) {
			err = checkFolder(dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// quarantineName returns a name that is later than those of all quarantined reads,
// because the oldest read is dropped first and the clock can be set back.
func (w *Writer) quarantineName(started time.Time) (string, error) {
	covered, err := w.covered()
	if err != nil {
		return "", err
	}
	before := ""
	if w.newest != nil {
		before = w.newest.Name()
	}
	for _, read := range covered.Quarantined() {
		before = max(before, read.Snapshot)
	}
	name := nameAfter(before, started)
	for err == nil { // no covered line names a folder with this name
		if _, err = os.Lstat(w.quarantine(name)); err == nil {
			name = nameAfter(name, started)
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := ParseName(name); err != nil {
		return "", fmt.Errorf("name a read that began at %s: %w", started, err)
	}
	return name, nil
}

// nameAfter returns a name for a time that is later than the name before.
func nameAfter(before string, started time.Time) string {
	name := started.UTC().Format(nameLayout)
	if last, err := ParseName(before); err == nil && name <= before {
		name = last.Add(time.Second).Format(nameLayout)
	}
	return name
}

func (w *Writer) stageQuarantined(ctx context.Context, name, dir string, d Draft, reason string) (digest string, err error) {
	s, err := newStage(w.store.files, w.store.private, dir)
	if err != nil {
		return "", err
	}
	for i := range d.Resources {
		if d.Resources[i].Unavailable != "" {
			continue
		}
		if err := s.records(ctx, &d.Resources[i], nil); err != nil {
			return "", err
		}
	}
	transcript, err := s.requestsAndParents(ctx, name, d)
	if err != nil {
		return "", err
	}
	q := QuarantinedRead{
		Format: readFormat, StoreID: w.store.meta.StoreID, Export: w.export, ReadName: name, Reason: reason,
		Org: d.Org, Client: d.Client, Run: d.Run, Tool: d.Tool, Declared: d.Declared,
		Read: d.read(), Control: d.Control, Resources: d.counts(), Files: s.files, Previous: w.newest.link(),
	}
	q.Read.Requests = transcript.Requests
	data, err := canonjson.Marshal(q)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", ReadFile, err)
	}
	data = append(data, '\n')
	if err := s.write(ReadFile, data); err != nil {
		return "", err
	}
	return DigestOf(data), s.fsys.SyncDir(dir)
}

// dropOldReads drops all quarantined reads but the ones that are kept. It leaves a folder
// that no covered line names to a person.
func (w *Writer) dropOldReads() error {
	covered, err := w.covered()
	if err != nil {
		return err
	}
	reads := covered.Quarantined()
	young := w.store.now().Add(-keptFor).UTC().Format(nameLayout)
	for ; len(reads) > keptReads && reads[0].Snapshot < young; reads = reads[1:] {
		if err := w.drop(reads[0], w.holder.User, "older than the reads that are kept"); err != nil {
			return err
		}
	}
	return nil
}

// Drop removes a quarantined read. The journal first records its digest, the user and the
// reason. A read that is missing or has changed can be dropped, if a covered line
// names it.
func (w *Writer) Drop(name string, user, reason string) error {
	err := w.dropNamed(name, user, reason)
	if err != nil {
		return fmt.Errorf("drop %s@%s: %w", w.export, name, err)
	}
	return nil
}

func (w *Writer) dropNamed(name, user, reason string) error {
	covered, err := w.covered()
	if err != nil {
		return err
	}
	for _, read := range covered.Quarantined() {
		if read.Snapshot == name {
			return w.drop(read, user, reason)
		}
	}
	if _, err := w.store.FindQuarantined(w.export, name); err != nil {
		return err
	}
	return w.drop(Event{Snapshot: name}, user, reason)
}

// drop drops the read of a covered line quarantined. If read has no digest, no covered
// line names the folder.
func (w *Writer) drop(read Event, user, reason string) error {
	if w.failed {
		return errHalfway
	}
	event := Event{Event: EventDropped, Snapshot: read.Snapshot, ReadSHA256: read.ReadSHA256, User: user, Reason: reason}
	switch q, err := w.openQuarantined(read.Snapshot, read.ReadSHA256); {
	case read.ReadSHA256 == "":
		event.Error = "no covered line of the journal named it"
	case err != nil:
		event.Error = "it was missing or had changed since the read"
	default:
		for _, f := range q.Files {
			event.Files = append(event.Files, f.Name)
		}
	}
	if err := w.Journal(event); err != nil {
		return err
	}
	return w.removeQuarantined(read.Snapshot)
}

// removeQuarantined removes a quarantined read, if it is there. It is renamed
// first, so that readers never find a part of it.
func (w *Writer) removeQuarantined(name string) error {
	if _, err := ParseName(name); err != nil {
		return err
	}
	fsys := w.store.files
	removed := w.quarantine(partial(name))
	err := fsys.Rename(w.quarantine(name), removed)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := fsys.SyncDir(w.quarantine()); err != nil {
		return err
	}
	return removeFolder(fsys, removed)
}

// ReadFile is the name of the file that describes a quarantined read.
const ReadFile = "read.json"

// QuarantinedRead is a read that a guard stopped, with everything that is needed
// to make a snapshot of it later, except the changes.
type QuarantinedRead struct {
	Format    string            `json:"format"`
	StoreID   string            `json:"store_id"`
	Export    string            `json:"export"`
	ReadName  string            `json:"name"`   // made like a snapshot's name
	Reason    string            `json:"reason"` // of the guard
	Org       Org               `json:"org"`
	Client    Client            `json:"client"`
	Run       Run               `json:"run"`
	Tool      Tool              `json:"tool"`
	Declared  Declaration       `json:"declared"`
	Read      Read              `json:"read"`
	Control   *Control          `json:"control,omitempty"`
	Resources map[string]Counts `json:"resources"`
	Files     []File            `json:"files"`
	Previous  *Link             `json:"previous"` // the newest snapshot at the time of the read

	dir    string
	digest string // of read.json
}

// Digest returns the digest of read.json, which has the digests of the other files.
func (q *QuarantinedRead) Digest() string { return q.digest }

// Name returns the name of the read.
func (q *QuarantinedRead) Name() string { return q.ReadName }

// Dir returns the folder of the read.
func (q *QuarantinedRead) Dir() string { return q.dir }

// Recorded returns the resources of the read, in the order of Resources.
func (q *QuarantinedRead) Recorded() []*Resource {
	m := Manifest{Resources: q.Resources}
	return m.Recorded()
}

// Records opens the records of a resource.
func (q *QuarantinedRead) Records(r *Resource) (diff.Reader, error) {
	counts, ok := q.Resources[r.Name]
	if !ok || !counts.IsAvailable() {
		return nil, &NotRecordedError{q.Export, q.ReadName, r.Name}
	}
	records, err := openRecords(q.dir, "", r, counts.Total, fileNamed(q.Files, r.RecordsFile()).SHA256)
	if err != nil {
		return nil, fmt.Errorf("read %s of quarantined %s@%s: %w", r.Name, q.Export, q.ReadName, err)
	}
	return records, nil
}

// Quarantined returns the quarantined reads of an export, oldest first. Like
// List, it returns the readable ones together with an error.
func (s *Store) Quarantined(export string) ([]*QuarantinedRead, error) {
	dir := filepath.Join(s.dir, QuarantineDir, export)
	names, err := snapshotNames(dir)
	if err != nil {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	var list []*QuarantinedRead
	var problems []error
	for _, name := range names {
		q, err := loadQuarantined(filepath.Join(dir, name))
		if err == nil && (q.ReadName != name || q.Export != export) {
			err = errors.New(ReadFile + " belongs to another read")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("read quarantined %s@%s: %w", export, name, err))
			continue
		}
		list = append(list, q)
	}
	return list, errors.Join(problems...)
}

func loadQuarantined(dir string) (*QuarantinedRead, error) {
	data, err := ReadBounded(filepath.Join(dir, ReadFile), MaxManifest)
	if err != nil {
		return nil, err
	}
	q := &QuarantinedRead{dir: dir, digest: DigestOf(data)}
	return q, parseDocument(data, readFormat, q)
}

func (w *Writer) newestQuarantined() (*QuarantinedRead, error) {
	covered, err := w.covered()
	if err != nil {
		return nil, err
	}
	reads := covered.Quarantined()
	if len(reads) == 0 {
		return nil, fmt.Errorf("%s has no quarantined reads", w.export)
	}
	newest := reads[len(reads)-1]
	q, err := w.openQuarantined(newest.Snapshot, newest.ReadSHA256)
	if err != nil {
		return nil, fmt.Errorf("the newest quarantined read, %s@%s: %w", w.export, newest.Snapshot, err)
	}
	return q, nil
}

// openQuarantined opens the quarantined read with this name and digest.
func (w *Writer) openQuarantined(name, digest string) (*QuarantinedRead, error) {
	if _, err := ParseName(name); err != nil {
		return nil, err
	}
	dir := w.quarantine(name)
	path := filepath.Join(dir, ReadFile)
	if err := checkFolder(dir); err != nil {
		return nil, damaged(path, err)
	}
	q, err := loadQuarantined(dir)
	if err != nil {
		return nil, damaged(path, err)
	}
	if q.digest != digest {
		return nil, &DamagedError{Path: path, Problem: "it has changed since the read"}
	}
	return q, nil
}

// FindQuarantined returns the quarantined read of an export with this name. If name is
// "", it returns the newest one that a covered line of the journal names and that was
// neither released nor dropped. If that one is missing or has changed, the error names
// it.
func (s *Store) FindQuarantined(export, name string) (*QuarantinedRead, error) {
	list, err := s.Quarantined(export)
	if name == "" {
		c, checkpointErr := s.Checkpoint(export)
		switch {
		case checkpointErr == nil:
			return (&Writer{store: s, export: export, checkpoint: c}).newestQuarantined()
		case len(list) > 0 || !errors.Is(checkpointErr, fs.ErrNotExist):
			return nil, checkpointErr
		}
	}
	for _, q := range list {
		if q.ReadName == name {
			return q, nil
		}
	}
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, fmt.Errorf("%s has no quarantined reads", export)
	}
	return nil, fmt.Errorf("%s has no quarantined read %s; the newest is %s", export, name, list[len(list)-1].ReadName)
}

package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"oktasync/reconcile/snapshot/diff"
)

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

// Proofs returns the proofs of removals that the read contains.
func (q *QuarantinedRead) Proofs(r *Resource) (diff.Proofs, error) {
	return readProofs(q.dir, "", q.Files, r)
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

func (w *Writer) newestQuarantined() (*QuarantinedRead, error) {
	covered, err := w.covered()
	if err != nil {
		return nil, err
	}
	reads := covered.quarantined()
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

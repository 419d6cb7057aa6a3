package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// keptReadings is how many quarantined readings of an export are kept.
const keptReadings = 3

const readingFile = "reading.json"

// Reading is a reading that a guard held back, with all that it takes to
// make a snapshot of it later but for the changes.
type Reading struct {
	Format    string      `json:"format"`
	StoreID   string      `json:"store_id"`
	Export    string      `json:"export"`
	Reading   string      `json:"reading"` // its name
	Reason    string      `json:"reason"`  // what the guard said
	Org       Org         `json:"org"`
	Client    Client      `json:"client"`
	Run       Run         `json:"run"`
	Tool      Tool        `json:"tool"`
	Declared  Declaration `json:"declared"`
	Read      Read        `json:"read"`
	Resources Resources   `json:"resources"`
	Files     []File      `json:"files"`
	Previous  *Link       `json:"previous"` // the newest snapshot when it was read

	dir string
}

// Name returns the name of the reading, which is made like a snapshot's.
func (r *Reading) Name() string { return r.Reading }

// Dir returns the reading's folder.
func (r *Reading) Dir() string { return r.dir }

// Users reads the users of r.
func (r *Reading) Users() (UserReader, error) {
	users, err := openUsers(r.dir, "", r.Resources.Users.Total)
	if err != nil {
		return nil, fmt.Errorf("read users of quarantined %s@%s: %w", r.Export, r.Reading, err)
	}
	return users, nil
}

// Quarantined returns the readings of an export that are held back, oldest
// first. Like List it returns those that can be read beside an error.
func (s *Store) Quarantined(export string) ([]*Reading, error) {
	dir := filepath.Join(s.dir, quarantineDir, export)
	names, err := snapshotNames(dir)
	if err != nil {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	var list []*Reading
	var problems []error
	for _, name := range names {
		r, err := readReading(filepath.Join(dir, name))
		if err != nil {
			problems = append(problems, fmt.Errorf("read quarantined %s@%s: %w", export, name, err))
			continue
		}
		list = append(list, r)
	}
	return list, errors.Join(problems...)
}

func readReading(dir string) (*Reading, error) {
	data, err := readBounded(filepath.Join(dir, readingFile), maxManifest)
	if err != nil {
		return nil, err
	}
	r := &Reading{dir: dir}
	return r, parseDocument(data, readingFormat, r)
}

// Quarantine keeps d, without its changes, apart from the snapshots, says so
// in the journal and returns its name. Of each export the newest three are
// kept. The order is that of Publish.
func (w *Writer) Quarantine(ctx context.Context, d Draft, reason string) (name string, err error) {
	name, err = w.hold(ctx, d, reason)
	if err != nil {
		return "", fmt.Errorf("quarantine: %w", err)
	}
	if err := w.Journal(Event{Event: EventQuarantined, Snapshot: name, Reason: reason}); err != nil {
		return "", err
	}
	if err := w.dropOldReadings(); err != nil {
		return "", fmt.Errorf("quarantine: drop the oldest: %w", err)
	}
	return name, nil
}

// quarantine joins the folder of the export's quarantine and the names below.
func (w *Writer) quarantine(names ...string) string {
	return filepath.Join(append([]string{w.store.dir, quarantineDir, w.export}, names...)...)
}

// hold writes a reading and returns its name.
func (w *Writer) hold(ctx context.Context, d Draft, reason string) (string, error) {
	if w.damaged != nil {
		return "", w.damaged
	}
	fsys := w.store.files
	for _, dir := range []string{filepath.Dir(w.quarantine()), w.quarantine()} {
		err := fsys.Mkdir(dir, w.store.private)
		if err == nil {
			err = fsys.SyncDir(filepath.Dir(dir))
		}
		if errors.Is(err, fs.ErrExist) {
			err = checkFolder(dir)
		}
		if err != nil {
			return "", err
		}
	}
	name, err := w.readingName(d.Started)
	if err != nil {
		return "", err
	}
	dir := w.quarantine(partial(name))
	err = w.stageReading(ctx, name, dir, d, reason)
	if err == nil {
		err = fsys.Rename(dir, w.quarantine(name))
	}
	if err != nil {
		removeFolder(fsys, dir) // or else the next writer does
		return "", err
	}
	return name, fsys.SyncDir(w.quarantine())
}

// readingName returns a name later than that of each reading that is there: the
// oldest is what is dropped, and the clock may have been set back.
func (w *Writer) readingName(started time.Time) (string, error) {
	names, err := snapshotNames(w.quarantine())
	if err != nil {
		return "", err
	}
	before := ""
	if n := len(names); n > 0 {
		before = names[n-1]
	}
	return nameAfter(before, started), nil
}

func (w *Writer) stageReading(ctx context.Context, name, dir string, d Draft, reason string) error {
	s, err := newStage(w.store.files, w.store.private, dir)
	if err != nil {
		return err
	}
	if err := s.users(ctx, d.Users, nil); err != nil {
		return err
	}
	pages, err := s.requests(ctx, d.Requests)
	if err != nil {
		return err
	}
	r := Reading{
		Format: readingFormat, StoreID: w.store.meta.StoreID, Export: w.export, Reading: name, Reason: reason,
		Org: d.Org, Client: d.Client, Run: d.Run, Tool: d.Tool, Declared: d.Declared,
		Read: d.read(), Resources: Resources{Users: d.resource()}, Files: s.files, Previous: w.newest.link(),
	}
	r.Read.Requests = pages.requests
	data, err := MarshalCanonical(r)
	if err != nil {
		return fmt.Errorf("write %s: %w", readingFile, err)
	}
	if err := s.write(readingFile, append(data, '\n')); err != nil {
		return err
	}
	return s.fsys.SyncDir(dir)
}

// dropOldReadings removes all but the newest readings.
func (w *Writer) dropOldReadings() error {
	names, err := snapshotNames(w.quarantine())
	if err != nil {
		return err
	}
	for ; len(names) > keptReadings; names = names[1:] {
		if err := w.removeReading(names[0]); err != nil {
			return err
		}
	}
	return nil
}

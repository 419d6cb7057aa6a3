package snapshot

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNoStore means that a folder holds no store, or is not there.
	ErrNoStore = errors.New("no store")
	// ErrNoSnapshot means that an export has no snapshot yet.
	ErrNoSnapshot = errors.New("no snapshot")
)

// OrgError refuses a store that holds the users of another org.
type OrgError struct {
	Dir         string
	Store, Want Org
}

func (e *OrgError) Error() string {
	return fmt.Sprintf("store %s belongs to %s, not to %s", e.Dir, e.Store.URL, e.Want.URL)
}

// NotFoundError says that no snapshot of an export fits what was asked for.
type NotFoundError struct {
	Export, Name string
	Nearest      string // a snapshot that may have been meant, or ""
}

func (e *NotFoundError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("no snapshot %s of %s", e.Name, e.Export)
	}
	return fmt.Sprintf("no snapshot %s of %s; the nearest is %s", e.Name, e.Export, e.Nearest)
}

// Options say how a store is written.
type Options struct {
	GID int // a group that may read what is published; 0: none
}

// Store is a folder of snapshots. Its methods may be called concurrently.
type Store struct{}

// Open opens the store in dir for reading. Without one the error is
// ErrNoStore.
func Open(dir string) (*Store, error) { return nil, errors.ErrUnsupported }

// Init opens the store of org in dir for writing, and makes one where there
// is none. A store of another org is an *OrgError.
func Init(dir string, org Org, o Options) (*Store, error) { return nil, errors.ErrUnsupported }

// Dir returns the store's folder.
func (s *Store) Dir() string { return "" }

// ID returns the store's id, which its manifests carry.
func (s *Store) ID() string { return "" }

// Org returns the org that the store belongs to.
func (s *Store) Org() Org { return Org{} }

// Exports returns the names of the exports that the store has, sorted.
func (s *Store) Exports() ([]string, error) { return nil, errors.ErrUnsupported }

// List returns the snapshots of an export, oldest first. Snapshots whose
// manifest can't be read are left out and reported by the error, which comes
// with all the others.
func (s *Store) List(export string) ([]*Snapshot, error) { return nil, errors.ErrUnsupported }

// Latest returns the newest snapshot of an export, or ErrNoSnapshot.
func (s *Store) Latest(export string) (*Snapshot, error) { return nil, errors.ErrUnsupported }

// Find returns the snapshot of an export that name stands for: a snapshot's
// name; a date, for the last one up to the end of that day in zone; a time
// in RFC 3339, for the last one up to it; @-1, for the one before the newest;
// "" or @ for the newest. Without one the error is a *NotFoundError, or
// ErrNoSnapshot where there are none at all.
func (s *Store) Find(export, name string, zone *time.Location) (*Snapshot, error) {
	return nil, errors.ErrUnsupported
}

// Journal sums up the journal of an export. An export without one has the
// zero History.
func (s *Store) Journal(export string) (History, error) { return History{}, errors.ErrUnsupported }

// Snapshot is a published snapshot.
type Snapshot struct {
	Manifest Manifest
	Digest   string // SHA-256 of manifest.json
	dir      string
}

// Name returns the name of the snapshot's folder.
func (s *Snapshot) Name() string { return s.Manifest.Snapshot }

// Dir returns the snapshot's folder.
func (s *Snapshot) Dir() string { return s.dir }

package snapshot

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/sign"
)

var (
	// ErrNoStore means that a folder contains no store, or doesn't exist.
	ErrNoStore = errors.New("no store")
	// ErrNoSnapshot means that an export has no snapshot yet.
	ErrNoSnapshot = errors.New("no snapshot")
)

// OrgError means that a store belongs to another org.
type OrgError struct {
	Dir         string
	Store, Want Org
}

func (e *OrgError) Error() string {
	store, want := e.Store.URL, e.Want.URL
	if store == want {
		store, want = e.Store.ID, e.Want.ID
	}
	return fmt.Sprintf("the store in %s belongs to %s, not to %s", e.Dir, store, want)
}

// A Stamper requests a time stamp over a message from a time-stamping authority, see
// package timestamp.
type Stamper func(ctx context.Context, message []byte) (stamp []byte, err error)

// Options configure how a store is written.
type Options struct {
	GID     int                  // a group that may read what is published; 0: none
	Signer  *sign.Signer         // signs snapshots and checkpoints; nil: they are not signed
	Allowed *sign.AllowedSigners // whose keys are accepted; nil: only that of Signer
	Stamper Stamper              // requests time stamps; nil: none
	Witness *Witness             // keeps the heads of the exports, also for later Stores; nil: none
}

// Names in a store and in the folder of an export. Files and folders that
// begin with a dot aren't part of the evidence.
const (
	StoreFile     = "oktasync.json"
	LockFile      = ".lock"
	QuarantineDir = ".quarantine"
	LatestLink    = "latest"
	JournalFile   = "journal.ndjson"
	PrunedDir     = "pruned"
	partialSuffix = ".partial"
)

// partial returns the name of a file or folder while it is written.
func partial(name string) string { return "." + name + partialSuffix }

// PartialOf returns the final name of a partial file or folder, and whether name is partial.
func PartialOf(name string) (string, bool) {
	name, hidden := strings.CutPrefix(name, ".")
	name, ok := strings.CutSuffix(name, partialSuffix)
	return name, hidden && ok
}

// Store is a folder of snapshots. Its methods may be called concurrently.
type Store struct {
	dir       string
	meta      storeMeta
	published ownership
	private   ownership
	signer    *sign.Signer         // nil: nothing is signed
	allowed   *sign.AllowedSigners // nil: only the signer's own key is accepted
	stamper   Stamper              // nil: no time stamps
	witness   *Witness             // nil: there is none
	files     fileSystem
	now       func() time.Time
	checked   *Checkpoint // nil: Checkpoint reads the files, see WithCheckpoint
}

// storeMeta is oktasync.json.
type storeMeta struct {
	Format  string `json:"format"`
	StoreID string `json:"store_id"`
	Org     Org    `json:"org"`
}

// Open opens the store in dir for reading. If there is none, the error is ErrNoStore.
func Open(dir string) (*Store, error) {
	s := newStore(dir, Options{})
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

// Init opens the store of org in dir for writing, and creates it if it doesn't exist. If
// the store belongs to another org, the error is an *OrgError.
func Init(dir string, org Org, o Options) (*Store, error) {
	s := newStore(dir, o)
	if err := s.init(org); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	have := s.meta.Org
	if have.URL != org.URL || have.ID != "" && org.ID != "" && have.ID != org.ID {
		return nil, &OrgError{Dir: dir, Store: have, Want: org}
	}
	return s, nil
}

func newStore(dir string, o Options) *Store {
	s := &Store{
		dir:     dir,
		private: ownership{file: 0o600, dir: 0o700, uid: -1, gid: -1},
		signer:  o.Signer,
		allowed: o.Allowed,
		stamper: o.Stamper,
		witness: o.Witness,
		files:   osFiles{dir},
		now:     time.Now,
	}
	if info, err := os.Stat(dir); err == nil && os.Geteuid() == 0 {
		// A file that root writes into another user's store belongs to that user.
		if uid, gid := owner(info); uid > 0 {
			s.private.uid, s.private.gid = uid, gid
		}
	}
	s.published = s.private
	if o.GID != 0 {
		s.published.file, s.published.dir = 0o640, 0o750|fs.ModeSetgid
		s.published.gid = o.GID
	}
	return s
}

// load reads oktasync.json.
func (s *Store) load() error {
	data, err := ReadBounded(filepath.Join(s.dir, StoreFile), 1<<20)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNoStore
	case errors.Is(err, syscall.ENOTDIR):
		return syscall.ENOTDIR
	case err != nil:
		return err
	}
	if err := parseDocument(data, storeFormat, &s.meta); err != nil {
		return fmt.Errorf("read %s: %w", StoreFile, err)
	}
	return nil
}

// init loads the store, or creates it. The lock prevents two first runs from creating
// two stores.
func (s *Store) init(org Org) error {
	if err := s.load(); !errors.Is(err, ErrNoStore) {
		return errors.Join(err, s.open())
	}
	if err := s.makeFolder(); err != nil {
		return err
	}
	lock, err := s.lock(s.dir, "store", ThisProcess("init"), 5*time.Second)
	if err != nil {
		return err
	}
	defer lock.release()
	if err := s.load(); !errors.Is(err, ErrNoStore) {
		return err
	}
	if err := s.checkEmpty(); err != nil {
		return err
	}
	id := make([]byte, 16)
	rand.Read(id)
	s.meta = storeMeta{Format: storeFormat, StoreID: hex.EncodeToString(id), Org: Org{URL: org.URL, ID: org.ID}}
	return s.writeMeta()
}

// makeFolder creates the store's folder, and the missing folders above it.
func (s *Store) makeFolder() error {
	parent := filepath.Dir(s.dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	err := s.files.Mkdir(s.dir, s.published)
	if errors.Is(err, fs.ErrExist) {
		return s.open()
	}
	if err != nil {
		return err
	}
	return s.files.SyncDir(parent)
}

// open gives the group, if there is one, access to the store's folder.
func (s *Store) open() error {
	if s.published.dir == s.private.dir {
		return nil
	}
	dir, err := os.Open(s.dir) // follows a link: the configuration selects the folder, not the store
	if err != nil {
		return err
	}
	return errors.Join(s.published.apply(dir, s.published.dir), dir.Close())
}

// checkEmpty returns an error if the folder of a new store contains other files.
func (s *Store) checkEmpty() error {
	entries, err := os.ReadDir(s.dir)
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && name != "lost+found" {
			return fmt.Errorf("the folder contains no store, but other files (%s)", name)
		}
	}
	return err
}

func (s *Store) writeMeta() error {
	data, err := canonjson.Marshal(s.meta)
	if err != nil {
		return err
	}
	return s.replaceFile(s.dir, StoreFile, append(data, '\n'))
}

// replaceFile writes a file in dir, syncs it, and replaces the old one.
func (s *Store) replaceFile(dir, name string, data []byte) error {
	temp := filepath.Join(dir, partial(name))
	if err := s.files.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.files.Create(temp, s.published)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.files.Rename(temp, filepath.Join(dir, name)); err != nil {
		return err
	}
	return s.files.SyncDir(dir)
}

// Dir returns the store's folder.
func (s *Store) Dir() string { return s.dir }

// ID returns the store's id, which its manifests contain.
func (s *Store) ID() string { return s.meta.StoreID }

// Org returns the org that the store belongs to.
func (s *Store) Org() Org { return s.meta.Org }

// Exports returns the names of the exports that the store has, sorted.
func (s *Store) Exports() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list exports: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && IsExportName(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Path joins the folder of an export and the names below it.
func (s *Store) Path(export string, names ...string) string {
	return filepath.Join(append([]string{s.dir, export}, names...)...)
}

// Probe returns the error of opening a store of org for writing in dir. It removes
// the files that it creates for this check.
func Probe(dir string, org Org, o Options) error {
	s := newStore(dir, o)
	err := s.load()
	switch {
	case errors.Is(err, ErrNoStore):
		err = s.checkEmpty()
	case err == nil && s.meta.Org.URL != org.URL:
		return &OrgError{Dir: dir, Store: s.meta.Org, Want: org}
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = s.probeFolder()
	}
	if err != nil {
		return fmt.Errorf("open store %s: %w", dir, err)
	}
	return nil
}

// probeFolder creates a folder in the store, with the same owner and mode as the folders
// of the store, and removes it. If the store doesn't exist, it uses the folder above.
func (s *Store) probeFolder() error {
	dir, err := Existing(s.dir)
	if err != nil {
		return err
	}
	made, err := os.MkdirTemp(dir, ".probe-")
	if err != nil {
		return err
	}
	err = s.published.applyFolder(made)
	return errors.Join(err, os.Remove(made))
}

// lock takes the lock in the folder dir for h, and waits for it up to wait.
func (s *Store) lock(dir, what string, h Holder, wait time.Duration) (*lock, error) {
	f, err := s.openLock(filepath.Join(dir, LockFile))
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", what, err)
	}
	l := &lock{f}
	err = l.take(wait)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(&LockedError{What: what, Holder: l.holder()}, f.Close())
	case err == nil:
		err = l.name(h, s.private)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", what, err), f.Close())
	}
	return l, nil
}

// openLock opens the file of a lock, and creates it if it is missing.
func (s *Store) openLock(path string) (f *os.File, err error) {
	err = osFiles{s.dir}.in(path, func(root *os.Root, name string) (err error) {
		f, err = openPlainIn(root, name, os.O_CREATE|os.O_RDWR, s.private)
		return err
	})
	return f, err
}

// LockRun takes the store's lock. A daemon holds it until it ends. If another process
// holds it, the error is a *LockedError.
func (s *Store) LockRun(h Holder) (release func() error, err error) {
	lock, err := s.lock(s.dir, "store", h, 0)
	if err != nil {
		return nil, err
	}
	return lock.release, nil
}

// TempFile returns a new file without a name in the store's folder.
func (s *Store) TempFile() (*os.File, error) { return TempFile(s.dir) }

// Checkpoint reads the checkpoint of an export, and checks its form, its store and
// its export, but not its signature. If there is none, the error is
// fs.ErrNotExist.
func (s *Store) Checkpoint(export string) (*Checkpoint, error) {
	if s.checked != nil && s.checked.Export == export {
		return s.checked, nil
	}
	data, err := ReadBounded(s.Path(export, CheckpointFile), maxCheckpoint)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", CheckpointFile, err)
	}
	c := &Checkpoint{data: data}
	if err := parseDocument(c.line(), checkpointFormat, c); err != nil {
		return nil, &MismatchError{export, "its checkpoint can't be read: " + err.Error()}
	}
	if problem := c.check(s.meta.StoreID, export); problem != "" {
		return nil, &MismatchError{export, problem}
	}
	return c, nil
}

// WithCheckpoint returns a store that uses c, which the caller has checked, and doesn't
// read the file again, because a writer could have replaced it. If c is nil, it returns s.
func (s *Store) WithCheckpoint(c *Checkpoint) *Store {
	if c == nil {
		return s
	}
	checked := *s
	checked.checked = c
	return &checked
}

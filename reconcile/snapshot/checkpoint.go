package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/sign"
)

// CheckpointFile is the name of the checkpoint in the folder of an export.
const CheckpointFile = "checkpoint"

// maxCheckpoint bounds the size of a checkpoint in bytes.
const maxCheckpoint = sign.MaxKey + 64<<10

// A Checkpoint is the only trusted statement about an export: the length and the
// last line of its journal, and its newest snapshot. On disk, it is one line of
// JSON, followed by an armored SSHSIG over that line if the store has a key.
// Everything that a checkpoint doesn't cover has no effect.
type Checkpoint struct {
	Format         string  `json:"format"`
	StoreID        string  `json:"store_id"`
	Export         string  `json:"export"`
	Time           Time    `json:"time"`
	Lines          int     `json:"lines"`           // of the journal
	Bytes          int64   `json:"bytes"`           // of these lines
	LineSHA256     string  `json:"line_sha256"`     // of the last of these lines; "" if there are none
	Sequence       int     `json:"sequence"`        // of the newest snapshot; 0 if there is none
	Snapshot       string  `json:"snapshot"`        // its name, or ""
	ManifestSHA256 string  `json:"manifest_sha256"` // of its manifest, or ""
	SignedBy       *string `json:"signed_by"`       // the fingerprint of the key; null: not signed

	data []byte // the file
}

// Checkpoint reads the checkpoint of an export, and checks its form, its store and
// its export, but not its signature. If there is none, the error is
// fs.ErrNotExist.
func (s *Store) Checkpoint(export string) (*Checkpoint, error) {
	data, err := ReadBounded(s.Path(export, CheckpointFile), maxCheckpoint)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", CheckpointFile, err)
	}
	c := &Checkpoint{data: data}
	if err := parseDocument(c.line(), checkpointFormat, c); err != nil {
		return nil, &MismatchError{export, "its checkpoint can't be read: " + err.Error()}
	}
	if problem := c.check(s, export); problem != "" {
		return nil, &MismatchError{export, problem}
	}
	return c, nil
}

// check returns what is wrong with c as the checkpoint of an export, or "".
func (c *Checkpoint) check(s *Store, export string) string {
	_, nameErr := ParseName(c.Snapshot)
	switch {
	case c.StoreID != s.meta.StoreID:
		return "its checkpoint belongs to another store"
	case c.Export != export:
		return fmt.Sprintf("its checkpoint belongs to the export %q", c.Export)
	case c.Lines < 0 || c.Bytes < 0 || c.Sequence < 0 || (c.Lines == 0) != (c.Bytes == 0) || (c.Lines == 0) != (c.LineSHA256 == ""),
		(c.Sequence == 0) != (c.Snapshot == ""), (c.Sequence == 0) != (c.ManifestSHA256 == ""),
		c.Sequence > 0 && nameErr != nil, (c.SignedBy == nil) != (len(c.signature()) == 0):
		return "the members of its checkpoint contradict each other"
	}
	return ""
}

// line returns the signed line of c, with its line feed.
func (c *Checkpoint) line() []byte { return c.data[:bytes.IndexByte(c.data, '\n')+1] }

// signature returns the armored signature of c, which is empty in a store without
// a key.
func (c *Checkpoint) signature() []byte { return c.data[len(c.line()):] }

// Signer checks the signature of c, which must be signed, and returns the key.
func (c *Checkpoint) Signer() (ssh.PublicKey, error) {
	return sign.Verify(c.line(), c.signature(), *c.SignedBy, sign.Checkpoint)
}

// Head returns the end of the chain that c covers.
func (c *Checkpoint) Head() Head {
	return Head{
		Export: c.Export, Sequence: c.Sequence, Snapshot: c.Snapshot, Digest: c.ManifestSHA256,
		Lines: c.Lines, Line: c.LineSHA256,
	}
}

// SameAs reports whether two checkpoints are the same file.
func (c *Checkpoint) SameAs(other *Checkpoint) bool {
	return (c == nil) == (other == nil) && (c == nil || bytes.Equal(c.data, other.data))
}

// MismatchError means that the state of an export isn't the one that its
// checkpoint covers. Nothing is written until a person adopts the state.
type MismatchError struct{ Export, Problem string }

func (e *MismatchError) Error() string { return e.Problem }

func (w *Writer) mismatch(format string, args ...any) error {
	return &MismatchError{w.export, fmt.Sprintf(format, args...)}
}

// openCheckpoint reads and checks the checkpoint of the export. An export without
// a checkpoint must be empty, and gets one of zero lines.
func (w *Writer) openCheckpoint() error {
	if err := w.store.checkOwnKey(); err != nil {
		return err
	}
	c, err := w.store.Checkpoint(w.export)
	if errors.Is(err, fs.ErrNotExist) {
		if err := w.checkEmpty(); err != nil {
			return err
		}
		return w.cover()
	}
	if err != nil {
		return err
	}
	if err := w.checkKey(c); err != nil {
		return err
	}
	w.checkpoint = c
	return nil
}

// checkKey checks that the writer accepts the key of a checkpoint.
func (w *Writer) checkKey(c *Checkpoint) error {
	signer := w.store.signer
	switch {
	case c.SignedBy == nil && signer == nil:
		return nil
	case c.SignedBy == nil:
		return w.mismatch("its checkpoint is not signed, and the configuration has a signing key")
	case signer == nil:
		return w.mismatch("its checkpoint is signed by %s, and the configuration has no signing key", *c.SignedBy)
	}
	key, err := c.Signer()
	if err != nil {
		return w.mismatch("the signature of its checkpoint %v", err)
	}
	if err := w.store.accept(key, sign.Checkpoint, w.store.now()); err != nil {
		return w.mismatch("its checkpoint is signed by %s, which %v", *c.SignedBy, err)
	}
	return nil
}

// accept returns why a key isn't accepted at a time: it must be the store's own,
// or one of the allowed signers.
func (s *Store) accept(key ssh.PublicKey, namespace string, at time.Time) error {
	if s.signer != nil && bytes.Equal(key.Marshal(), s.signer.Key().Marshal()) {
		return nil
	}
	switch {
	case s.allowed == nil && s.signer == nil:
		return nil // a reader that accepts every key
	case s.allowed == nil:
		return errors.New("is not the key of this store")
	}
	_, err := s.allowed.Check(key, namespace, at)
	return err
}

// checkOwnKey checks that the allowed signers, if they are configured, accept the
// store's own key now.
func (s *Store) checkOwnKey() error {
	if s.signer == nil || s.allowed == nil {
		return nil
	}
	for _, namespace := range []string{sign.Snapshot, sign.Checkpoint} {
		if _, err := s.allowed.Check(s.signer.Key(), namespace, s.now()); err != nil {
			return fmt.Errorf("the signing key %s %w; nothing is signed with it", s.signer.Fingerprint(), err)
		}
	}
	return nil
}

// checkEmpty checks that nothing was ever written to the export.
func (w *Writer) checkEmpty() error {
	entries, err := w.readFolder()
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); name != LockFile && name != partial(CheckpointFile) {
			return w.mismatch("its checkpoint is missing, and it has %s", name)
		}
	}
	names, err := snapshotNames(w.quarantine())
	if err == nil && len(names) > 0 {
		err = w.mismatch("its checkpoint is missing, and it has quarantined reads")
	}
	if seen := w.store.witness.last(w.path()); err == nil && seen != nil && seen.Lines > 0 {
		err = &RollbackError{w.export, seen.Head()}
	}
	return err
}

// cover replaces the checkpoint by one that covers the journal and the newest
// snapshot as the writer has them in memory. Before, it checks that the checkpoint
// and the last line on disk are the ones that the writer has in memory. The system
// calls: openat with O_EXCL, write, fsync, renameat, and fsync of the folder.
func (w *Writer) cover() (err error) {
	defer func() { w.failed = w.failed || err != nil }()

	old, err := w.store.Checkpoint(w.export)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !old.SameAs(w.checkpoint) {
		return w.mismatch("its checkpoint has changed during the run")
	}
	if err := w.journal.checkLast(); err != nil {
		return err
	}
	return w.replaceCheckpoint()
}

// replaceCheckpoint writes the checkpoint.
func (w *Writer) replaceCheckpoint() error {
	c := w.next()
	line, err := canonjson.Marshal(c)
	if err != nil {
		return err
	}
	c.data = append(line, '\n')
	if c.SignedBy != nil {
		signature, err := w.store.sign(c.data, sign.Checkpoint)
		if err != nil {
			return err
		}
		c.data = append(c.data, signature...)
	}
	if err := w.writeFile(CheckpointFile, c.data); err != nil {
		return err
	}
	w.checkpoint = c
	w.store.witness.saw(w.path(), c)
	return nil
}

// next returns the checkpoint for what the writer has in memory. Its time is never
// before a time that it covers, so a clock that was set back doesn't matter.
func (w *Writer) next() *Checkpoint {
	j := w.journal
	c := &Checkpoint{
		Format: checkpointFormat, StoreID: w.store.meta.StoreID, Export: w.export,
		Lines: j.lines, Bytes: j.bytes, LineSHA256: j.head,
		SignedBy: signedBy(w.store.signer),
	}
	c.Time = later(At(w.store.now()), j.time)
	if old := w.checkpoint; old != nil {
		c.Time = later(c.Time, old.Time)
	}
	if w.newest != nil {
		c.Sequence, c.Snapshot, c.ManifestSHA256 = w.newest.Manifest.Sequence, w.newest.Name(), w.newest.Digest
		c.Time = later(c.Time, w.newest.Manifest.Signed)
	}
	return c
}

// writeFile writes a file of the export, syncs it, and replaces the old one.
func (w *Writer) writeFile(name string, data []byte) error {
	fsys := w.store.files
	temp := w.path(partial(name))
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(temp, w.store.published)
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
	if err := fsys.Rename(temp, w.path(name)); err != nil {
		return err
	}
	return fsys.SyncDir(w.path())
}

// later returns the later of two times.
func later(a, b Time) Time {
	if b.After(a.Time) {
		return b
	}
	return a
}

// A Head is the end of an export's chain and journal. A head that is kept outside the
// store shows later whether the store still contains it.
type Head struct {
	Export   string `json:"export"`
	Sequence int    `json:"sequence"`
	Snapshot string `json:"snapshot"` // "" in a head that was parsed
	Digest   string `json:"digest"`   // of the manifest; "" if there is no snapshot
	Lines    int    `json:"lines"`    // of the journal
	Line     string `json:"line"`     // digest of the last line
}

// String returns SEQUENCE:MANIFEST:LINES:LINE.
func (h Head) String() string {
	return fmt.Sprintf("%d:%s:%d:%s", h.Sequence, h.Digest, h.Lines, h.Line)
}

var headForm = regexp.MustCompile(`^([0-9]{1,9}):([0-9a-f]{64}|):([0-9]{1,9}):([0-9a-f]{64}|)$`)

// ParseHead parses what [Head.String] returns.
func ParseHead(text string) (Head, error) {
	parts := headForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if parts == nil {
		return Head{}, errors.New("not a head: SEQUENCE:MANIFEST:LINES:LINE")
	}
	sequence, _ := strconv.Atoi(parts[1]) // digits only
	lines, _ := strconv.Atoi(parts[3])
	return Head{Sequence: sequence, Digest: parts[2], Lines: lines, Line: parts[4]}, nil
}

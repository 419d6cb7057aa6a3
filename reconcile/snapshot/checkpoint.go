package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
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

// check returns what is wrong with c as the checkpoint of an export, or "".
func (c *Checkpoint) check(storeID, export string) string {
	_, nameErr := ParseName(c.Snapshot)
	switch {
	case c.StoreID != storeID:
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

// SameAs reports whether two checkpoints have the same bytes.
func (c *Checkpoint) SameAs(other *Checkpoint) bool {
	return (c == nil) == (other == nil) && (c == nil || bytes.Equal(c.data, other.data))
}

// MismatchError means that the state of an export isn't the one that its
// checkpoint covers. Nothing is written until a person adopts the state.
type MismatchError struct{ Export, Problem string }

func (e *MismatchError) Error() string { return e.Problem }

// RollbackError means that an older copy has replaced an export: a journal line
// that this process has read or written isn't there.
type RollbackError struct {
	Export string
	Lost   Head
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("an older copy has replaced it, and lost the head %s: line %d of its journal, which this process has read or written, is missing or changed",
		e.Lost, e.Lost.Lines)
}

// A Witness keeps the heads of exports in memory while the process lives. If an
// older copy replaces a store, the store itself doesn't show it, but a Witness
// does. The zero Witness is ready, and safe for concurrent use. See also [Store.Watch].
type Witness struct {
	seen sync.Map // *Checkpoint, by the export's folder
}

// last returns the last checkpoint that was seen, or nil. A nil Witness has seen
// none.
func (w *Witness) last(folder string) *Checkpoint {
	if w == nil {
		return nil
	}
	seen, _ := w.seen.Load(folder)
	c, _ := seen.(*Checkpoint)
	return c
}

func (w *Witness) saw(folder string, c *Checkpoint) {
	if w != nil {
		w.seen.Store(folder, c)
	}
}

// sawNewer is saw, unless another goroutine has replaced the checkpoint last.
func (w *Witness) sawNewer(folder string, last, c *Checkpoint) {
	if last == nil {
		w.seen.LoadOrStore(folder, c)
		return
	}
	w.seen.CompareAndSwap(folder, last, c)
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

// ParseHead parses what [Head.String] returns.
func ParseHead(text string) (Head, error) {
	form := regexp.MustCompile(`^([0-9]{1,9}):([0-9a-f]{64}|):([0-9]{1,9}):([0-9a-f]{64}|)$`) // here, because it is large and few commands need it
	parts := form.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if parts == nil {
		return Head{}, errors.New("not a head: SEQUENCE:MANIFEST:LINES:LINE")
	}
	sequence, _ := strconv.Atoi(parts[1]) // digits only
	lines, _ := strconv.Atoi(parts[3])
	return Head{Sequence: sequence, Digest: parts[2], Lines: lines, Line: parts[4]}, nil
}

// A Holder is the process that holds a lock.
type Holder struct {
	PID     int    `json:"pid"`
	Host    string `json:"host"`
	User    string `json:"user"`
	Command string `json:"command"`
	Since   Time   `json:"since"`
}

// ThisProcess returns this process, which runs a command of oktasync.
func ThisProcess(command string) Holder {
	h := Holder{PID: os.Getpid(), User: strconv.Itoa(os.Getuid()), Command: command, Since: At(time.Now())}
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	h.Host, _ = os.Hostname()
	return h
}

// A LockedError means that another process holds a lock.
type LockedError struct {
	What   string // an export's name, or "store"
	Holder Holder // zero: unknown
}

func (e *LockedError) Error() string {
	h := e.Holder
	if h.PID == 0 {
		return e.What + " is locked by another process"
	}
	return fmt.Sprintf("%s is locked by %s (process %d of %s on %s, since %s)", e.What, h.Command, h.PID, h.User, h.Host, h.Since)
}

// A lock is a file that an open descriptor locks with flock(2). The end of the
// process releases it. The file contains its holder.
type lock struct{ file *os.File }

// take takes the lock. While another process holds it, take tries again, up to wait.
func (l *lock) take(wait time.Duration) error {
	for end := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) && (!errors.Is(err, syscall.EWOULDBLOCK) || !time.Now().Before(end)) {
			return err
		}
	}
}

// name writes the holder to the file, for people and for LockedError. A released lock
// keeps its last holder.
func (l *lock) name(h Holder, a ownership) error {
	data, err := canonjson.Marshal(h)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	err = a.apply(l.file, a.file)
	if err == nil {
		_, err = l.file.WriteAt(data, 0)
	}
	if err == nil {
		err = l.file.Truncate(int64(len(data)))
	}
	return err
}

// holder reads the holder. It is the zero Holder if it wasn't written yet.
func (l *lock) holder() (h Holder) {
	data, err := readAtMost(io.NewSectionReader(l.file, 0, 1<<20), 64<<10)
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{}
	}
	return h
}

func (l *lock) release() error { return l.file.Close() }

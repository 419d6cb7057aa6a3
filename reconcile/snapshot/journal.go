package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"oktasync/reconcile/snapshot/canonjson"
)

// Events of the journal.
const (
	EventStarted     = "started"
	EventPublished   = "published"
	EventUnchanged   = "unchanged"
	EventQuarantined = "quarantined"
	EventReleased    = "released"
	EventDropped     = "dropped"
	EventAdopted     = "adopted"
	EventFailed      = "failed"
	EventCancelled   = "cancelled"
	EventPruned      = "pruned"
	EventRepaired    = "repaired"
	EventVerified    = "verified"
	EventReview      = "review_recorded"
)

// An Event is a line of the journal.
type Event struct {
	Time            Time     `json:"time"`
	Export          string   `json:"export"`
	Event           string   `json:"event"`
	Snapshot        string   `json:"snapshot,omitempty"` // or a quarantined read
	ManifestSHA256  string   `json:"manifest_sha256,omitempty"`
	TimestampSHA256 string   `json:"timestamp_sha256,omitempty"` // published: of manifest.json.tsr
	ReadSHA256      string   `json:"read_sha256,omitempty"`      // of a quarantined read's read.json
	CutSHA256       string   `json:"cut_sha256,omitempty"`       // repaired: of the bytes that were cut off
	ReviewSHA256    string   `json:"review_sha256,omitempty"`    // review_recorded: of the file with the decisions about the snapshot
	Files           []string `json:"files,omitempty"`            // pruned, dropped: the files that are removed; adopted: those that the newest snapshot lacks
	OldHead         string   `json:"old_head,omitempty"`         // adopted: the head before
	NewHead         string   `json:"new_head,omitempty"`         // adopted: the head from which the writer continues
	Lost            string   `json:"lost,omitempty"`             // adopted: a head that was kept outside the store
	Accepted        []string `json:"accepted,omitempty"`         // adopted: digests of the accepted findings
	JournalSHA256   string   `json:"journal_sha256,omitempty"`   // adopted: of all bytes before this line
	Error           string   `json:"error,omitempty"`
	User            string   `json:"user,omitempty"`
	Reason          string   `json:"reason,omitempty"`

	PreviousLineSHA256 *string `json:"previous_line_sha256"` // null in the first line
}

// Ends reports whether e ends a reconcile.
func (e Event) Ends() bool {
	switch e.Event {
	case EventPublished, EventUnchanged, EventQuarantined, EventFailed, EventCancelled:
		return true
	}
	return false
}

// ParseEvent parses a line of a journal, with its line feed, as strictly as
// ParseManifest.
func ParseEvent(line []byte) (Event, error) {
	var e Event
	if err := parseLine(line, &e); err != nil {
		return Event{}, fmt.Errorf("parse event: %w", err)
	}
	return e, nil
}

// maxText bounds the texts of an event in bytes.
const maxText = 4 << 10

// ReadJournal calls each for every whole line of a journal, with its line feed,
// and reports whether an unfinished line follows. A journal that is missing has no
// lines.
func ReadJournal(path string, each func(line []byte) error) (torn bool, err error) {
	f, err := OpenPlain(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	return readLines(f, each)
}

func readLines(r io.Reader, each func(line []byte) error) (torn bool, err error) {
	lines := NewLineReader(r)
	for {
		line, err := lines.Next()
		switch {
		case err == io.EOF:
			return false, nil
		case err == io.ErrUnexpectedEOF:
			return true, nil
		case err != nil:
			return false, fmt.Errorf("read journal: line %d: %w", lines.N+1, err)
		}
		if err := each(line); err != nil {
			return false, err
		}
	}
}

// journal is a journal that is being written. lines, bytes, head and time describe
// what the writer has verified or written itself.
type journal struct {
	files     fileSystem
	ownership ownership
	export    string
	path      string
	file      file // nil before the first append
	lines     int
	bytes     int64
	head      string // digest of the last line; "" before the first
	time      Time   // of the last line
	torn      bool   // other bytes follow
}

// openJournal returns the journal as c covers it, and checks its last covered
// line. If c is nil, the journal is empty.
func (s *Store) openJournal(export string, c *Checkpoint) (*journal, error) {
	j := &journal{files: s.files, ownership: s.published, export: export, path: s.Path(export, JournalFile)}
	if c == nil {
		return j, nil
	}
	j.lines, j.bytes, j.head, j.time = c.Lines, c.Bytes, c.LineSHA256, c.Time
	return j, j.checkLast()
}

// checkLast checks that the last line on disk is the one in memory.
func (j *journal) checkLast() error { return j.hasLine(j.bytes, j.head) }

// hasLine checks that the line that ends at an offset has a digest.
func (j *journal) hasLine(end int64, digest string) error {
	if end == 0 {
		return nil
	}
	line, err := j.lastLine(end)
	if err != nil && IsSystemError(err) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || DigestOf(line) != digest {
		return &MismatchError{j.export, "a journal line that the checkpoint covers is missing or changed"}
	}
	return nil
}

// lastLine returns the line that ends at an offset.
func (j *journal) lastLine(end int64) ([]byte, error) {
	f, err := OpenPlain(j.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return lineBefore(f, end)
}

// backward calls each for the lines in memory, newest first, until it returns false.
func (j *journal) backward(each func(line []byte) (more bool, err error)) error {
	if j.bytes == 0 {
		return nil
	}
	f, err := OpenPlain(j.path)
	if err != nil {
		return err
	}
	defer f.Close()
	for end := j.bytes; end > 0; {
		line, err := lineBefore(f, end)
		if err != nil {
			return err
		}
		if more, err := each(line); !more || err != nil {
			return err
		}
		end -= int64(len(line))
	}
	return nil
}

// backwardEvents calls each for the events of the lines in memory, newest first, until it
// returns false, or until a line isn't the one that the line after it names.
func (j *journal) backwardEvents(each func(e Event) (more bool, err error)) error {
	digest := j.head
	return j.backward(func(line []byte) (more bool, err error) {
		e, err := ParseEvent(line)
		if err != nil || DigestOf(line) != digest || e.PreviousLineSHA256 == nil {
			return false, nil // verify reports it
		}
		digest = *e.PreviousLineSHA256
		return each(e)
	})
}

// lineBefore returns the line of f that ends at an offset.
func lineBefore(f io.ReaderAt, end int64) ([]byte, error) {
	for size := int64(4 << 10); ; size *= 4 {
		start := max(0, end-size)
		part := make([]byte, end-start)
		if _, err := f.ReadAt(part, start); err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		feed := bytes.LastIndexByte(part[:len(part)-1], '\n')
		switch {
		case part[len(part)-1] != '\n' || size > 2*MaxLine:
			return nil, io.ErrUnexpectedEOF
		case feed >= 0 || start == 0:
			return part[feed+1:], nil
		}
	}
}

// append adds e to the journal. If it returns nil, the line is on disk. If it
// fails, the next append removes what was written. The system calls: openat with
// O_APPEND, ftruncate if other bytes follow, write, fsync, and fsync of the folder
// for the first line.
func (j *journal) append(e Event) error {
	line, err := j.line(e)
	if err != nil {
		return err
	}
	if j.file == nil {
		f, err := j.files.Append(j.path, j.ownership)
		if err != nil {
			return err
		}
		j.file = f
	}
	if j.torn {
		if err := j.file.Truncate(j.bytes); err != nil {
			return err
		}
	}
	j.torn = true
	if _, err := j.file.Write(line); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	if j.bytes == 0 {
		if err := j.files.SyncDir(filepath.Dir(j.path)); err != nil {
			return err
		}
	}
	j.torn = false
	j.add(line, e.Time)
	return nil
}

// add takes a line into account.
func (j *journal) add(line []byte, t Time) {
	j.lines++
	j.bytes += int64(len(line))
	j.head, j.time = DigestOf(line), t
}

// line returns e as the next line of the journal.
func (j *journal) line(e Event) ([]byte, error) {
	for _, text := range []*string{&e.Error, &e.User, &e.Reason} {
		if len(*text) > maxText {
			*text = (*text)[:maxText] + "…"
		}
		*text = strings.ToValidUTF8(*text, "�")
	}
	e.PreviousLineSHA256 = nil
	if j.lines > 0 {
		e.PreviousLineSHA256 = &j.head
	}
	line, err := canonjson.Marshal(e)
	return append(line, '\n'), err
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// follows reports whether e names the line before it, by its digest. The digest
// before the first line is "".
func (e Event) follows(line string) bool {
	if e.PreviousLineSHA256 == nil {
		return line == ""
	}
	return *e.PreviousLineSHA256 == line
}

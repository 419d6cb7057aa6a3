package snapshot

import (
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
	EventIntent      = "intent"
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
)

// An Event is a line of the journal.
type Event struct {
	Time               Time    `json:"time"`   // Journal fills in the time,
	Export             string  `json:"export"` // the export
	Event              string  `json:"event"`
	Snapshot           string  `json:"snapshot,omitempty"`
	ManifestSHA256     string  `json:"manifest_sha256,omitempty"`
	Error              string  `json:"error,omitempty"`
	User               string  `json:"user,omitempty"` // the lock's holder where it is empty,
	Reason             string  `json:"reason,omitempty"`
	PreviousLineSHA256 *string `json:"previous_line_sha256"` // and the chain; null in the first line
}

// ends reports whether e ends a reconcile.
func (e Event) ends() bool {
	switch e.Event {
	case EventPublished, EventUnchanged, EventQuarantined, EventFailed, EventCancelled:
		return true
	}
	return false
}

// maxText bounds the texts of an event, so that a journal stays readable.
const maxText = 4 << 10

// recentEnds is how many ends of reconciles a History remembers.
const recentEnds = 30

// History is what a journal says at a glance. An event that never happened
// is the zero Event.
type History struct {
	Lines         int
	Head          string // digest of the last line, line feed included
	LastStarted   Event
	LastEnd       Event // published, unchanged, quarantined, failed or cancelled
	LastDone      Event // the same without cancelled: the last reconcile that came to its end
	Undone        Event // the first started since then; zero where there is none
	LastPublished Event
	LastSuccess   Event   // published or unchanged
	LastVerified  Event   // Error says how many problems there were, if any
	Open          Event   // an intent that neither published nor repaired has followed
	Recent        []Event // the last thirty that ended a reconcile, oldest first
	Damaged       int     // lines that are no events
	Torn          bool    // the last line has no line feed
	size          int64   // of all whole lines
	lastPruned    string  // until a run begins, which mends an unfinished prune before
	lastAdopted   Event
	lost          *Link           // a snapshot that the chain has not, and somebody was told of
	pruned        map[string]bool // every snapshot that was pruned
}

// add takes a line into account. A line that is no event counts as damaged
// and is linked in the chain all the same: one flipped bit in an old line
// must not end the keeping of evidence.
func (h *History) add(line []byte) {
	h.Lines++
	h.size += int64(len(line))
	h.Head = DigestOf(line)
	e, err := ParseEvent(line)
	if err != nil {
		h.Damaged++
		return
	}
	switch e.Event {
	case EventStarted:
		h.LastStarted = e
		if h.Undone.Event == "" {
			h.Undone = e
		}
		h.lastPruned = ""
	case EventReleased:
		h.lastPruned = ""
	case EventIntent:
		h.Open = e
	case EventPublished:
		h.LastPublished, h.lost = e, nil
		h.lastAdopted = Event{} // it was for this one
	case EventFailed:
		if e.ManifestSHA256 != "" {
			h.lost = &Link{Snapshot: e.Snapshot, ManifestSHA256: e.ManifestSHA256}
		}
	case EventVerified:
		h.LastVerified = e
	case EventAdopted:
		h.lastAdopted = e
	case EventPruned:
		if h.pruned == nil {
			h.pruned = make(map[string]bool)
		}
		h.lastPruned, h.pruned[e.Snapshot] = e.Snapshot, true
	}
	if e.Event == EventPublished || e.Event == EventUnchanged {
		h.LastSuccess = e
	}
	if e.ends() {
		h.LastEnd = e
		if h.Recent = append(h.Recent, e); len(h.Recent) > recentEnds {
			h.Recent = h.Recent[1:]
		}
		if e.Event != EventCancelled {
			h.LastDone, h.Undone = e, Event{}
		}
	}
	if (e.Event == EventPublished || e.Event == EventRepaired) && e.Snapshot == h.Open.Snapshot {
		h.Open = Event{}
	}
}

// Journal sums up the journal of an export. An export without one has the
// zero History.
func (s *Store) Journal(export string) (History, error) {
	var h History
	torn, err := ReadJournal(s.Path(export, JournalFile), func(line []byte) error {
		h.add(line)
		return nil
	})
	h.Torn = torn
	return h, err
}

// readJournal calls each for every whole line of a journal, and says whether
// a torn one follows them.
func ReadJournal(path string, each func(line []byte) error) (torn bool, err error) {
	f, err := OpenPlain(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	lines := NewLineReader(f)
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

// journal is a journal that is being written.
type journal struct {
	files  fileSystem
	access access
	path   string
	file   file // nil before the first append
	seen   History
	torn   bool // something that is no whole line stands after seen.size
}

func (s *Store) openJournal(export string) (*journal, error) {
	seen, err := s.Journal(export)
	if err != nil {
		return nil, err
	}
	return &journal{
		files: s.files, access: s.published, path: s.Path(export, JournalFile),
		seen: seen, torn: seen.Torn,
	}, nil
}

// append adds e to the journal and to its chain. When it returns nil the line
// is on disk; when it does not, the next append takes back what there is of
// it. The system calls: openat with O_APPEND, ftruncate after a torn line,
// write, fsync, and fsync of the folder for the first line.
func (j *journal) append(e Event) error {
	line, err := j.line(e)
	if err != nil {
		return err
	}
	if j.file == nil {
		f, err := j.files.Append(j.path, j.access)
		if err != nil {
			return err
		}
		j.file = f
	}
	if j.torn {
		if err := j.file.Truncate(j.seen.size); err != nil {
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
	if j.seen.size == 0 {
		if err := j.files.SyncDir(filepath.Dir(j.path)); err != nil {
			return err
		}
	}
	j.torn = false
	j.seen.add(line)
	return nil
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
	if j.seen.Lines > 0 {
		e.PreviousLineSHA256 = &j.seen.Head
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

package snapshot

import (
	"errors"
	"io/fs"
)

// recentEnds is the number of ends of reconciles in a History.
const recentEnds = 30

// History summarizes a journal. An event that never happened is the zero Event.
type History struct {
	Lines         int
	Head          string // digest of the last covered line
	LastStarted   Event
	LastEnd       Event // published, unchanged, quarantined, failed or cancelled
	LastDone      Event // the same without cancelled
	Undone        Event // the first started since LastDone
	LastPublished Event
	LastSuccess   Event   // published or unchanged
	LastVerified  Event   // its Error has the number of problems, if there were any
	Recent        []Event // the last thirty ends, oldest first
	Damaged       int     // lines that are no events
}

// add takes a covered line into account. A line that is no event counts as damaged.
func (h *History) add(line []byte) {
	h.Lines++
	h.Head = DigestOf(line)
	e, err := ParseEvent(line)
	if err != nil {
		h.Damaged++
		return
	}
	switch e.Event {
	case EventStarted:
		h.started(e)
	case EventPublished:
		h.LastPublished = e
	case EventVerified:
		h.LastVerified = e
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
}

func (h *History) started(e Event) {
	h.LastStarted = e
	if h.Undone.Event == "" {
		h.Undone = e
	}
}

// Journal summarizes the journal of an export up to its checkpoint. Of the lines
// after the checkpoint, only started counts: it shows that a reconcile runs or was
// interrupted. An export without a checkpoint has the zero History.
func (s *Store) Journal(export string) (History, error) {
	var h History
	c, err := s.Checkpoint(export)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	_, err = ReadJournal(s.Path(export, JournalFile), func(line []byte) error {
		if h.Lines < c.Lines {
			h.add(line)
		} else if e, err := ParseEvent(line); err == nil && e.Event == EventStarted {
			h.started(e)
		}
		return nil
	})
	if err == nil && h.Head != c.LineSHA256 {
		// A writer can have replaced both between the two reads.
		if now, nowErr := s.Checkpoint(export); nowErr != nil || now.SameAs(c) {
			err = &MismatchError{export, "a journal line that its checkpoint covers is missing or changed"}
		}
	}
	return h, err
}

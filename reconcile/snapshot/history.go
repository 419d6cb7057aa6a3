package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
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

// A Witness keeps the heads of exports in memory while the process lives. If an
// older copy replaces a store, the store itself doesn't show it, but a Witness
// does. The zero Witness is ready, and safe for concurrent use. See also [Store.Watch].
type Witness struct {
	mu   sync.Mutex
	seen map[string]*Checkpoint // by the export's folder
}

// last returns the last checkpoint that was seen, or nil. A nil Witness has seen
// none.
func (w *Witness) last(folder string) *Checkpoint {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[folder]
}

func (w *Witness) saw(folder string, c *Checkpoint) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = make(map[string]*Checkpoint)
	}
	w.seen[folder] = c
}

// sawNewer is saw, unless another goroutine has replaced the checkpoint last.
func (w *Witness) sawNewer(folder string, last, c *Checkpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[folder] != last {
		return
	}
	if w.seen == nil {
		w.seen = make(map[string]*Checkpoint)
	}
	w.seen[folder] = c
}

// Watch takes over the checkpoint of an export into the Witness, so that the process
// also detects an older copy after other processes have written to the export. It checks
// what a [Writer] checks: the key of the checkpoint, its last line, and the line that the
// Witness has. The error is the same: a *MismatchError or a *RollbackError.
func (s *Store) Watch(export string) error {
	if s.witness == nil {
		return nil
	}
	w := &Writer{store: s, export: export}
	last := s.witness.last(w.path()) // first: the checkpoint is at least as new
	c, err := s.Checkpoint(export)
	switch {
	case errors.Is(err, fs.ErrNotExist) && last != nil && last.Lines > 0:
		return &RollbackError{export, last.Head()}
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case c.SameAs(last):
		return nil
	}
	if err := w.checkKey(c); err != nil {
		return err
	}
	w.checkpoint = c
	if w.journal, err = s.openJournal(export, c); err != nil {
		return err
	}
	if err := w.checkRollback(last); err != nil {
		return err
	}
	s.witness.sawNewer(w.path(), last, c)
	return nil
}

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

// checkRollback checks that the journal still has the last line of seen, which this
// process has read or written, or that a covered line adopts its loss.
func (w *Writer) checkRollback(seen *Checkpoint) error {
	if seen == nil || w.journal.hasLine(seen.Bytes, seen.LineSHA256) == nil && seen.Bytes <= w.checkpoint.Bytes {
		return nil
	}
	lost := seen.Head()
	covered, err := w.covered()
	if err != nil {
		return err
	}
	adopted := slices.ContainsFunc(covered.Events(), func(e Event) bool {
		return e.Event == EventAdopted && (e.Lost == lost.String() || e.OldHead == lost.String())
	})
	if !adopted {
		return &RollbackError{w.export, lost}
	}
	return nil
}

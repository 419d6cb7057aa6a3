package snapshot

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
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

// add takes the event of a covered line into account. A line that is no event, and that a
// later line adopts, counts as damaged.
func (h *History) add(e Event) {
	switch e.Event {
	case "":
		h.Damaged++
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
	if e.Ends() {
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
	var covered Ledger
	_, err = ReadJournal(s.Path(export, JournalFile), func(line []byte) error {
		if covered.Lines < c.Lines {
			covered.Add(line) // covered.Broken keeps the error
			h.add(covered.event)
		} else if e, err := ParseEvent(line); err == nil && e.Event == EventStarted {
			h.started(e)
		}
		return nil
	})
	h.Lines, h.Head = covered.Lines, covered.Last
	if err == nil && (covered.Broken || covered.Last != c.LineSHA256) {
		// A writer can have replaced both between the two reads.
		if now, nowErr := s.Checkpoint(export); nowErr != nil || now.SameAs(c) {
			err = &MismatchError{export, "a journal line that the checkpoint covers is missing or changed"}
		}
	}
	return h, err
}

// A Ledger collects the reviews of a journal, and the events that have an effect on the
// store. An event "adopted" removes the events after its old head, because those lines
// were not verified.
type Ledger struct {
	Lines int
	Last  string // digest of the last line

	// Broken means that a line doesn't follow the one before it, and that no later line
	// adopts it.
	Broken bool

	event  Event // of the last line
	events []Event
	at     []int // the numbers of their lines
	all    *Digest
}

// ErrAdopted means that lines don't follow each other, and that the event "adopted" after
// them doesn't have the digest of these lines.
var ErrAdopted = errors.New("adopted other lines than those before it")

// Add adds a line, with its line feed. If the line isn't an event, or doesn't follow the
// line before it, Add adds it and returns an error. For an event "adopted", see ErrAdopted.
func (l *Ledger) Add(line []byte) error {
	if l.all == nil {
		l.all = NewDigest()
	}
	l.Lines++
	e, err := ParseEvent(line)
	l.event = e
	if err == nil && !e.follows(l.Last) {
		err = errors.New("does not contain the digest of the line before it")
	}
	l.Broken = l.Broken || err != nil
	if e.Event == EventAdopted {
		l.adopt(e)
		if l.Broken {
			err = ErrAdopted
		}
	}
	switch e.Event {
	case EventPublished, EventQuarantined, EventReleased, EventDropped, EventPruned, EventAdopted, EventReview:
		l.events, l.at = append(l.events, e), append(l.at, l.Lines)
	}
	l.Last = DigestOf(line)
	l.all.Write(line)
	return err
}

// Events returns the events of an export that its checkpoint covers, oldest first. A line
// that isn't an event, and that a later line adopts, is the zero Event. The end is an error
// if a line is missing or changed.
func (s *Store) Events(export string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		c, err := s.Checkpoint(export)
		if err == nil {
			_, err = s.ledger(export, c, func(e Event) bool { return yield(e, nil) })
		}
		if err != nil && err != errEnough {
			yield(Event{}, err)
		}
	}
}

// Erased returns the digests of the manifests of an export whose records may be missing,
// see [Ledger.Erased].
func (s *Store) Erased(export string) (map[string]int, error) {
	c, err := s.Checkpoint(export)
	if err != nil {
		return nil, err
	}
	covered, err := s.ledger(export, c, nil)
	if err != nil {
		return nil, err
	}
	return covered.Erased(), nil
}

// LastAdopted returns the last event "adopted" that the checkpoint of an export covers. If
// there is none, it returns the zero Event.
func (s *Store) LastAdopted(export string) (last Event, err error) {
	for e, err := range s.Events(export) {
		if err != nil {
			return Event{}, err
		}
		if e.Event == EventAdopted {
			last = e
		}
	}
	return last, nil
}

// WasAdopted reports whether the last Adopt accepted snap as the newest snapshot. Then
// verify may have had findings about its records.
func (s *Store) WasAdopted(snap *Snapshot) (bool, error) {
	last, err := s.LastAdopted(snap.Manifest.Export)
	return last.ManifestSHA256 == snap.Digest, err
}

var errEnough = errors.New("the caller needs no more events")

// ledger returns the ledger of the lines that c covers. It checks the chain of lines. A
// break in the chain is an error, unless a later line adopts it. visit, if not nil, gets
// the event of each line. If it returns false, the error is errEnough.
func (s *Store) ledger(export string, c *Checkpoint, visit func(Event) bool) (*Ledger, error) {
	l := new(Ledger)
	f, err := OpenPlain(s.Path(export, JournalFile))
	if errors.Is(err, fs.ErrNotExist) && c.Lines == 0 {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := readLines(io.LimitReader(f, c.Bytes), func(line []byte) error {
		l.Add(line) // l.Broken keeps the error
		if visit != nil && !visit(l.event) {
			return errEnough
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if l.Broken || l.Last != c.LineSHA256 {
		return nil, &MismatchError{export, "a journal line that the checkpoint covers is missing or changed"}
	}
	return l, nil
}

// adopt removes the events that e doesn't go on from.
func (l *Ledger) adopt(e Event) {
	if e.JournalSHA256 == l.all.String() {
		l.Broken = false
	}
	old, err := ParseHead(e.OldHead)
	if err != nil {
		old = Head{}
	}
	n, _ := slices.BinarySearch(l.at, old.Lines+1)
	l.events, l.at = l.events[:n], l.at[:n]
}

// Events returns the events, oldest first.
func (l *Ledger) Events() []Event { return l.events }

// Quarantined returns the events of the quarantined reads that were neither released
// nor dropped, oldest first.
func (l *Ledger) Quarantined() (list []Event) {
	reads, names := make(map[string]int), make(map[string]string)
	for i, e := range l.events {
		switch e.Event {
		case EventQuarantined:
			reads[e.Snapshot], names[e.ReadSHA256] = i, e.Snapshot
		case EventDropped:
			delete(reads, e.Snapshot)
		case EventPublished:
			delete(reads, names[e.ReadSHA256])
		}
	}
	for _, i := range slices.Sorted(maps.Values(reads)) {
		list = append(list, l.events[i])
	}
	return list
}

// Erased returns the digests of the manifests whose records may be missing, each with
// the number of the first line that permits it. Such a line records their removal, or
// adopts the export without them.
func (l *Ledger) Erased() map[string]int {
	erased := make(map[string]int)
	for i, e := range l.events {
		if _, ok := erased[e.ManifestSHA256]; !ok && len(e.Files) > 0 {
			erased[e.ManifestSHA256] = l.at[i]
		}
	}
	return erased
}

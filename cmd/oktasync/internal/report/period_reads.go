package report

import (
	"fmt"
	"iter"
	"strconv"
	"time"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

// reads summarizes the reads of a period.
type reads struct {
	o       *Options
	start   time.Time // when o.From was published
	end     time.Time // that the user selected; zero: that of o.Snapshot
	counts  map[string]int
	due     int // by the schedule
	longest absence
	long    []absence // of more than two intervals of the schedule
}

// An absence is the time between two reads that were published or unchanged.
type absence struct {
	from, to time.Time
	due      int // reads that were due
}

// newReads returns the reads after o.From, up to the selected time or o.Snapshot.
func newReads(o *Options) (*reads, error) {
	r := &reads{o: o, start: o.From.Manifest.Signed.Time, end: o.Asked.Time, counts: make(map[string]int)}
	if r.end.After(o.Generated) {
		r.end = o.Generated
	}
	var succeeded []time.Time
	for e, err := range r.events() {
		if err != nil {
			return nil, err
		}
		if !e.Ends() {
			continue
		}
		r.counts[e.Event.Event]++
		if e.Event.Event == snapshot.EventPublished || e.Event.Event == snapshot.EventUnchanged {
			succeeded = append(succeeded, e.Time.Time)
		}
	}
	last := r.start
	for _, at := range append(succeeded, r.end) {
		if at.After(last) {
			r.add(last, at)
			last = at
		}
	}
	return r, nil
}

// add adds the time between two successful reads.
func (r *reads) add(from, to time.Time) {
	a := absence{from: from, to: to}
	if r.o.Next != nil {
		for at := r.o.Next(from); !at.IsZero() && !at.After(to); at = r.o.Next(at) {
			a.due++
		}
	}
	r.due += a.due
	if a.to.Sub(a.from) > r.longest.to.Sub(r.longest.from) {
		r.longest = a
	}
	if a.due > 2 {
		r.long = append(r.long, a)
	}
}

// journalEvent is an event in the journal of the export.
type journalEvent struct {
	snapshot.Event
	line  int
	later bool // than the end of the period
}

// events returns the covered events of the period.
func (r *reads) events() iter.Seq2[journalEvent, error] {
	return func(yield func(journalEvent, error) bool) {
		for e, err := range r.allEvents() {
			if !e.later && !yield(e, err) {
				return
			}
		}
	}
}

// allEvents returns the covered events after the one that published o.From. It sets r.start.
func (r *reads) allEvents() iter.Seq2[journalEvent, error] {
	return func(yield func(journalEvent, error) bool) {
		line, published := 0, false
		for e, err := range r.o.Store.Events(r.o.Snapshot.Manifest.Export) {
			if line++; err != nil {
				yield(journalEvent{}, err)
				return
			}
			if line <= r.o.From.Manifest.Journal.Lines {
				continue
			}
			if e.Event == snapshot.EventPublished && e.ManifestSHA256 == r.o.From.Digest {
				r.start = e.Time.Time
				continue
			}
			if !yield(journalEvent{e, line, published && e.Time.After(r.end)}, nil) {
				return
			}
			published = published || e.Event == snapshot.EventPublished && e.ManifestSHA256 == r.o.Snapshot.Digest
		}
	}
}

// includes reports whether the snapshot or quarantined read with a name belongs to the period.
func (r *reads) includes(name string) bool {
	at, err := snapshot.ParseName(name)
	return err == nil && name >= r.o.From.Name() && (name <= r.o.Snapshot.Name() || !at.After(r.end))
}

// section returns the section with one row for each read.
func (r *reads) section() document.Section {
	return document.Section{
		ID: "reads", Title: "Reads",
		Method: append(r.method(), r.endText(),
			"One row is the event in the journal at the end of a read. A quarantined read that was released has a second row. reason is the reason why a read wasn't published."),
		Columns: columns("at", "outcome", "snapshot", "reason"),
		Rows: func(yield func(document.Row, error) bool) {
			for e, err := range r.events() {
				if err == nil && !e.Ends() {
					continue
				}
				row := document.Row{Key: "journal/" + strconv.Itoa(e.line), Cells: []string{e.Time.String(), e.Event.Event, e.Snapshot, e.Error}}
				if !yield(row, err) || err != nil {
					return
				}
			}
		},
	}
}

// method states the numbers of reads.
func (r *reads) method() []string {
	due := "The number of reads that were due isn't known, because the report was made without the schedule."
	if r.o.Next != nil {
		due = fmt.Sprintf("Reads that were due by the schedule in the configuration: %s.", term.Grouped(r.due))
	}
	text := "In the journal:"
	for i, event := range []string{snapshot.EventPublished, snapshot.EventUnchanged, snapshot.EventFailed, snapshot.EventQuarantined, snapshot.EventCancelled} {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(" %s %s", term.Grouped(r.counts[event]), event)
	}
	return []string{due, text + ".", "The longest time between two reads that were published or unchanged: " + r.text(r.longest) + "."}
}

func (r *reads) endText() string {
	if r.end.IsZero() {
		return "The period ends with " + r.o.Snapshot.Name() + ". Later reads aren't listed."
	}
	return "The period ends at " + r.o.text(r.end) + "."
}

func (r *reads) text(a absence) string {
	text := fmt.Sprintf("from %s to %s, %s", r.o.text(a.from), r.o.text(a.to), Distance(a.to.Sub(a.from)))
	if r.o.Next != nil {
		text += ", with " + term.Plural(a.due, "due read")
	}
	return text
}

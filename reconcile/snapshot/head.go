package snapshot

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Head is the end of an export's chain and journal. A head that is noted
// elsewhere shows later whether the store still contains it.
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

// A Witness keeps the heads of exports in memory while the process lives. If an
// older copy replaces a store, the store itself doesn't show it, but a Witness
// does. The zero Witness is ready, and safe for concurrent use.
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

// RollbackError means that an older copy has replaced an export: a journal line
// that this process has written isn't there.
type RollbackError struct {
	Export string
	Lost   Head
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("an older copy has replaced it: line %d of its journal, which this process has seen, is missing or changed", e.Lost.Lines)
}

// checkWitness checks that the journal still has the last line that this process
// has seen, or that a covered line adopts its loss.
func (w *Writer) checkWitness() error {
	seen := w.store.witness.last(w.path())
	if seen == nil || w.journal.hasLine(seen.Bytes, seen.LineSHA256) == nil && seen.Bytes <= w.checkpoint.Bytes {
		return nil
	}
	lost := seen.Head()
	events, err := w.covered()
	adopted := slices.ContainsFunc(events, func(e Event) bool {
		return e.Event == EventAdopted && (e.Lost == lost.String() || e.OldHead == lost.String())
	})
	if err == nil && !adopted {
		err = &RollbackError{w.export, lost}
	}
	return err
}

package snapshot

import (
	"context"
	"errors"
	"io"
	"time"
)

// Draft is what becomes a snapshot.
type Draft struct {
	Started, Finished time.Time // by Okta's clock
	ClockOffset       time.Duration
	Org               Org
	Client            Client
	Run               Run
	Tool              Tool
	Declared          Declaration // complete
	Read              Read        // its times come from the fields above, its Requests from the lines of Requests
	ByStatus          map[string]int
	Counts            Counts
	Base              string
	Users             UserReader // canonical users, read once, not closed
	Changes           io.Reader  // lines of Change.Line; nil unless Base is BasePrevious
	Requests          io.Reader  // lines of Request.Line
}

// Writer is the one writer of an export.
type Writer struct{}

// Writer takes the export's lock and mends what an interrupted publish left:
// it finishes it, or sweeps it away. Another process's lock is a
// *LockedError.
func (s *Store) Writer(export string, h Holder) (*Writer, error) { return nil, errors.ErrUnsupported }

// Journal appends a line to the export's journal. When it returns nil the
// line is on disk.
func (w *Writer) Journal(e Event) error { return errors.ErrUnsupported }

// Publish makes a snapshot of d. On an error the newest snapshot is still
// the one before, or, where only the last steps have failed, the next Writer
// finishes the publish.
func (w *Writer) Publish(ctx context.Context, d Draft) (*Snapshot, error) {
	return nil, errors.ErrUnsupported
}

// Close gives up the lock.
func (w *Writer) Close() error { return errors.ErrUnsupported }

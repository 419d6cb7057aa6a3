package snapshot

import (
	"context"
	"errors"
)

// A Finding is one thing that Verify found.
type Finding struct {
	Export   string // "" where it is about the store
	Snapshot string // "" where it is about the export
	File     string // relative to the snapshot's folder, or to the export's
	Problem  string
	Note     bool // an unfinished publish and the like: no tampering
}

func (f Finding) String() string { return f.Problem }

// Summary says what Verify looked at.
type Summary struct {
	Exports, Snapshots, Files int
	Users                     int
	Bytes                     int64
	Problems, Notes           int
	Heads                     []Head
}

// Head is the end of an export's chain.
type Head struct {
	Export   string `json:"export"`
	Sequence int    `json:"sequence"`
	Snapshot string `json:"snapshot"`
	Digest   string `json:"digest"` // of its manifest
}

// Verify checks everything that the store says of the exports named, or of
// all of them, and calls report for each thing that does not fit. It takes no
// locks, so it works on a copy and beside a writer. An error means that
// Verify could not go on, not that something is wrong.
func (s *Store) Verify(ctx context.Context, exports []string, report func(Finding)) (Summary, error) {
	return Summary{}, errors.ErrUnsupported
}

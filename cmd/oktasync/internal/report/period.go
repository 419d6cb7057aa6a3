package report

import "oktasync/cmd/oktasync/internal/document"

// changesOfPeriod returns the sections about what changed between o.From and o.Snapshot,
// or none without a period.
func changesOfPeriod(o *Options) ([]document.Section, error) { return nil, nil }

// readsOfPeriod returns the sections about the reads and declarations of the period, or
// none without a period.
func readsOfPeriod(o *Options) ([]document.Section, error) { return nil, nil }

// longGaps returns a sentence for each gap between two reads of the period that the cover
// states.
func longGaps(o *Options) ([]string, error) { return nil, nil }

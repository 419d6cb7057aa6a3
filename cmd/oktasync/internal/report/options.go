package report

import (
	"crypto/x509"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
)

// Options select what a report describes.
type Options struct {
	Store    *snapshot.Store
	Snapshot *snapshot.Snapshot
	From     *snapshot.Snapshot // the start of the period; nil: the report is about Snapshot only
	Zone     *time.Location     // of the times

	// Requested is what the user selected, such as "the end of 2026-06-30", and
	// RequestedTime is its instant; zero: the user selected no time.
	Requested     string
	RequestedTime time.Time

	// Next returns the next scheduled run after a time; nil: the schedule is unknown.
	Next func(time.Time) time.Time

	Signers     *sign.AllowedSigners // nil: unknown
	Authorities []*x509.Certificate  // of time stamps; nil: unknown

	Generated  time.Time
	PreparedBy string
	Tool       string // the version that generates the report

	Sample []Sample // replace the rows of sections
	Seed   string   // of the samples
}

// A Sample is a number of rows to draw from a section.
type Sample struct {
	Section string // its ID
	Rows    int
}

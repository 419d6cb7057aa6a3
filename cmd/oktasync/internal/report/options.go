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

	// Asked is how the user selected Snapshot, and AskedFrom how the user selected From.
	Asked, AskedFrom Asked

	// Next returns the next scheduled run after a time; nil: the schedule is unknown.
	Next func(time.Time) time.Time

	Signers     *sign.AllowedSigners // nil: none are configured
	Authorities []*x509.Certificate  // of time stamps; nil: none are configured

	Generated  time.Time
	PreparedBy string
	Tool       snapshot.Tool // that generates the report
}

// Asked is how the user selected a snapshot.
type Asked struct {
	Text string    // such as "the end of 30 June 2026"
	Time time.Time // the selected time; zero: the user selected a snapshot by its name
}

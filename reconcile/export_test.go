package reconcile

import (
	"os"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// BordersOf returns the borders between so many users of a snapshot.
func BordersOf(s *snapshot.Snapshot, users int) ([]time.Time, error) {
	return bordersOf(s, snapshot.Users, users)
}

// Spool is a spool whose runs have a size of the test's choosing.
type Spool struct{ s *spool }

func NewSpool(runSize int) *Spool {
	temp := func() (*os.File, error) { return snapshot.TempFile("") }
	keep := func(dst, canonical []byte) ([]byte, error) { return append(dst, canonical...), nil }
	s := newSpool(temp, keep)
	s.runSize = runSize
	return &Spool{s}
}

func (s *Spool) Add(u oktaclient.Record) error { return s.s.add(u) }
func (s *Spool) Finish() error                 { return s.s.finish() }
func (s *Spool) Runs() int                     { return len(s.s.runs) }
func (s *Spool) Close() error                  { return s.s.close() }

// Merge returns the users, and a function that tells how many copies were left out.
func (s *Spool) Merge() (diff.Reader, func() int, error) {
	m, err := s.s.merge()
	return m, func() int { return m.duplicates }, err
}

// Stops returns why a guard of users stops a read.
func Stops(g snapshot.Guard, base string, c diff.Counts) []string {
	p := ResourcePlan{Declared: Declared{Resource: snapshot.Users}, Base: base, Counts: c}
	p.Declared.Guard = g
	return p.stops()
}

// MaxRemoved is the number of users that a read may remove.
func MaxRemoved(g snapshot.Guard, total int) int { return maxRemoved(g, total) }

package reconcile

import (
	"os"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// BordersOf returns the borders between so many users of a snapshot.
func BordersOf(s *snapshot.Snapshot, users int) ([]time.Time, error) { return bordersOf(s, users) }

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
func (s *Spool) Merge() (snapshot.UserReader, func() int, error) {
	m, err := s.s.merge()
	return m, func() int { return m.duplicates }, err
}

// Held is why a guard holds back a reading compared with the previous snapshot.
func Held(g snapshot.Guard, base string, c snapshot.Counts) []string { return held(g, base, c) }

// MayRemove is how many users can be gone before that.
func MayRemove(g snapshot.Guard, total int) int { return mayRemove(g, total) }

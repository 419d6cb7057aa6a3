package reconcile

import (
	"errors"
	"io"
	"os"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// BordersOf returns borders between which a snapshot has about this many users.
func BordersOf(s *snapshot.Snapshot, users int) ([]time.Time, error) {
	return bordersOf(s, snapshot.Users, users)
}

// Spool is a spool in a folder, with a given size of runs.
type Spool struct{ s *spool }

func NewSpool(dir string, runSize int) *Spool {
	temp := func() (*os.File, error) { return snapshot.TempFile(dir) }
	s := newSpool(temp, Declared{Resource: snapshot.Users})
	s.runSize = runSize
	return &Spool{s}
}

// Spooled returns what a spool writes to its temporary file for a record.
func Spooled(r *snapshot.Resource, record oktaclient.Record, dir string) ([]byte, error) {
	s := newSpool(func() (*os.File, error) { return snapshot.TempFile(dir) }, Declared{Resource: r})
	defer s.close()
	if err := errors.Join(s.add(record), s.finish()); err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(s.runs[0].file, 0, s.runs[0].size))
}

func (s *Spool) Add(u oktaclient.Record) error { return s.s.add(u) }
func (s *Spool) Finish() error                 { return s.s.finish() }
func (s *Spool) Close() error                  { return s.s.close() }

// Merge returns the records, and a function that returns the number of further
// copies.
func (s *Spool) Merge() (diff.Reader, func() int, error) {
	m, err := s.s.merge()
	return m, func() int { return m.duplicates }, err
}

// Stops returns why the guard stops a read of users.
func Stops(g snapshot.Guard, base string, c diff.Counts) []string {
	d := Declared{DeclaredResource: snapshot.DeclaredResource{Guard: g}, Resource: snapshot.Users}
	return (&ResourcePlan{Declared: d, Base: base, Counts: c}).stops()
}

// MaxRemoved returns how many records a read may remove.
func MaxRemoved(g snapshot.Guard, total int) int { return maxRemoved(g, total) }

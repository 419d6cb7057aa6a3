package snapshot_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
)

// Readers and Verify take no lock. They see complete snapshots in order while
// others are published and pruned.
func TestReadersBesideAWriter(t *testing.T) {
	s := storetest.New(t)
	storetest.Publish(t, s, storetest.Day(1), storetest.People(1)...)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for sequence := 1; ; {
				select {
				case <-done:
					return
				default:
				}
				latest, err := s.Latest(staff)
				if err != nil {
					t.Error(err)
					return
				}
				m := latest.Manifest
				if m.Sequence < sequence || len(storetest.IDs(t, latest, snapshot.Users)) != m.Sequence {
					t.Errorf("sequence %d after %d with %d users", m.Sequence, sequence, m.Resources["users"].Total)
				}
				sequence = m.Sequence
				if list, err := s.List(staff); err != nil || len(list) == 0 {
					t.Errorf("List beside a writer: %d snapshots, %v", len(list), err)
				}
				if problems, _ := storetest.Verify(t, s); len(problems) > 0 {
					t.Errorf("Verify beside a writer: %q", problems)
				}
			}
		})
	}
	for n := 2; n <= 10; n++ {
		storetest.Publish(t, s, storetest.Day(1), storetest.People(n)...)
		if _, err := storetest.Prune(t, s, snapshot.Retention{Last: 3}); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	readers.Wait()
}

// Concurrent calls of Init create one store. Concurrent writers of one export
// work or get a *LockedError.
func TestConcurrentWriters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "snapshots")
	var writers sync.WaitGroup
	var stores sync.Map
	for n := range 8 {
		writers.Go(func() {
			s, err := snapshot.Init(dir, storetest.Acme, snapshot.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			stores.Store(s.ID(), true)
			w, err := s.Writer(t.Context(), fmt.Sprintf("export-%d", n%2), snapshot.ThisProcess("test"))
			if err == nil {
				err = errors.Join(w.Journal(snapshot.Event{Event: snapshot.EventStarted}), w.Close())
			}
			if err != nil && !isLocked(err) {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	created := 0
	for range stores.Range {
		created++
	}
	if created != 1 {
		t.Errorf("%d stores were created", created)
	}
}

func TestLocksNameTheirHolder(t *testing.T) {
	s := storetest.New(t)
	w, err := s.Writer(t.Context(), staff, snapshot.Holder{PID: 7, Host: "node1", User: "ops", Command: "apply", Since: snapshot.At(storetest.Day(1))})
	storetest.Must(t, err)
	_, err = s.Writer(t.Context(), staff, snapshot.ThisProcess("test"))
	want := "staff is locked by apply (process 7 of ops on node1, since 2026-11-23T06:00:00.000Z)"
	if err == nil || err.Error() != want {
		t.Errorf("second Writer: %v, want %s", err, want)
	}
	other, err := s.Writer(t.Context(), "others", snapshot.ThisProcess("test"))
	storetest.Must(t, err)
	storetest.Must(t, other.Close(), w.Close())
	release, err := s.LockRun(snapshot.ThisProcess("run"))
	storetest.Must(t, err)
	if _, err := s.LockRun(snapshot.ThisProcess("run")); !isLocked(err) {
		t.Errorf("second LockRun: %v, want a *LockedError", err)
	}
	storetest.Must(t, release())
	storetest.Publish(t, s, storetest.Day(1), storetest.People(1)...)
}

func isLocked(err error) bool {
	_, ok := errors.AsType[*snapshot.LockedError](err)
	return ok
}

package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"oktasync/reconcile/snapshot"
)

// Readers and Verify take no lock, and see whole snapshots in order however
// many are published and pruned meanwhile.
func TestReadersBesideAWriter(t *testing.T) {
	s := newStore(t)
	publish(t, s, day(1), people(1)...)
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
				if m.Sequence < sequence || len(ids(t, latest)) != m.Sequence {
					t.Errorf("sequence %d after %d with %d users", m.Sequence, sequence, m.Resources["users"].Total)
				}
				sequence = m.Sequence
				if list, err := s.List(staff); err != nil || len(list) == 0 {
					t.Errorf("List beside a writer: %d snapshots, %v", len(list), err)
				}
				if problems, _ := findings(t, s); len(problems) > 0 {
					t.Errorf("Verify beside a writer: %q", problems)
				}
			}
		})
	}
	for n := 2; n <= 10; n++ {
		publish(t, s, day(1), people(n)...)
		if _, err := retain(t, s, snapshot.Retention{Last: 3}); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	readers.Wait()
}

// Of many that would make the store or write at once, each works or is told
// that somebody else is at it.
func TestWritersAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "snapshots")
	var writers sync.WaitGroup
	var mu sync.Mutex
	stores := make(map[string]bool)
	for n := range 8 {
		writers.Go(func() {
			s, err := snapshot.Init(dir, acme, snapshot.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			stores[s.ID()] = true
			mu.Unlock()
			w, err := s.Writer(fmt.Sprintf("export-%d", n%2), snapshot.ThisProcess("test"))
			if isLocked(err) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			err = errors.Join(w.Journal(snapshot.Event{Event: snapshot.EventStarted}), w.Close())
			if err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if len(stores) != 1 {
		t.Errorf("%d stores were made", len(stores))
	}
}

// groupID returns a group to give files to: as the superuser any will do.
func groupID() int {
	if gid := os.Getgid(); gid != 0 {
		return gid
	}
	return 12
}

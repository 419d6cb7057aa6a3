package e2e

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// Readers take no lock, and see only complete snapshots while two writers publish
// and prune. A writer that finds the export locked fails.
func TestReadersBesideWriters(t *testing.T) {
	readers, applies := 4, 5
	if long() {
		readers, applies = 10, 30
	}
	s := newSite(t, sandbox.Config{Users: 200, Seed: 51, CachePages: true})
	s.configure(t, "    retain: {last: 3}\n")
	for range 3 {
		s.must(t, 0, "apply")
	}
	commands := [][]string{{"verify"}, {"show", "all-users"}, {"list"}, {"diff", "all-users"}, {"status"}}
	done := make(chan struct{})
	var reading, writing sync.WaitGroup
	for i := range readers {
		reading.Go(func() {
			for n := i; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				args := append(commands[n%len(commands)], "--store", "snapshots")
				if r := s.run(t, args...); r.status != 0 {
					t.Errorf("oktasync %s: status %d\n%s%s", strings.Join(args, " "), r.status, r.stdout, r.stderr)
					return
				}
			}
		})
	}
	for range applies {
		s.org.Move(1)
		for range 2 {
			writing.Go(func() {
				if r := s.run(t, "apply"); r.status != 0 && !strings.Contains(r.stderr, "all-users is locked by ") {
					t.Errorf("one of two writers: status %d\n%s", r.status, r.stderr)
				}
			})
		}
		writing.Wait()
	}
	close(done)
	reading.Wait()
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
	s.equalsOrg(t)
}

// The store is removed during a read: apply prints one error, and the next run
// creates a store.
func TestStoreRemovedDuringRead(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 100, Seed: 52})
	s.must(t, 0, "apply")
	var once sync.Once
	s.org.OnRequest(func(int, *http.Request) {
		once.Do(func() {
			if err := os.RemoveAll(s.path("snapshots")); err != nil {
				t.Error(err)
			}
		})
	})
	r := s.must(t, 1, "apply")
	if strings.Count(r.stderr, "oktasync: error: ") != 1 || strings.Contains(r.stderr, "goroutine") {
		t.Errorf("stderr = %s", r.stderr)
	}
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
}

package reconcile_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot/diff"
)

// The read of a plan covers the reads of all resources.
func TestReadOfTwoResources(t *testing.T) {
	f := newFixture(t, people(0, 3)...).withGroups(groups(0, 20))
	var mu sync.Mutex
	var started []time.Time
	f.org.hook = func(context.Context) {
		mu.Lock()
		defer mu.Unlock()
		started = append(started, time.Now())
	}
	if r := f.plan().Read; r.Requests != 3 || r.Rows != 43 || r.Settled || r.Started.After(started[0]) || r.Finished.Before(started[1]) {
		t.Errorf("read = %+v, want 3 requests and 43 rows of both and of the control totals, not settled because of groups", r)
	}
}

// A group that no page contains is removed only if Okta answers that it doesn't
// exist.
func TestGroupRemovalIsProved(t *testing.T) {
	f := newFixture(t, people(0, 3)...).withGroups(groups(0, 20))
	f.publish()
	f.org.groups = f.org.groups[1:]
	f.org.skip = func(r oktaclient.Record) bool { return r.ID == "00g00005" }
	s := f.publish()
	if g := s.Manifest.Resources["groups"]; g.Total != 19 || g.Removed != 1 || g.Kinds[diff.Deleted] != 1 || g.Rows != 19+g.Outside || g.Outside != 18 { // outside: the list of the control totals
		t.Errorf("groups = %+v, want only the one removed that doesn't exist", g)
	}
	if !slices.Equal(f.org.found, []string{"00g00000", "00g00005"}) {
		t.Errorf("requested by id: %v", f.org.found)
	}
}

package sandbox_test

import (
	"encoding/json"
	"sync"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// People change in every way while others read in every way: whoever nobody
// touches is always there once, and nothing is ever half-made.
func TestReadWhileChanging(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 150, Deprovisioned: 15, Concurrency: 1000})
	c.login()
	before := snapshot(c.org)
	touched := map[string]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, change := range []func(int) []string{c.org.Move, c.org.Touch, c.org.Join, c.org.Deactivate, c.org.Delete, c.org.Suspend, c.org.Reactivate} {
			for range 5 {
				for _, id := range change(1) {
					touched[id] = true
				}
			}
		}
	}()
	lists := make([]map[string]int, 5)
	var wg sync.WaitGroup
	for i, target := range []string{
		list("limit", "20", "search", "id pr"), list("limit", "30", "search", "id pr", "sortBy", "lastUpdated"),
		list("limit", "20", "search", "id pr", "sortBy", "profile.lastName", "sortOrder", "desc"),
		list("limit", "15", "filter", `lastUpdated gt "2000-01-01T00:00:00.000Z"`), list("limit", "50", "search", `status pr`),
	} {
		wg.Go(func() {
			seen := map[string]int{}
			ids, rows, err := c.all(target)
			if err != nil {
				t.Error(err)
			}
			for k, id := range ids {
				seen[id]++
				if !json.Valid(rows[k]) {
					t.Errorf("%s: %s", target, rows[k])
				}
			}
			lists[i] = seen
		})
	}
	wg.Wait()
	<-done
	for i, seen := range lists {
		for id := range before {
			if !touched[id] && seen[id] != 1 {
				t.Errorf("list %d: %s, whom nobody touched, came %d times", i, id, seen[id])
			}
		}
	}
	c.noViolations()
}

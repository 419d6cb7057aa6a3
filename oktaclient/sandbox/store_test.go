package sandbox_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// The index of lastUpdated finds the same users as a scan, after changes, with a lag,
// and for all page sizes.
func TestSpansEqualScan(t *testing.T) {
	for _, cfg := range []sandbox.Config{{}, {IndexLag: time.Minute}, {OffsetCursors: true}, {Imported: 0.6}} {
		synctest.Test(t, func(t *testing.T) {
			cfg.Users, cfg.Epoch, cfg.RateLimit = 200, time.Date(1999, 6, 1, 0, 0, 0, 0, time.UTC), sandbox.Limits(1<<20)
			c := newClient(t, cfg)
			random := rand.New(rand.NewPCG(1, 2))
			found, moments := 0, []string{}
			for range 20 {
				time.Sleep(time.Duration(random.IntN(40)) * time.Second)
				c.org.Join(1)
				c.org.Move(3)
				c.org.Deactivate(1)
				c.org.Delete(1)
				moments = moments[:0]
				for _, text := range c.org.UsersJSON() {
					_, rest, _ := strings.Cut(string(text), `"lastUpdated":"`)
					moments = append(moments, rest[:24])
				}
				slices.Sort(moments)
				from, to := moments[random.IntN(len(moments))], moments[random.IntN(len(moments))]
				narrow := fmt.Sprintf(`lastUpdated %s %q and lastUpdated %s %q`, []string{"ge", "gt"}[random.IntN(2)], min(from, to), []string{"lt", "le"}[random.IntN(2)], max(from, to))
				limit := fmt.Sprint(20 + random.IntN(60))
				got := c.mustAll(list("limit", limit, "filter", narrow))
				want := c.mustAll(list("limit", limit, "filter", "("+narrow+`) or id eq "nobody"`))
				if !slices.Equal(got, want) {
					t.Fatalf("%s: %d users, want the %d of the scan", narrow, len(got), len(want))
				}
				found += len(got)
			}
			if found < 300 {
				t.Errorf("the ranges contain %d users in total", found)
			}
			c.noViolations()
		})
	}
}

// Rule 32: while users change and clients read, each unchanged user is in each list
// once, and every row is valid.
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
				t.Errorf("list %d: unchanged user %s is listed %d times", i, id, seen[id])
			}
		}
	}
	c.noViolations()
}

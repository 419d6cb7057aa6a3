package sandbox_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// A narrow range of lastUpdated holds exactly whom a look at everybody finds,
// whatever has changed, whatever the index lags by, and however pages are cut.
func TestNarrowRangesHoldWhomAScanFinds(t *testing.T) {
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
					t.Fatalf("%s: %d users, want the same %d", narrow, len(got), len(want))
				}
				found += len(got)
			}
			if found < 300 {
				t.Errorf("the ranges held %d users in all", found)
			}
			c.noViolations()
		})
	}
}

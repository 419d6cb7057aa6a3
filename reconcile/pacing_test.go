package reconcile_test

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile"
)

// With Okta's published limits, a read of all resources takes at most 1.1 times as long
// as the slowest bucket needs, and no request is refused.
func TestPacedReadOfAllResources(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t, sandbox.Config{
			Users: 2000, Seed: 14, Groups: 700, Memberships: 20_000, Apps: 260, Assignments: 20_000, Epoch: time.Date(1999, 6, 1, 0, 0, 0, 0, time.UTC),
			Latency: 100 * time.Millisecond, RateLimit: sandbox.WorkforceLimits(),
		})
		client, err := oktaclient.New(oktaclient.Config{OrgURL: app.org.URL(), HTTPClient: &http.Client{Transport: app}, RateLimitShare: 1, Concurrency: 4})
		if err != nil {
			t.Fatal(err)
		}
		export := reconcile.DefaultExport()
		export.Name = "access"
		declareAll(&export)
		untilNextWindow(t, client, "/api/v1/apps")
		began := time.Now()
		plan, err := reconcile.New(reconcile.Config{Spool: dir, Source: client}).Plan(t.Context(), export)
		if err != nil {
			t.Fatal(err)
		}
		defer plan.Close()
		took, bound := time.Since(began), slowestBucket(app.org)
		if took > bound*110/100 {
			t.Errorf("took %v, want at most 1.1 of %v; requests by bucket: %v", took, bound, plan.Buckets())
		}
		if stats := app.org.Stats(); stats.RateLimited > 0 || len(stats.Violations) > 0 {
			t.Errorf("%d requests refused, violations: %v", stats.RateLimited, stats.Violations)
		}
		if !plan.Read.Settled {
			t.Error("the read did not settle")
		}
	})
}

// slowestBucket returns the least duration of the requests below /api/v1/apps: a window
// of a minute for every 50, without the last window. Okta gives an app half of its limit
// of 100.
func slowestBucket(org *sandbox.Org) time.Duration {
	const limit = 50
	apps, requests := 0, 0
	for id := range org.AppsJSON() {
		apps++
		requests += max(1, (len(org.EdgesOf(sandbox.AppUsers, id))+499)/500) + 1 // its users and its groups
	}
	requests += 2 * ((apps + 199) / 200) // the list is read until it is unchanged
	return time.Duration((requests+limit-1)/limit-1) * time.Minute
}

// untilNextWindow waits for the start of a window of a list.
func untilNextWindow(t *testing.T, c *oktaclient.Client, path string) {
	t.Helper()
	resp, err := c.Get(t.Context(), path+"?limit=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	reset, err := strconv.ParseInt(resp.Header.Get("X-Rate-Limit-Reset"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.Unix(reset, 0)) + time.Second)
}

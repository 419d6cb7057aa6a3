package oktaclient_test

import (
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"

	"golang.org/x/sync/errgroup"
)

// access is an org with groups and apps that changed long ago.
func access() sandbox.Config {
	cfg := settled(300)
	cfg.Groups, cfg.Memberships, cfg.Apps, cfg.Assignments = 40, 2000, 20, 1500
	return cfg
}

func idsOf(objects iter.Seq2[string, []byte]) []string {
	return slices.Sorted(maps.Keys(maps.Collect(objects)))
}

// The lists of all parents contain the edges of the org, byte for byte, also if the
// org can't serve large pages.
func TestReadAccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := access()
		cfg.MemberLimit = 250
		b := newSandbox(t, cfg)
		c := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency, cfg.PageSize = 4, 0 })
		groups, apps := idsOf(b.org.GroupsJSON()), idsOf(b.org.AppsJSON())
		for resource, parents := range map[*oktaclient.Resource][]string{
			&oktaclient.GroupMembers: groups, &oktaclient.AppUsers: apps, &oktaclient.AppGroups: apps,
		} {
			s := newParentSink()
			result, err := c.Read(t.Context(), oktaclient.Query{Resource: *resource, Parents: parents}, s)
			if err != nil || !result.Settled || len(s.ended) != len(parents) {
				t.Fatalf("%s: result = %+v, %v; %d parents ended", resource.Name, result, err, len(s.ended))
			}
			n := 0
			for parent, records := range s.of {
				for _, r := range records {
					want, ok := b.org.EdgeJSON(sandbox.EdgeKind(resource.Name), parent, r.ID)
					if n++; !ok || string(r.JSON) != string(want) {
						t.Fatalf("%s of %s: %s, want %s", resource.Name, parent, r.JSON, want)
					}
				}
			}
			if want := len(slices.Collect(b.org.Edges(sandbox.EdgeKind(resource.Name), time.Time{}))); n != want || n == 0 {
				t.Errorf("%s: %d edges, want %d", resource.Name, n, want)
			}
		}
		if v := b.org.Stats().Violations; len(v) > 0 {
			t.Error(v)
		}
	})
}

// The lists of API tokens and of each user's factors have no pages. A request for them
// has no limit, and a missing Link header is no error.
func TestReadCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, settled(300))
		c := b.client(t, func(cfg *oktaclient.Config) { cfg.PageSize = 2 })
		tokens := &sink{}
		if result, err := c.Read(t.Context(), oktaclient.Query{Resource: oktaclient.APITokens}, tokens); err != nil || result.Requests != 1 || !result.Settled {
			t.Fatalf("API tokens: %+v, %v", result, err)
		}
		if got, want := slices.Sorted(maps.Keys(tokens.newest)), idsOf(b.org.APITokensJSON()); !slices.Equal(got, want) || len(want) != 5 {
			t.Errorf("API tokens = %q, want %q", got, want)
		}
		users := idsOf(b.org.UsersJSON())
		s := newParentSink()
		if result, err := c.Read(t.Context(), oktaclient.Query{Resource: oktaclient.Factors, Parents: users}, s); err != nil || result.Requests != len(users) {
			t.Fatalf("factors: %+v, %v", result, err)
		}
		missing := 0
		for _, user := range users {
			var got, want []string
			for _, r := range s.of[user] {
				got = append(got, string(r.JSON))
			}
			for json := range b.org.FactorsJSON(user) {
				want = append(want, string(json))
			}
			if !s.ended[user] {
				missing++
				want = nil
			}
			if !slices.Equal(got, want) {
				t.Errorf("factors of %s = %q, want %q", user, got, want)
			}
		}
		if want := b.org.Count()["DEPROVISIONED"]; missing != want || want == 0 {
			t.Errorf("%d users have no list, want the %d who are DEPROVISIONED", missing, want)
		}
		for _, r := range slices.Concat(tokens.requests, s.requests) {
			if strings.Contains(r.Path, "?") {
				t.Errorf("request for %s, want no query", r.Path)
			}
		}
	})
}

// Apps and rules are one list each, which doesn't settle, because Okta can't filter
// it. Find reads them by id, and only by id.
func TestReadAppsAndRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, access())
		b.org.AddRule("Sales", `user.department=="Sales"`, idsOf(b.org.GroupsJSON())[0])
		for resource, want := range map[*oktaclient.Resource]map[string][]byte{
			&oktaclient.Apps: maps.Collect(b.org.AppsJSON()), &oktaclient.GroupRules: maps.Collect(b.org.RulesJSON()),
		} {
			for _, concurrency := range []int{1, 4} {
				s := &sink{}
				c := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency = concurrency })
				result, err := c.Read(t.Context(), oktaclient.Query{Resource: *resource}, s)
				if pages := (len(want) + 9) / 10; err != nil || !result.Settled || result.Requests != pages {
					t.Errorf("%s: result = %+v, %v; want %d pages", resource.Name, result, err, pages)
				}
				for id, text := range want {
					if got := s.of()[id]; string(got.JSON) != string(text) || got.Status == "" {
						t.Errorf("%s %s = %q %s, want %s", resource.Name, id, got.Status, got.JSON, text)
					}
				}
				if len(s.users) != len(want) || len(want) == 0 {
					t.Errorf("%d %s, want %d", len(s.users), resource.Name, len(want))
				}
				found, id := &sink{}, slices.Min(slices.Collect(maps.Keys(want)))
				result, err = c.Find(t.Context(), oktaclient.Query{Resource: *resource}, []string{id, "0oaUnknown"}, found)
				if err != nil || result.Requests != 2 || !slices.Equal(found.ids(), []string{id}) {
					t.Errorf("Find() of %s found %v in %+v, %v; want %s in two requests", resource.Name, found.ids(), result, err, id)
				}
			}
		}
	})
}

// A filter narrows a list, which then doesn't settle.
func TestReadWithAFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, access())
		time.Sleep(time.Minute)
		since, changed := time.Now(), idsOf(b.org.GroupsJSON())[5]
		if err := b.org.AddMember(changed, idsOf(b.org.UsersJSON())[7]); err != nil {
			t.Fatal(err)
		}
		s := &sink{}
		q := oktaclient.Query{Resource: oktaclient.Groups, Filter: fmt.Sprintf("lastMembershipUpdated ge %q", since.UTC().Format("2006-01-02T15:04:05.000Z"))}
		result, err := b.client(t, nil).Read(t.Context(), q, s)
		if err != nil || !result.Settled || result.Requests != 1 || !slices.Equal(s.ids(), []string{changed}) {
			t.Errorf("read %v in %+v, %v; want %s in one request", s.ids(), result, err, changed)
		}
	})
}

// A list of groups with counts is read in smaller pages if Okta can't return it.
func TestReadGroupsWithStats(t *testing.T) {
	o := newOrg(95)
	o.of = oktaclient.Groups
	for _, status := range []int{500, 504} {
		o.hook = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("expand") != "stats" {
				t.Errorf("request %s, want expand=stats", r.URL)
			}
			slow := r.URL.Query().Get("limit") != "25"
			if slow {
				fail(w, status, "")
			}
			return slow
		}
		s := &sink{}
		q := oktaclient.Query{Resource: oktaclient.Groups, Stats: true}
		result, err := o.client(t, func(cfg *oktaclient.Config) { cfg.PageSize = 100 }).Read(t.Context(), q, s)
		if err != nil || !result.Settled || result.Rows != 95 || !slices.Equal(s.ids(), o.users) || result.Requests != 2+2+4 {
			t.Errorf("result = %+v, %v; want 95 groups in pages of 25 after two tries each of 100 and 50", result, err)
		}
	}
}

// Reads of several buckets at the same time take about as long as the slowest bucket
// alone, and no request is rejected: a read that waits for its limit leaves the
// requests in flight to the others. All lists below an app share one bucket.
func TestBucketsAreReadAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := settled(6000)
		cfg.CachePages = true
		cfg.Groups, cfg.Memberships, cfg.Apps, cfg.Assignments = 500, 1000, 125, 500
		cfg.Latency, cfg.ClientShare = 50*time.Millisecond, 1
		cfg.RateLimit = map[string]int{"/api/v1/users": 300, "/api/v1/groups": 250, "/api/v1/apps": 50}
		b := newSandbox(t, cfg)
		groups, apps := idsOf(b.org.GroupsJSON()), idsOf(b.org.AppsJSON())
		c := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency, cfg.PageSize = 4, 20 })
		untilNextWindow(t, c, "/api/v1/apps")
		b.org.ResetStats()
		began, users := time.Now(), 0
		g, ctx := errgroup.WithContext(t.Context())
		for _, test := range []struct {
			q    oktaclient.Query
			sink oktaclient.Sink
		}{
			{everyone, counter{&users}},
			{oktaclient.Query{Resource: oktaclient.GroupMembers, Parents: groups}, newParentSink()},
			{oktaclient.Query{Resource: oktaclient.AppUsers, Parents: apps}, newParentSink()},
			{oktaclient.Query{Resource: oktaclient.AppGroups, Parents: apps}, newParentSink()},
		} {
			g.Go(func() error { _, err := c.Read(ctx, test.q, test.sink); return err })
		}
		if err := g.Wait(); err != nil || users < 6000 {
			t.Fatalf("read %d users: %v", users, err)
		}
		took, stats := time.Since(began), b.org.Stats()
		requests := map[string]int{}
		for path, n := range stats.ByPath {
			if rest, ok := strings.CutPrefix(path, "/api/v1/"); ok {
				name, _, _ := strings.Cut(rest, "/")
				requests[name] += n
			}
		}
		var slowest time.Duration
		for name, limit := range map[string]int{"users": 300, "groups": 250, "apps": 50} {
			slowest = max(slowest, time.Duration((requests[name]-1)/limit)*time.Minute)
		}
		if took > slowest*11/10 || stats.RateLimited > 0 {
			t.Errorf("took %v with %d requests rejected, want at most 1.1 times %v and none; requests: %v", took, stats.RateLimited, slowest, requests)
		}
	})
}

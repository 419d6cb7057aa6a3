package oktaclient_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
)

// If cursors count users, a user that leaves a list moves another past the next
// page. A first read misses none of them. A later read may miss users of an
// earlier read, which the caller then requests with Find.
func TestNoUserIsSkippedAfterAnotherLeaves(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d in flight, borders known %t", concurrency, again), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := settled(150)
					cfg.OffsetCursors, cfg.Deprovisioned = true, -1
					b := newSandbox(t, cfg)
					q := everyone
					if again {
						q = known(q, b.org, 10)
						b.org.Join(100)
						time.Sleep(20 * time.Minute)
					}
					b.org.OnRequest(func(n int, _ *http.Request) {
						if n%2 == 0 && n < 40 {
							b.org.Deactivate(2)
						}
					})
					s := &sink{}
					result, err := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency = concurrency }).Read(t.Context(), q, s)
					if err != nil || !result.Settled {
						t.Fatalf("settled = %t, %v", result.Settled, err)
					}
					b.org.OnRequest(nil)
					of, missing := s.of(), []string{}
					for id := range b.org.UsersJSON() {
						if of[id].JSON == nil {
							missing = append(missing, id)
						}
					}
					found := &sink{}
					if again && len(missing) > 0 { // the caller requests the missing users of the earlier read
						if _, err := b.client(t, nil).Find(t.Context(), q, missing, found); err != nil {
							t.Fatal(err)
						}
					}
					for _, id := range missing {
						if created := found.of()[id].LastUpdated; !again || created > "2000" {
							t.Errorf("user %s is missing", id)
						}
					}
				})
			})
		}
	}
}

// A user that leaves the plain list just before its last page is not skipped, even
// if the index doesn't show the change yet.
func TestNoUserIsSkippedAtTheEndOfTheList(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		for request := range 15 {
			synctest.Test(t, func(t *testing.T) {
				cfg := settled(150)
				cfg.OffsetCursors, cfg.Deprovisioned, cfg.IndexLag = true, -1, time.Second
				b := newSandbox(t, cfg)
				first := slices.Min(slices.Collect(maps.Keys(maps.Collect(b.org.UsersJSON()))))
				b.org.OnRequest(func(n int, _ *http.Request) {
					if n == 1+request {
						if err := b.org.Change(sandbox.Deactivate, first); err != nil {
							t.Error(err)
						}
					}
				})
				s := &sink{}
				result, err := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency, cfg.IndexLag = concurrency, 0 }).Read(t.Context(), everyone, s)
				if err != nil || !result.Settled {
					t.Fatalf("settled = %t, %v", result.Settled, err)
				}
				if n := len(s.of()); n != 150 {
					t.Errorf("%d in flight, deactivated at request %d: read %d users, want 150", concurrency, 1+request, n)
				}
			})
		}
	}
}

// Reading skipped users costs about the pages on which they can be: those since
// KnownBefore.
func TestCostOfSkippedUsers(t *testing.T) {
	for again, most := range map[bool]int{false: 40 + 65, true: 40 + 10} {
		synctest.Test(t, func(t *testing.T) {
			b := newSandbox(t, settled(400))
			q := everyone
			if again {
				q = known(q, b.org, 10)
			}
			last := slices.Max(slices.Collect(maps.Keys(maps.Collect(b.org.UsersJSON()))))
			b.org.OnRequest(func(n int, _ *http.Request) {
				if n == 5 { // changes during the read
					b.org.Set(last, "profile.title", []byte(`"x"`))
				}
			})
			passes := 0
			q.OnPhase = onSettle(func() { passes++ })
			result, err := b.client(t, nil).Read(t.Context(), q, &sink{})
			if err != nil || !result.Settled || result.Requests > most {
				t.Errorf("borders known %t: result = %+v, %v; want at most %d requests", again, result, err, most)
			}
			if passes != 2 {
				t.Errorf("settled in %d passes, want 2: one before and one after the skipped users are read", passes)
			}
		})
	}
}

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

// Where cursors count users, who leaves a list moves somebody else past its next
// page. Nobody is missing all the same: in a first reading whoever it is, and in
// a later one those whom the caller can't miss, since they have come since.
func TestNobodyIsHiddenByWhoLeavesAList(t *testing.T) {
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
					reading, err := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency = concurrency }).Read(t.Context(), q, s)
					if err != nil || !reading.Settled {
						t.Fatalf("settled = %t, %v", reading.Settled, err)
					}
					b.org.OnRequest(nil)
					of, missing := s.of(), []string{}
					for id := range b.org.UsersJSON() {
						if of[id].JSON == nil {
							missing = append(missing, id)
						}
					}
					found := &sink{}
					if again && len(missing) > 0 { // as a caller does with those it knows
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

// The plain list is current and the index lags: for it, who leaves that list just
// before its end has not changed yet, and hides somebody all the same.
func TestNobodyIsHiddenByTheLastToLeave(t *testing.T) {
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
				reading, err := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency, cfg.IndexLag = concurrency, 0 }).Read(t.Context(), everyone, s)
				if err != nil || !reading.Settled {
					t.Fatalf("settled = %t, %v", reading.Settled, err)
				}
				if n := len(s.of()); n != 150 {
					t.Errorf("%d in flight, left at request %d: read %d users, want 150", concurrency, 1+request, n)
				}
			})
		}
	}
}

// Whom a list may have hidden is found at about the cost of the pages that they
// can be on: of an org that was read before, those of who has changed since.
func TestCostOfWhoMayBeHidden(t *testing.T) {
	for again, most := range map[bool]int{false: 40 + 65, true: 40 + 10} {
		synctest.Test(t, func(t *testing.T) {
			b := newSandbox(t, settled(400))
			q := everyone
			if again {
				q = known(q, b.org, 10)
			}
			last := slices.Max(slices.Collect(maps.Keys(maps.Collect(b.org.UsersJSON()))))
			b.org.OnRequest(func(n int, _ *http.Request) {
				if n == 5 { // and is read like that
					b.org.Set(last, "profile.title", []byte(`"x"`))
				}
			})
			passes := 0
			q.OnPhase = onSettle(func() { passes++ })
			reading, err := b.client(t, nil).Read(t.Context(), q, &sink{})
			if err != nil || !reading.Settled || reading.Requests > most {
				t.Errorf("borders known %t: reading = %+v, %v; want at most %d requests", again, reading, err, most)
			}
			if passes != 2 {
				t.Errorf("settled in %d passes, want one more after who may be hidden was read", passes)
			}
		})
	}
}

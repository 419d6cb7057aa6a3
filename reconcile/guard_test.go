package reconcile_test

import (
	"testing"

	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// A guard speaks from the very number on that is more than its limit and no fewer
// than at_least, and users are asked for by id up to the one before.
func TestGuardToTheNumber(t *testing.T) {
	const atLeast = 25
	for limit, of := range map[snapshot.Limit]func(total int) int{
		snapshot.Percent(1):  func(total int) int { return total / 100 },
		snapshot.Percent(0):  func(int) int { return 0 },
		snapshot.Count(30):   func(int) int { return 30 },
		snapshot.Percent(50): func(total int) int { return total / 2 },
	} {
		for _, total := range []int{24, 25, 60, 2499, 2500, 2599, 2600} {
			g := snapshot.Guard{MaxRemoved: limit, MaxDeactivated: limit, AtLeast: atLeast}
			first := max(of(total)+1, atLeast)
			for n := first - 2; n <= first+1; n++ {
				removed := reconcile.Held(g, snapshot.BasePrevious, snapshot.Counts{Total: 1, Before: total, Removed: n})
				deactivated := reconcile.Held(g, snapshot.BasePrevious, snapshot.Counts{Total: 1, Before: 9 * total, ActiveBefore: total, Deactivated: n})
				if want := n >= first; len(removed) > 0 != want || len(deactivated) > 0 != want || n > reconcile.MayRemove(g, total) != want {
					t.Errorf("%s, %d of %d: removed %q, deactivated %q, asked for up to %d", limit, n, total, removed, deactivated, reconcile.MayRemove(g, total))
				}
			}
		}
	}
	for _, base := range []string{snapshot.BaseNone, snapshot.BaseReset} {
		if got := reconcile.Held(snapshot.Guard{}, base, snapshot.Counts{Before: 100, Removed: 100}); got != nil {
			t.Errorf("base %s: held for %q, with nobody to compare with", base, got)
		}
	}
	for total, want := range map[int]int{6: 1, 7: 0} {
		if got := reconcile.Held(snapshot.Guard{MinUsers: 7}, snapshot.BaseNone, snapshot.Counts{Total: total}); len(got) != want {
			t.Errorf("%d users where 7 are wanted: held for %q", total, got)
		}
	}
}

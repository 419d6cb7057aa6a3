package reconcile_test

import (
	"testing"

	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// A guard stops a read from the first number on that exceeds its limit and is at
// least at_least. Removals are proved up to the number before.
func TestGuardLimits(t *testing.T) {
	const atLeast = 25
	var thirty snapshot.Limit
	if err := thirty.UnmarshalText([]byte("30")); err != nil {
		t.Fatal(err)
	}
	for limit, of := range map[snapshot.Limit]func(total int) int{
		snapshot.Percent(1):  func(total int) int { return total / 100 },
		snapshot.Percent(0):  func(int) int { return 0 },
		thirty:               func(int) int { return 30 },
		snapshot.Percent(50): func(total int) int { return total / 2 },
	} {
		for _, total := range []int{24, 25, 60, 2499, 2500, 2599, 2600} {
			g := snapshot.Guard{MaxRemoved: limit, MaxDeactivated: &limit, AtLeast: atLeast}
			first := max(of(total)+1, atLeast)
			for n := first - 2; n <= first+1; n++ {
				removed := reconcile.Stops(g, snapshot.BasePrevious, diff.Counts{Total: 1, Before: total, Removed: n})
				deactivated := reconcile.Stops(g, snapshot.BasePrevious, diff.Counts{Total: 1, Before: 9 * total, ActiveBefore: total, Deactivated: n})
				if want := n >= first; len(removed) > 0 != want || len(deactivated) > 0 != want || n > reconcile.MaxRemoved(g, total) != want {
					t.Errorf("%s, %d of %d: removed %q, deactivated %q, proved up to %d", limit, n, total, removed, deactivated, reconcile.MaxRemoved(g, total))
				}
			}
		}
	}
	for _, base := range []string{snapshot.BaseNone, snapshot.BaseReset} {
		if got := reconcile.Stops(snapshot.Guard{}, base, diff.Counts{Before: 100, Removed: 100}); got != nil {
			t.Errorf("base %s: stopped for %q without a snapshot to compare with", base, got)
		}
	}
	for total, want := range map[int]int{6: 1, 7: 0} {
		if got := reconcile.Stops(snapshot.Guard{Min: 7}, snapshot.BaseNone, diff.Counts{Total: total}); len(got) != want {
			t.Errorf("%d users with a minimum of 7: stopped for %q", total, got)
		}
	}
}

package reconcile

import (
	"fmt"
	"strings"

	"oktasync/reconcile/snapshot"
)

// held returns why a guard holds a reading back, a clause for each of its rules
// that is broken; nil lets the reading pass.
//
// An app that lost its admin role gets status 200 and an empty list from Okta,
// and one whose role was narrowed gets part of it, with nothing on the wire to
// tell either from an org that shrank. So the numbers must decide.
func held(g snapshot.Guard, base string, c snapshot.Counts) []string {
	var reasons []string
	if c.Total < g.MinUsers {
		reasons = append(reasons, fmt.Sprintf("%d users read, the guard wants at least %d", c.Total, g.MinUsers))
	}
	if base != snapshot.BasePrevious {
		return reasons // nobody to compare with
	}
	if exceeds(g.MaxRemoved, c.Removed, c.Before, g.AtLeast) {
		reasons = append(reasons, fmt.Sprintf("%d of %d users gone, the guard allows %s", c.Removed, c.Before, g.MaxRemoved))
	}
	if exceeds(g.MaxDeactivated, c.Deactivated, c.ActiveBefore, g.AtLeast) {
		reasons = append(reasons, fmt.Sprintf("%d of %d users deactivated, the guard allows %s", c.Deactivated, c.ActiveBefore, g.MaxDeactivated))
	}
	return reasons
}

// exceeds reports whether n of total is more than limit allows; fewer than
// atLeast people never are.
func exceeds(limit snapshot.Limit, n, total, atLeast int) bool {
	return n >= atLeast && n > limit.Of(total)
}

// mayRemove is how many of total users can be gone without a guard's objection.
func mayRemove(g snapshot.Guard, total int) int {
	return max(g.MaxRemoved.Of(total), g.AtLeast-1)
}

func joinReasons(reasons []string) string { return strings.Join(reasons, "; ") }

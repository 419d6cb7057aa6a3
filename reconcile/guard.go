package reconcile

import (
	"fmt"
	"strings"

	"oktasync/reconcile/snapshot"
)

// stops returns why the guard of a resource stops a read, one clause for each
// limit that is exceeded. It returns nil if the read may be published.
//
// Okta answers an app that lost its admin role with status 200 and an empty list,
// and an app with a narrower role with a part of the list. No response shows the
// difference from an org that shrank, so the guard compares numbers.
func (p *ResourcePlan) stops() []string {
	g, c, names := p.Declared.Guard, p.Counts, p.Declared.Resource.Name
	var reasons []string
	if c.Total < g.Min {
		reasons = append(reasons, fmt.Sprintf("%d %s read, the guard requires at least %d", c.Total, names, g.Min))
	}
	if p.Base != snapshot.BasePrevious {
		return reasons // there is no earlier snapshot to compare with
	}
	if exceeds(g.MaxRemoved, c.Removed, c.Before, g.AtLeast) {
		reasons = append(reasons, fmt.Sprintf("%d of %d %s gone, the guard allows %s", c.Removed, c.Before, names, g.MaxRemoved))
	}
	if g.MaxDeactivated != nil && exceeds(*g.MaxDeactivated, c.Deactivated, c.ActiveBefore, g.AtLeast) {
		reasons = append(reasons, fmt.Sprintf("%d of %d %s deactivated, the guard allows %s", c.Deactivated, c.ActiveBefore, names, *g.MaxDeactivated))
	}
	return reasons
}

// exceeds reports whether n of total is more than limit allows. Fewer than
// atLeast records never exceed it.
func exceeds(limit snapshot.Limit, n, total, atLeast int) bool {
	return n >= atLeast && n > limit.Of(total)
}

// maxRemoved is the number of total records that a read may remove without
// exceeding the guard.
func maxRemoved(g snapshot.Guard, total int) int {
	return max(g.MaxRemoved.Of(total), g.AtLeast-1)
}

func joinReasons(reasons []string) string { return strings.Join(reasons, "; ") }

package reconcile

import (
	"bytes"
	"fmt"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
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
	removed, before := c.Removed, c.Before
	if p.lists.newest != nil {
		removed, before = p.losses.removed, p.losses.before
	}
	if exceeds(g.MaxRemoved, removed, before, g.AtLeast) {
		reasons = append(reasons, fmt.Sprintf("%d of %d %s gone, the guard allows %s", removed, before, names, g.MaxRemoved))
	}
	if g.MaxDeactivated != nil && exceeds(*g.MaxDeactivated, c.Deactivated, c.ActiveBefore, g.AtLeast) {
		reasons = append(reasons, fmt.Sprintf("%d of %d %s deactivated, the guard allows %s", c.Deactivated, c.ActiveBefore, names, *g.MaxDeactivated))
	}
	reasons = append(reasons, p.losses.groups...)
	if n := p.losses.more; n > 0 {
		reasons = append(reasons, fmt.Sprintf("%d more groups lost half of their members", n))
	}
	return reasons
}

const (
	maxGroupLoss   = 100
	maxNamedGroups = 10 // in the reasons of a guard
)

// losses reads the edges of the newest snapshot, which are sorted by their parents, and
// sums up the removals of each parent.
type losses struct {
	diff.Reader
	plan    *ResourcePlan
	counts  edgeLosses
	parent  []byte // of the newest edge
	before  int    // edges of this parent
	removed int    // of these
}

func (l *losses) Next() (diff.Record, error) {
	record, err := l.Reader.Next()
	parent, _, _ := bytes.Cut(record.Key, zero)
	if err != nil || !bytes.Equal(parent, l.parent) {
		l.add()
		l.parent = append(l.parent[:0], parent...)
	}
	l.before++
	return record, err
}

// add adds the counts of a parent, all of whose edges were compared.
func (l *losses) add() {
	parent, exists := l.plan.parent.index.records[string(l.parent)]
	if !parent.inactive {
		l.counts.before += l.before
		l.counts.removed += l.removed
	}
	if l.plan.Declared.Resource == snapshot.GroupMembers && exists && !parent.deleted && l.removed > maxGroupLoss && 2*l.removed >= l.before {
		if len(l.counts.groups) < maxNamedGroups {
			l.counts.groups = append(l.counts.groups, fmt.Sprintf("%d of %d members of group %.60q gone, the guard allows less than half", l.removed, l.before, l.parent))
		} else {
			l.counts.more++
		}
	}
	l.before, l.removed = 0, 0
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

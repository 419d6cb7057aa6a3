package reconcile

import (
	"context"
	"fmt"
	"time"

	"oktasync/reconcile/snapshot"
)

// maxPasses is the most passes that read again what changed during the read.
const maxPasses = 10

// settle reads a resource again, and the children of the records that changed, in
// passes, until a pass shows no change.
func (c *scopeRead) settle(ctx context.Context, rp *ResourcePlan) error {
	if err := c.awaitStamps(ctx, rp); err != nil {
		return err
	}
	for range maxPasses {
		c.enter(PhaseSettling, rp.Declared.Resource, 0, rp.expected())
		settled, err := c.listAgain(ctx, rp)
		if err != nil {
			return fmt.Errorf("read %s: %w", rp.Declared.Resource.Name, cause(ctx, err))
		}
		if settled {
			return nil
		}
		if err := c.readChildren(ctx, rp, rp.index.changedIDs(), PhaseSettling); err != nil {
			return err
		}
	}
	rp.read.Settled = false
	return nil
}

// listAgain reads the list of a resource again, and requests the records by id that are
// no longer in it. settled reports that nothing has changed.
func (c *scopeRead) listAgain(ctx context.Context, rp *ResourcePlan) (settled bool, err error) {
	rp.index.pass++
	if err := c.readInto(ctx, rp, c.query(rp)); err != nil {
		return false, err
	}
	rp.index.recent = ""
	unlisted := rp.index.unlisted()
	if err := c.confirm(ctx, rp, unlisted); err != nil {
		return false, err
	}
	for _, id := range unlisted {
		if rp.index.records[id].deleted {
			return false, nil
		}
	}
	return len(rp.index.changed) == 0, nil
}

// awaitStamps waits until Okta shows each change of a group's members that was made
// before they were read. The lists of members can also be late, so a group with a
// recent change counts as changed.
func (c *scopeRead) awaitStamps(ctx context.Context, groups *ResourcePlan) error {
	lag := max(c.r.cfg.MembershipLag, 0)
	for _, child := range groups.children {
		began := child.read.Started
		if began.IsZero() && child.carries { // no list was read
			began = groups.read.Started
		}
		if child.Declared.Resource != snapshot.GroupMembers || began.IsZero() {
			continue
		}
		groups.index.recent = groups.stampAt(-lag)
		return sleep(ctx, time.Until(began.Add(lag)))
	}
	return nil
}

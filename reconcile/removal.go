package reconcile

import (
	"context"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot/diff"
)

const maxOverridden = 10_000 // missing records that are requested if an override exceeds the guard

// proveRemovals requests each record by id that the newest snapshot contains and
// no page did. The records must then be compared again, with Okta's responses. A page
// can skip a record, since Okta's lists have no isolation, and a narrowed list omits
// records that still exist. So a record counts as deleted only if Okta answers that it
// doesn't exist. If the declaration selects it, it is added to the read.
//
// Admin roles have no ids that Okta could be asked for. Their read requests each holder.
//
// If more records are missing than the guard allows, none is requested: the guard
// stops the read, and a missing role is the most likely cause. An override requests
// them, up to a bound. The others have no proof.
func (c *scopeRead) proveRemovals(ctx context.Context, rp *ResourcePlan) error {
	most := maxRemoved(rp.Declared.Guard, rp.Counts.Before)
	if rp.Counts.Removed == 0 || rp.Declared.Read.Strategy == oktaclient.Roles || rp.Counts.Removed > most && !c.plan.override {
		return nil
	}
	most = min(rp.Counts.Removed, max(most, maxOverridden))
	c.enter(PhaseProving, rp.Declared.Resource, 0, most)
	var ids []string
	requested := 0
	err := rp.eachChange(func(change *diff.Change) error {
		if change.Op != diff.OpRemoved || requested == most {
			return nil
		}
		ids = append(ids, change.ID())
		if requested++; len(ids) < findAtOnce && requested < most {
			return nil
		}
		err := c.find(ctx, rp, ids)
		ids = ids[:0]
		return err
	})
	if err != nil {
		return err
	}
	rp.compared = false // a proof changes the comparison
	return rp.records.finish()
}

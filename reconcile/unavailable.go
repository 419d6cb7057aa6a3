package reconcile

import (
	"context"
	"errors"
	"slices"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// allow returns err, unless it means that rp is unavailable, and rp is optional. Then it
// drops what was read of rp and its children, which are unavailable too.
func (c *scopeRead) allow(ctx context.Context, rp *ResourcePlan, err error) error {
	missing, ok := errors.AsType[*UnavailableError](err)
	if !ok || missing.Resource != rp.Declared.Resource.Name || !rp.Declared.Optional {
		return err
	}
	c.r.log.WarnContext(ctx, "resource not available", "export", c.plan.Export.Name, "resource", missing.Resource, "err", err)
	if err := rp.drop(missing.Reason, err); err != nil {
		return err
	}
	for _, child := range rp.children {
		if err := child.drop(missing.Resource+" are not available", err); err != nil {
			return err
		}
	}
	return nil
}

// drop drops the records and changes of an unavailable resource.
func (rp *ResourcePlan) drop(reason string, cause error) error {
	if rp.Unavailable != nil {
		return nil
	}
	rp.Unavailable = &UnavailableError{rp.Declared.Resource.Name, reason, cause}
	rp.Base, rp.Counts, rp.ByStatus = snapshot.BaseNone, diff.Counts{}, nil
	rp.Duplicates, rp.Outside, rp.Carried, rp.lists = 0, rp.read.Rows, 0, lists{}
	return errors.Join(rp.closeChanges(), rp.records.close())
}

// checkAvailable returns an error if no resource is available.
func (p *Plan) checkAvailable() error {
	if slices.ContainsFunc(p.Resources, func(rp *ResourcePlan) bool { return rp.Unavailable == nil }) {
		return nil
	}
	return p.Resources[0].Unavailable
}

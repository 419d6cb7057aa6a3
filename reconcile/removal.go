package reconcile

import (
	"context"

	"oktasync/reconcile/snapshot/diff"
)

// findAtOnce is the number of missing records that are requested together. It
// bounds memory.
const findAtOnce = 1000

// proveRemovals requests each record by id that the newest snapshot contains and
// no page did. A page can skip a record, since Okta's lists have no isolation. So
// a record counts as removed only if Okta answers that it doesn't exist. If it
// exists, it is added to the read, and the comparison is repeated.
//
// If more records are missing than the guard allows, none is requested: the guard
// stops the read, and a missing role is the most likely cause.
func (p *Plan) proveRemovals(ctx context.Context, r *Reconciler, rp *ResourcePlan) error {
	if rp.Counts.Removed == 0 || rp.Counts.Removed > maxRemoved(rp.Declared.Guard, rp.Counts.Before) {
		return nil
	}
	p.progress.enter(PhaseProving, rp, 0, rp.Counts.Removed)
	rows := rp.Rows
	var ids []string
	err := rp.eachChange(func(c *diff.Change) error {
		if c.Op == diff.OpRemoved {
			ids = append(ids, c.ID())
		}
		if len(ids) < findAtOnce {
			return nil
		}
		err := p.find(ctx, r, rp, ids)
		ids = ids[:0]
		return err
	})
	if err == nil && len(ids) > 0 {
		err = p.find(ctx, r, rp, ids)
	}
	if err != nil || rp.Rows == rows {
		return err
	}
	if err := rp.records.finish(); err != nil {
		return err
	}
	return p.compare(ctx, r, rp)
}

// find reads the records with these ids, as a part of the read.
func (p *Plan) find(ctx context.Context, r *Reconciler, rp *ResourcePlan, ids []string) error {
	found, err := r.cfg.Source.Find(ctx, rp.query(p), ids, sink{p, rp})
	p.Read.Finished = found.Finished
	p.Read.Requests += found.Requests
	rp.Rows += found.Rows
	return err
}

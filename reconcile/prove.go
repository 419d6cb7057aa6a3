package reconcile

import (
	"context"

	"oktasync/reconcile/snapshot"
)

// askAtOnce is how many missing users are asked for before the next ones are
// looked up: what bounds memory.
const askAtOnce = 1000

// proveRemovals asks Okta for each user that the newest snapshot holds and no
// page did. Lists come from an index and have no isolation, so that a page can
// skip somebody; a removal stands only where Okta says that the user does not
// exist. Whoever does is read into the spool, and then everything is compared
// once more.
//
// Where more are missing than the guard lets go, nobody is asked for: it
// decides, and what is missing is most likely the right to see it.
func (p *Plan) proveRemovals(ctx context.Context, r *Reconciler) error {
	if p.Counts.Removed == 0 || p.Counts.Removed > mayRemove(p.Export.Users.Guard, p.Counts.Before) {
		return nil
	}
	p.watch.enter(PhaseProving, 0, p.Counts.Removed)
	rows := p.Reading.Rows
	var ids []string
	err := p.Changes(func(c *snapshot.Change) error {
		if c.Op == snapshot.OpRemoved {
			ids = append(ids, c.ID)
		}
		if len(ids) < askAtOnce {
			return nil
		}
		err := p.find(ctx, r, ids)
		ids = ids[:0]
		return err
	})
	if err == nil && len(ids) > 0 {
		err = p.find(ctx, r, ids)
	}
	if err != nil || p.Reading.Rows == rows {
		return err
	}
	if err := p.users.finish(); err != nil {
		return err
	}
	return p.compare(ctx, r)
}

// find reads the users with these ids, as a part of the reading.
func (p *Plan) find(ctx context.Context, r *Reconciler, ids []string) error {
	found, err := r.cfg.Source.Find(ctx, p.query(), ids, sink{p})
	p.Reading.Finished = found.Finished
	p.Reading.Requests += found.Requests
	p.Reading.Rows += found.Rows
	return err
}

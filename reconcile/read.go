package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// read reads all resources of the plan, and compares them with the newest snapshot.
// The first error ends the reads of all scopes.
func (p *Plan) read(ctx context.Context, r *Reconciler) error {
	scopes := p.scopes(r)
	g, limited := errgroup.WithContext(ctx)
	for _, c := range scopes {
		g.Go(func() (err error) {
			defer recoverPanic(&err)
			defer c.end()
			for _, rp := range c.resources {
				if rp.parent != nil {
					continue // it is read with its parents
				}
				if err := c.allow(limited, rp, c.resource(limited, rp)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := p.checkAvailable(); err != nil {
		return err
	}
	for _, c := range scopes {
		if rp := c.resources[0]; rp == p.available(snapshot.Groups) {
			if err := c.control(ctx, rp); err != nil {
				return err
			}
		}
	}
	return p.sum()
}

func (p *Plan) scopes(r *Reconciler) (all []*scopeRead) {
	scope := ""
	for _, rp := range p.Resources {
		if rp.Declared.Scope != scope {
			scope = rp.Declared.Scope
			all = append(all, &scopeRead{step: p.progress.begin(), r: r, plan: p})
		}
		rp.prepare(r)
		c := all[len(all)-1]
		c.resources = append(c.resources, rp)
	}
	return all
}

// prepare creates what the read of a resource fills.
func (rp *ResourcePlan) prepare(r *Reconciler) {
	rp.records = newSpool(r.tempFile, rp.Declared)
	switch {
	case rp.parent != nil && rp.parent.index == nil:
		// each list is one response, so that no later list replaces it
	case rp.parent != nil:
		rp.lists.newest = make(map[string]string)
		rp.records.counts = rp.countsEdge
	case rp.Declared.Resource == snapshot.Users:
		rp.records.counts = rp.countsUser
	case len(rp.children) > 0 || rp.Declared.Relist:
		rp.index = &index{records: make(map[string]indexed)}
		rp.records.counts = rp.countsObject
	}
}

// countsEdge reports whether a copy of an edge is from the newest list of a parent that
// exists. Its updated is the number of the list.
func (rp *ResourcePlan) countsEdge(key, updated []byte) bool {
	parent, _, _ := bytes.Cut(key, zero)
	number, ok := rp.lists.newest[string(parent)]
	return ok && number == string(updated) && !rp.parent.index.records[string(parent)].deleted
}

// countsObject reports whether a record exists.
func (rp *ResourcePlan) countsObject(id, _ []byte) bool { return !rp.index.records[string(id)].deleted }

// countsUser reports whether Okta didn't answer that the user doesn't exist.
func (rp *ResourcePlan) countsUser(id, _ []byte) bool {
	return rp.rules.Proofs[string(id)].HTTPStatus != http.StatusNotFound
}

// sum sets the read of the plan from the reads of its resources. The first resource that
// is available decides about the clock, so that all times come from one estimate.
func (p *Plan) sum() error {
	p.Read = oktaclient.ReadResult{Settled: true}
	first := true
	for _, rp := range p.Resources {
		read := rp.read
		if read.Started.IsZero() {
			continue // there are no parents
		}
		if rp.Unavailable == nil {
			if first {
				p.Read.ClockOffset, first = read.ClockOffset, false
			}
			p.Read.Settled = p.Read.Settled && read.Settled
		}
		if p.Read.Started.IsZero() || read.Started.Before(p.Read.Started) {
			p.Read.Started = read.Started
		}
		if err := addRequests(&p.Read, read); err != nil {
			return err
		}
	}
	return nil
}

// resource reads a resource with its children, compares them with the newest
// snapshot, and proves what was removed.
func (c *scopeRead) resource(ctx context.Context, rp *ResourcePlan) error {
	name := rp.Declared.Resource.Name
	if err := c.list(ctx, rp); err != nil {
		return fmt.Errorf("read %s: %w", name, cause(ctx, err))
	}
	if err := c.compare(ctx, rp); err != nil {
		return err
	}
	if err := c.proveRemovals(ctx, rp); err != nil {
		return fmt.Errorf("read missing %s: %w", name, cause(ctx, err))
	}
	if rp.index != nil {
		ids, err := c.carry(rp, rp.index.changedIDs())
		if err != nil {
			return err
		}
		if err := c.readChildren(ctx, rp, ids, PhaseReading); err != nil {
			return err
		}
		if err := c.settle(ctx, rp); err != nil {
			return err
		}
	} else if err := c.readChildrenOfAll(ctx, rp); err != nil {
		return err
	}
	for _, each := range append([]*ResourcePlan{rp}, rp.children...) {
		if each.Unavailable != nil {
			continue
		}
		if err := c.compare(ctx, each); err != nil {
			return err
		}
	}
	return nil
}

func (c *scopeRead) list(ctx context.Context, rp *ResourcePlan) error {
	query := c.query(rp)
	if rp.Base == snapshot.BasePrevious && rp.Declared.Read.Strategy == oktaclient.Spans {
		borders, err := bordersOf(rp.previous, rp.Declared.Resource, query.Resource.PageSize)
		if err != nil {
			return err
		}
		if query.Borders = borders; len(borders) > 0 {
			query.KnownBefore = borders[len(borders)-1]
		}
	}
	c.enter(PhaseReading, rp.Declared.Resource, 0, rp.expected())
	return c.readInto(ctx, rp, query)
}

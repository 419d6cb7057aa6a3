package reconcile

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// chain is the resources of one scope, parents before their children. They share
// Okta's rate limits, so they are read one after another, and chains at the same
// time.
type chain struct {
	*step
	r         *Reconciler
	plan      *Plan
	resources []*ResourcePlan
}

// read reads all resources of the plan, and compares them with the newest snapshot.
// The first error ends all chains.
func (p *Plan) read(ctx context.Context, r *Reconciler) error {
	chains := p.chains(r)
	g, limited := errgroup.WithContext(ctx)
	for _, c := range chains {
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
	for _, c := range chains {
		if rp := c.resources[0]; rp == p.available(snapshot.Groups) {
			if err := c.control(ctx, rp); err != nil {
				return err
			}
		}
	}
	return p.sum()
}

func (p *Plan) chains(r *Reconciler) (all []*chain) {
	scope := ""
	for _, rp := range p.Resources {
		if rp.Declared.Scope != scope {
			scope = rp.Declared.Scope
			all = append(all, &chain{step: p.progress.begin(), r: r, plan: p})
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

// addRequests adds the requests of a read to sum.
func addRequests(sum *oktaclient.ReadResult, read oktaclient.ReadResult) error {
	if read.Finished.After(sum.Finished) {
		sum.Finished = read.Finished
	}
	sum.Requests += read.Requests
	sum.Rows += read.Rows
	for _, c := range read.Certificates {
		if err := sum.Certificates.Add(c.Chain, c.Requests); err != nil {
			return err
		}
	}
	return nil
}

// resource reads a resource with its children, compares them with the newest
// snapshot, and proves what was removed.
func (c *chain) resource(ctx context.Context, rp *ResourcePlan) error {
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
		if err := c.readChildren(ctx, rp, rp.index.changedIDs(), PhaseReading); err != nil {
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

// list reads the list of a resource.
func (c *chain) list(ctx context.Context, rp *ResourcePlan) error {
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
	c.enter(PhaseReading, rp, 0, rp.expected())
	return c.readInto(ctx, rp, query)
}

// expected returns the number of records in the newest snapshot; 0: unknown.
func (rp *ResourcePlan) expected() int {
	if rp.Base != snapshot.BasePrevious {
		return 0
	}
	return rp.previous.Manifest.Resources[rp.Declared.Resource.Name].Total
}

func (c *chain) query(rp *ResourcePlan) oktaclient.Query {
	q := oktaclient.Query{
		Resource: rp.Declared.Read,
		OnPhase: func(phase oktaclient.Phase) {
			if phase == oktaclient.PhaseSettle {
				c.enter(PhaseSettling, rp, c.Records, 0)
			}
		},
	}
	if n := rp.Declared.Narrowing; n != nil {
		q.IncludeDeprovisioned, q.Search = n.IncludeDeprovisioned, n.Search
	}
	return q
}

// sink passes a read to a plan. It is an oktaclient.ParentSink.
type sink struct {
	*chain
	resource *ResourcePlan
}

func (s sink) Record(r oktaclient.Record) error {
	s.record()
	rp := s.resource
	rp.compared = false
	if rp.lists.newest != nil {
		r.LastUpdated = rp.lists.newest[r.Parent]
	}
	if err := rp.records.add(r); err != nil || rp.index == nil {
		return err
	}
	stamp, err := rp.stamp(r)
	if err != nil {
		return err
	}
	return rp.index.observe(r, stamp)
}

func (s sink) Outside(r oktaclient.Record) error {
	s.resource.compared = false
	return s.resource.records.addOutside(r)
}

func (s sink) Request(r oktaclient.Request) error {
	request := requestOf(r)
	if id, proof, ok := request.Proof(); ok {
		s.resource.rules.Proofs[id] = proof
	}
	s.request(r)
	return s.plan.requests.add(r, s.r.tempFile)
}

func (s sink) Begin(parent string) error {
	s.resource.lists.begin(parent)
	return nil
}

func (s sink) End(parent string, exists bool) error {
	if !exists {
		s.resource.lists.missing = append(s.resource.lists.missing, parent)
	}
	return nil
}

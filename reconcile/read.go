package reconcile

import (
	"context"
	"errors"
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
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range p.chains(r) {
		g.Go(func() (err error) {
			defer recoverPanic(&err)
			defer c.end()
			for _, rp := range c.resources {
				if err := c.resource(ctx, rp); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
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
		c := all[len(all)-1]
		c.resources = append(c.resources, rp)
	}
	return all
}

// sum sets the read of the plan from the reads of its resources. The first resource
// decides about the clock, so that all times come from one estimate.
func (p *Plan) sum() error {
	p.Read = oktaclient.ReadResult{Settled: true}
	for i, rp := range p.Resources {
		read := rp.read
		if i == 0 {
			p.Read.Started, p.Read.ClockOffset = read.Started, read.ClockOffset
		}
		if read.Started.Before(p.Read.Started) {
			p.Read.Started = read.Started
		}
		p.Read.Settled = p.Read.Settled && read.Settled
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

// resource reads one resource, compares it with the newest snapshot, and proves what
// was removed.
func (c *chain) resource(ctx context.Context, rp *ResourcePlan) error {
	name := rp.Declared.Resource.Name
	if err := c.read(ctx, rp); err != nil {
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
			err = cause
		}
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := c.compare(ctx, rp); err != nil {
		return fmt.Errorf("compare %s with newest snapshot: %w", name, err)
	}
	if err := c.proveRemovals(ctx, rp); err != nil {
		return fmt.Errorf("read missing %s: %w", name, err)
	}
	return nil
}

// read spools every record of a resource.
func (c *chain) read(ctx context.Context, rp *ResourcePlan) error {
	d := rp.Declared
	rp.records = newSpool(c.r.tempFile, d.Attributes.Projector(d.Resource.Always()).Project, runSize(d))
	query, expected := c.query(rp), 0
	if rp.Base == snapshot.BasePrevious {
		expected = rp.previous.Manifest.Resources[d.Resource.Name].Total
		if d.Read.Strategy == oktaclient.Spans {
			borders, err := bordersOf(rp.previous, d.Resource, query.Resource.PageSize)
			if err != nil {
				return err
			}
			if query.Borders = borders; len(borders) > 0 {
				query.KnownBefore = borders[len(borders)-1]
			}
		}
	}
	c.enter(PhaseReading, rp, 0, expected)
	result, err := c.r.cfg.Source.Read(ctx, query, sink{c, rp})
	if err != nil && result.Rows > 0 {
		return fmt.Errorf("%w, after %s in %d requests", err, d.Resource.Plural(result.Rows), result.Requests)
	}
	if err != nil {
		return err
	}
	rp.read = result
	return rp.records.finish()
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

// sink passes a read to a plan.
type sink struct {
	*chain
	resource *ResourcePlan
}

func (s sink) Record(r oktaclient.Record) error {
	s.record()
	return s.resource.records.add(r)
}

func (s sink) Outside(r oktaclient.Record) error { return s.resource.records.addOutside(r) }

func (s sink) Request(r oktaclient.Request) error {
	if s.Phase == PhaseProving {
		request := requestOf(r)
		if id, proof, ok := request.Proof(); ok {
			s.resource.rules.Proofs[id] = proof
		}
	}
	s.request()
	return s.plan.requests.add(r, s.r.tempFile)
}

package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// A scopeRead reads the resources of one scope, parents before their children. They share
// Okta's rate limits, so they are read one after another. Scopes are read at the same
// time.
type scopeRead struct {
	*step
	r         *Reconciler
	plan      *Plan
	resources []*ResourcePlan
}

func (c *scopeRead) query(rp *ResourcePlan) oktaclient.Query {
	q := oktaclient.Query{
		Resource: rp.Declared.Read,
		OnPhase: func(phase oktaclient.Phase) {
			if phase == oktaclient.PhaseSettle {
				c.enter(PhaseSettling, rp.Declared.Resource, c.Records, 0)
			}
		},
	}
	if n := rp.Declared.Narrowing; n != nil {
		q.IncludeDeprovisioned, q.Search = n.IncludeDeprovisioned, n.Search
	}
	return q
}

// readInto reads query into the spool of a resource.
func (c *scopeRead) readInto(ctx context.Context, rp *ResourcePlan, query oktaclient.Query) error {
	result, err := c.r.cfg.Source.Read(ctx, query, sink{c, rp})
	if err != nil && result.Rows > 0 {
		err = fmt.Errorf("%w, after %s in %d requests", err, rp.Declared.Resource.Plural(result.Rows), result.Requests)
	}
	if rp.read.Started.IsZero() {
		rp.read = result
	} else {
		rp.read.Settled = rp.read.Settled && result.Settled
		err = cmp.Or(err, addRequests(&rp.read, result))
	}
	return cmp.Or(err, rp.records.finish())
}

const findAtOnce = 1000 // missing records that are requested together, to bound memory

// find reads the records with these ids, as a part of the read. With an override,
// the app's role can be limited to a part of the org.
func (c *scopeRead) find(ctx context.Context, rp *ResourcePlan, ids []string) error {
	query := c.query(rp)
	query.SkipForbidden = c.plan.override
	found, err := c.r.cfg.Source.Find(ctx, query, ids, sink{c, rp})
	return errors.Join(err, addRequests(&rp.read, found))
}

// sink passes a read to a plan. It is an oktaclient.ParentSink.
type sink struct {
	*scopeRead
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
	stamp, kind, err := rp.stamp(r)
	if err != nil {
		return err
	}
	return rp.index.observe(r, stamp, kind)
}

func (s sink) Outside(r oktaclient.Record) error {
	s.resource.compared = false
	return s.resource.records.addOutside(r)
}

func (s sink) Request(r oktaclient.Request) error {
	request := requestOf(r)
	if id, proof, ok := request.Proof(); ok && request.Resource == s.resource.Declared.Resource.ProvedBy().Name {
		s.resource.rules.Proofs[id] = proof
	}
	s.request(r)
	return s.plan.requests.add(r, s.r.tempFile)
}

func (s sink) Begin(parent string) error {
	s.resource.compared = false
	s.resource.lists.begin(parent)
	return nil
}

func (s sink) End(parent string, exists bool) error {
	if !exists {
		s.resource.lists.missing = append(s.resource.lists.missing, parent)
	}
	return nil
}

// stamp returns a text that differs after a change of r. The members of a group have a
// stamp of their own; no stamp shows a change of the users and groups of an app. kind is
// that of a group, see indexed.
func (rp *ResourcePlan) stamp(r oktaclient.Record) (stamp, kind string, err error) {
	if rp.Declared.Resource != snapshot.Groups {
		return r.LastUpdated + " " + r.Status, "", nil
	}
	if kind, err = kindOf(rp.records.canonical); err != nil {
		return "", "", err
	}
	stamp, err = canonjson.Text(rp.records.canonical, "lastMembershipUpdated")
	return stamp, kind, err
}

// The types of groups whose members can be carried. Members of an APP_GROUP come from an
// import, which may not change lastMembershipUpdated. Groups of other types are always
// read: the stamp of Everyone shows who joined, and may not show who was deleted.
const (
	oktaGroup = "OKTA_GROUP"
	appGroup  = "APP_GROUP"
)

// kindOf returns the type of a group in canonical form, for indexed.kind.
func kindOf(group []byte) (string, error) {
	kind, err := canonjson.Text(group, "type")
	switch kind {
	case oktaGroup:
		return oktaGroup, err // the constant, so that the index has no copies
	case appGroup:
		return appGroup, err
	}
	return "", err
}

// stampAt returns a time relative to the start of the read, in the form of Okta's
// stamps.
func (rp *ResourcePlan) stampAt(relative time.Duration) string {
	return snapshot.At(rp.read.OktaTime(rp.read.Started).Add(relative)).String()
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

// cause returns the cause of the end of ctx if err is that end.
func cause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		return cause
	}
	return err
}

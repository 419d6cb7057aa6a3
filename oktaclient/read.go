package oktaclient

import (
	"context"
	"slices"
)

// Read passes all records that q selects to sink, and then the records that
// changed during the read. The result is also valid with an error. It then
// describes the read up to the error.
func (c *Client) Read(ctx context.Context, q Query, sink Sink) (ReadResult, error) {
	r, err := c.newRead(q, sink)
	if err != nil {
		return ReadResult{}, err
	}
	r.enter(PhaseList)
	if q.Resource.Strategy == Roles {
		r.Settled, err = r.listRoles(ctx)
		return r.result(), err
	}
	switch err = r.list(ctx); {
	case err != nil:
	case r.settles():
		err = r.settle(ctx)
	default:
		r.Settled = true
	}
	return r.result(), err
}

// list reads all records that the query selects.
func (r *read) list(ctx context.Context) error {
	if r.query.Resource.Strategy == PerParent {
		return r.listParents(ctx)
	}
	if !r.settles() {
		return r.listWhole(ctx, listing{filter: r.query.Filter})
	}
	l := r.everything()
	selected := l[len(l)-1]
	if r.query.Resource.Strategy == Spans && r.c.cfg.Concurrency > 1 {
		// The newest span comes first, because it has no upper border and can
		// be long.
		spans := always.cut(r.query.Borders)
		slices.Reverse(spans)
		return r.spanReader(selected, spans, r.c.cfg.Concurrency).read(ctx)
	}
	lists := []listing{selected}
	if omitted := r.query.Resource.omitted; omitted != "" && r.query.IncludeDeprovisioned && r.query.Search == "" {
		lists = append(lists, listing{filter: `status eq "` + omitted + `"`})
	}
	for _, l := range lists {
		_, err := (&list{r: r, listing: l}).read(ctx)
		if pageFailed(err) {
			r.c.log.WarnContext(ctx, "page failed, records will be read in parts", "err", err)
			p := r.spanReader(selected, nil, r.c.cfg.Concurrency)
			if p.waiting, err = p.halve(always, err); err != nil {
				return err
			}
			return p.read(ctx)
		}
		if err != nil {
			return err
		}
	}
	if !r.changes.several {
		return nil
	}
	// The plain list is current, unlike the index. If a record leaves the list just
	// before its last page, the index may not show the change yet.
	return sleep(ctx, r.c.cfg.IndexLag)
}

package reconcile

import (
	"context"
	"io"

	"oktasync/reconcile/snapshot"
)

// draft returns the snapshot that the plan would publish.
func (p *Plan) draft(ctx context.Context, cfg Config, run snapshot.Run) (snapshot.Draft, error) {
	requests, err := p.requests.lines(p.Read.OktaTime)
	if err != nil {
		return snapshot.Draft{}, err
	}
	org := cfg.Org
	org.TLS = tlsOf(p.Read.Certificates)
	d := snapshot.Draft{
		Started: p.Read.OktaTime(p.Read.Started), Finished: p.Read.OktaTime(p.Read.Finished), ClockOffset: -p.Read.ClockOffset,
		Org: org, Client: cfg.Client, Run: run, Tool: cfg.Tool,
		Declared: p.Export.Declaration(), Settled: p.Read.Settled, Control: p.Control, Requests: requests, Base: p.Previous,
	}
	step := p.progress.begin()
	step.enter(PhasePublishing, nil, 0, p.total())
	for _, rp := range p.Resources {
		if u := rp.Unavailable; u != nil {
			d.Resources = append(d.Resources, snapshot.ResourceDraft{Resource: rp.Declared.Resource, Unavailable: u.Reason, Rows: rp.Outside, Outside: rp.Outside})
			continue
		}
		_, records, err := rp.reader()
		if err != nil {
			return d, err
		}
		rp.carrying = records
		draft := snapshot.ResourceDraft{
			Resource: rp.Declared.Resource, ByStatus: rp.ByStatus, Counts: rp.Counts, Base: rp.Base,
			Records: observed{ctx, records, step}, Rows: rp.read.Rows, Duplicates: rp.Duplicates, Outside: rp.Outside + rp.counts,
			ContentSHA256: rp.contentSHA256,
		}
		if rp.Declared.Incremental() {
			draft.Stamp = func(group string) string { return rp.parent.index.records[group].stamp }
		}
		if rp.changes != nil {
			if _, err := rp.changes.Seek(0, io.SeekStart); err != nil {
				return d, err
			}
			draft.Changes, draft.ChangesSHA256 = rp.changes, rp.changesSHA256
		}
		d.Resources = append(d.Resources, draft)
	}
	return d, nil
}

// total returns the number of records of all resources.
func (p *Plan) total() int {
	total := 0
	for _, rp := range p.Resources {
		total += rp.Counts.Total
	}
	return total
}

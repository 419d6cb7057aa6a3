package reconcile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// Plan is what a reconcile would change in the store, and the read on which it is
// based. It keeps counts in memory and records in unnamed temporary files, which
// Close removes.
type Plan struct {
	Export             Export
	Previous           *snapshot.Snapshot // the newest snapshot; nil before the first
	Resources          []*ResourcePlan    // in the order in which they were read
	Read               oktaclient.ReadResult
	DeclarationChanged bool     // since the newest snapshot
	Missing            []string // files that the newest snapshot should have and the store lacks
	Stopped            []string // why the guard stops the read; empty: it doesn't

	override bool // the read is published even if the guard stops it
	requests transcript
	progress progress
}

// ResourcePlan is the part of a plan for one resource.
type ResourcePlan struct {
	Declared   Declared
	Base       string // of the comparison: snapshot.BaseNone, BasePrevious or BaseReset
	Counts     diff.Counts
	ByStatus   map[string]int // nil if the resource has no status
	Rows       int            // records in all responses
	Duplicates int            // further copies of records
	Outside    int            // records that the declaration doesn't select

	previous *snapshot.Snapshot
	rules    diff.Rules
	records  *spool
	changes  *os.File // lines of a changes file

	contentSHA256, changesSHA256 string // of records and changes, as they were compared
}

// Plan reads the org and compares it with the newest snapshot. It writes only
// unnamed temporary files, and needs no lock. A read that takes longer than the
// export's timeout is an error.
func (r *Reconciler) Plan(ctx context.Context, export Export) (*Plan, error) {
	previous, err := r.latest(export.Name)
	if err != nil {
		return nil, fmt.Errorf("open newest snapshot: %w", err)
	}
	return r.plan(ctx, export, previous, false)
}

// plan is Plan with the newest snapshot, or nil if there is none. With override, it
// also proves removals if the guard stops the read.
func (r *Reconciler) plan(ctx context.Context, export Export, previous *snapshot.Snapshot, override bool) (plan *Plan, err error) {
	if export.Timeout > 0 {
		var cancel context.CancelFunc
		cause := fmt.Errorf("the read took longer than the export's timeout of %s", export.Timeout)
		ctx, cancel = context.WithTimeoutCause(ctx, export.Timeout, cause)
		defer cancel()
	}
	p := &Plan{Export: export, override: override, requests: transcript{began: time.Now()}, progress: progress{Progress{Export: export.Name}, r.cfg.Progress}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	p.open(previous)
	for _, rp := range p.Resources {
		if err := p.planResource(ctx, r, rp); err != nil {
			return nil, err
		}
		p.Stopped = append(p.Stopped, rp.stops()...)
	}
	return p, nil
}

// open decides how each resource is compared with the newest snapshot.
func (p *Plan) open(previous *snapshot.Snapshot) {
	p.Previous = previous
	declaration := p.Export.Declaration()
	if previous != nil {
		p.DeclarationChanged = !previous.Manifest.Declared.Equal(declaration)
		p.Missing = missing(previous)
	}
	for _, declared := range p.Export.Resources() {
		rp := &ResourcePlan{Declared: declared, previous: previous}
		rp.rules, rp.Base = snapshot.RulesAfter(declared.Resource, previous, declaration)
		p.Resources = append(p.Resources, rp)
	}
}

// planResource reads one resource, compares it with the newest snapshot, and
// proves what was removed.
func (p *Plan) planResource(ctx context.Context, r *Reconciler, rp *ResourcePlan) error {
	name := rp.Declared.Resource.Name
	if err := p.read(ctx, r, rp); err != nil {
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
			err = cause
		}
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := p.compare(ctx, r, rp); err != nil {
		return fmt.Errorf("compare %s with newest snapshot: %w", name, err)
	}
	if err := p.proveRemovals(ctx, r, rp); err != nil {
		return fmt.Errorf("read missing %s: %w", name, err)
	}
	return nil
}

func (r *Reconciler) latest(export string) (*snapshot.Snapshot, error) {
	if r.cfg.Store == nil {
		return nil, nil
	}
	latest, err := r.cfg.Store.Latest(export)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return nil, nil
	}
	return latest, err
}

func (r *Reconciler) tempFile() (*os.File, error) {
	if r.cfg.Store == nil {
		return snapshot.TempFile(r.cfg.Spool)
	}
	return r.cfg.Store.TempFile()
}

// read spools every record of a resource.
func (p *Plan) read(ctx context.Context, r *Reconciler, rp *ResourcePlan) error {
	d := rp.Declared
	rp.records = newSpool(r.tempFile, d.Attributes.Projector(d.Resource.Always()).Project)
	query, expected := rp.query(p), 0
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
	p.progress.enter(PhaseReading, rp, 0, expected)
	result, err := r.cfg.Source.Read(ctx, query, sink{p, rp, r.tempFile})
	if err != nil && result.Rows > 0 {
		return fmt.Errorf("%w, after %s in %d requests", err, d.Resource.Plural(result.Rows), result.Requests)
	}
	if err != nil {
		return err
	}
	rp.Rows = result.Rows
	return errors.Join(p.addRead(result), rp.records.finish())
}

// addRead adds the read of a resource to the read of the plan. The first resource
// decides about the clock, so that all times come from one estimate.
func (p *Plan) addRead(result oktaclient.ReadResult) error {
	if p.Read.Started.IsZero() {
		p.Read = result
		return nil
	}
	p.Read.Settled = p.Read.Settled && result.Settled
	return p.addRequests(result)
}

// addRequests adds the requests of another read to the read of the plan.
func (p *Plan) addRequests(result oktaclient.ReadResult) error {
	p.Read.Finished = result.Finished
	p.Read.Requests += result.Requests
	p.Read.Rows += result.Rows
	for _, c := range result.Certificates {
		if err := p.Read.Certificates.Add(c.Chain, c.Requests); err != nil {
			return err
		}
	}
	return nil
}

func (rp *ResourcePlan) query(p *Plan) oktaclient.Query {
	q := oktaclient.Query{
		Resource: rp.Declared.Read,
		OnPhase: func(phase oktaclient.Phase) {
			if phase == oktaclient.PhaseSettle {
				p.progress.enter(PhaseSettling, rp, p.progress.Records, 0)
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
	plan     *Plan
	resource *ResourcePlan
	temp     func() (*os.File, error)
}

func (s sink) Record(r oktaclient.Record) error {
	s.plan.progress.record()
	return s.resource.records.add(r)
}

func (s sink) Outside(r oktaclient.Record) error { return s.resource.records.addOutside(r) }

func (s sink) Request(r oktaclient.Request) error {
	if s.plan.progress.Phase == PhaseProving {
		request := requestOf(r)
		if id, proof, ok := request.Proof(); ok {
			s.resource.rules.Proofs[id] = proof
		}
	}
	s.plan.progress.request()
	return s.plan.requests.add(r, s.temp)
}

// compare merges the spooled records with the newest snapshot. Counts stay in
// memory, and changes go to a temporary file.
func (p *Plan) compare(ctx context.Context, r *Reconciler, rp *ResourcePlan) error {
	records, err := rp.records.merge()
	if err != nil {
		return err
	}
	p.progress.enter(PhaseComparing, rp, 0, int(rp.records.records))
	after := &counting{merge: records, content: snapshot.NewDigest()}
	if rp.Declared.Resource.Status != "" {
		after.byStatus = make(map[string]int)
	}
	if rp.Base == snapshot.BasePrevious {
		err = rp.diff(r, observed{ctx, after, &p.progress})
	} else {
		err = drain(observed{ctx, after, &p.progress})
	}
	if err != nil {
		return err
	}
	rp.ByStatus, rp.Counts.Total = after.byStatus, after.total
	rp.Duplicates, rp.Outside = records.duplicates, records.outside
	rp.contentSHA256 = after.content.String()
	return nil
}

func (rp *ResourcePlan) diff(r *Reconciler, after diff.Reader) error {
	before, err := rp.previous.Records(rp.Declared.Resource)
	if err != nil {
		return err
	}
	defer before.Close()
	if err := rp.closeChanges(); err != nil { // of the first comparison, if this is the second
		return err
	}
	if rp.changes, err = r.tempFile(); err != nil {
		return fmt.Errorf("create temporary file: %w", err)
	}
	sum := snapshot.NewDigest()
	w := bufio.NewWriter(io.MultiWriter(rp.changes, sum))
	var line []byte
	rp.Counts, err = diff.Diff(before, after, rp.rules, func(c *diff.Change) error {
		if line, err = c.Line(line[:0]); err != nil {
			return err
		}
		_, err := w.Write(line)
		return err
	})
	err = errors.Join(err, w.Flush())
	rp.changesSHA256 = sum.String()
	return err
}

// missing returns the files that the manifest of s lists and its folder lacks. It
// doesn't check their content.
func missing(s *snapshot.Snapshot) []string {
	var names []string
	if s.Erased() {
		return nil
	}
	for _, f := range s.Manifest.Files {
		if _, err := os.Lstat(filepath.Join(s.Dir(), f.Name)); errors.Is(err, os.ErrNotExist) {
			names = append(names, f.Name)
		}
	}
	if target, err := os.Readlink(filepath.Join(filepath.Dir(s.Dir()), "latest")); err != nil || target != s.Name() {
		names = append(names, "latest")
	}
	return names
}

// Changed reports whether apply has something to record: the first snapshot,
// changed records, a changed declaration, or a file that the store lacks.
func (p *Plan) Changed() bool {
	changed := p.Previous == nil || p.DeclarationChanged || len(p.Missing) > 0
	for _, rp := range p.Resources {
		changed = changed || rp.Counts.Added+rp.Counts.Changed+rp.Counts.Removed > 0
	}
	return changed
}

// Changes calls visit for each change since the newest snapshot, by resource and
// in the order of keys. The change is valid only during the call.
func (p *Plan) Changes(visit func(*snapshot.Resource, *diff.Change) error) error {
	for _, rp := range p.Resources {
		err := rp.eachChange(func(c *diff.Change) error { return visit(rp.Declared.Resource, c) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (rp *ResourcePlan) eachChange(visit func(*diff.Change) error) error {
	if rp.changes == nil {
		return nil
	}
	if _, err := rp.changes.Seek(0, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewReader(rp.changes)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read temporary file: %w", err)
		}
		c, err := diff.ParseChange(line)
		if err != nil {
			return err
		}
		if err := visit(c); err != nil {
			return err
		}
	}
}

// Requests returns the number of requests of the read, including those for tokens.
func (p *Plan) Requests() int { return p.requests.requests }

// Close removes the temporary files. It may be called twice.
func (p *Plan) Close() error {
	err := p.requests.close()
	for _, rp := range p.Resources {
		if rp.records != nil {
			err = errors.Join(err, rp.records.close())
		}
		err = errors.Join(err, rp.closeChanges())
	}
	return err
}

func (rp *ResourcePlan) closeChanges() error {
	if rp.changes == nil {
		return nil
	}
	err := rp.changes.Close()
	rp.changes = nil
	return err
}

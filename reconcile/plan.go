package reconcile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
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

	Control *snapshot.Control // Okta's counts of members, compared with the read; nil: not compared

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
	Duplicates int            // further copies of records
	Outside    int            // rows that are no part of the records: not declared, of an older list, deleted during the read, or read only for control totals

	// Unavailable says why the resource, which is optional, could not be read; nil: it
	// was. Then there are no records, and the counts are 0 apart from Outside.
	Unavailable *UnavailableError

	previous *snapshot.Snapshot // with which the records are compared; nil: none
	read     oktaclient.ReadResult
	rules    diff.Rules
	records  *spool
	compared bool       // with the newest snapshot, and no record was read since then
	changes  *os.File   // lines of a changes file
	losses   edgeLosses // of an edge resource, for the guard

	parent   *ResourcePlan   // of an edge resource
	children []*ResourcePlan // the edge resources whose parents these records are
	index    *index          // of the records, if they are read more than once; otherwise nil
	lists    lists           // of an edge resource
	byParent map[string]int  // number of members by group

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
	p := &Plan{Export: export, override: override, requests: transcript{began: time.Now()}, progress: progress{export: export.Name, report: r.cfg.Progress}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := p.open(r, previous); err != nil {
		return nil, err
	}
	p.progress.expect = p.expectedBuckets()
	if err := p.read(ctx, r); err != nil {
		return nil, err
	}
	for _, rp := range p.Resources {
		if rp.Unavailable == nil {
			p.Stopped = append(p.Stopped, rp.stops()...)
		}
	}
	return p, nil
}

// open decides how each resource is compared with the newest snapshot, or with the last
// one in which it was available.
func (p *Plan) open(r *Reconciler, previous *snapshot.Snapshot) (err error) {
	p.Previous = previous
	declaration := p.Export.Declaration()
	if previous != nil {
		p.DeclarationChanged = !previous.Manifest.Declared.Equal(declaration)
		p.Missing = missing(previous)
	}
	for _, declared := range p.Export.Resources() {
		rp := &ResourcePlan{Declared: declared}
		if previous != nil {
			if rp.previous, err = r.cfg.Store.BaseOf(previous, declared.Resource); err != nil {
				return fmt.Errorf("open the last snapshot with %s: %w", declared.Resource.Name, err)
			}
		}
		rp.rules, rp.Base = snapshot.RulesAfter(declared.Resource, rp.previous, declaration)
		rp.rules.Proofs = make(diff.Proofs)
		for _, parent := range p.Resources {
			if parent.Declared.Resource == declared.Resource.Parent {
				rp.parent, rp.rules.Proofs = parent, parent.rules.Proofs
				parent.children = append(parent.children, rp)
			}
		}
		p.Resources = append(p.Resources, rp)
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
// changed records, a resource that is available again or no longer, a changed
// declaration, or a file that the store lacks.
func (p *Plan) Changed() bool {
	changed := p.Previous == nil || p.DeclarationChanged || len(p.Missing) > 0
	for _, rp := range p.Resources {
		changed = changed || rp.Counts.Added+rp.Counts.Changed+rp.Counts.Removed > 0 ||
			(rp.Unavailable == nil) != p.Previous.Manifest.Resources[rp.Declared.Resource.Name].IsAvailable()
	}
	return changed
}

// Recorded returns the resources that are available.
func (p *Plan) Recorded() (all []*snapshot.Resource) {
	for _, rp := range p.Resources {
		if rp.Unavailable == nil {
			all = append(all, rp.Declared.Resource)
		}
	}
	return all
}

// Records returns a reader over the records of a resource that were read.
func (p *Plan) Records(r *snapshot.Resource) (diff.Reader, error) {
	rp := p.available(r)
	if rp == nil {
		return nil, fmt.Errorf("%s were not read", r.Name)
	}
	return rp.records.merge()
}

// available returns the plan for a resource, or nil if it isn't declared or available.
func (p *Plan) available(r *snapshot.Resource) *ResourcePlan {
	for _, rp := range p.Resources {
		if rp.Declared.Resource == r && rp.Unavailable == nil {
			return rp
		}
	}
	return nil
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

// Buckets returns the number of API requests of the read, by rate-limit bucket.
func (p *Plan) Buckets() map[string]int { return maps.Clone(p.progress.buckets) }

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

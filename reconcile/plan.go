package reconcile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

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
	Carried    int            // records of unchanged groups, which are those of the newest snapshot
	Outside    int            // rows that are no part of the records: not declared, of an older list, or deleted during the read

	// Unavailable is the reason why an optional resource could not be read; nil: it was
	// read. If it is set, there are no records, and the counts are 0 apart from Outside.
	Unavailable *UnavailableError

	previous *snapshot.Snapshot // with which the records are compared; nil: none
	read     oktaclient.ReadResult
	rules    diff.Rules
	records  *spool
	compared bool       // with the newest snapshot, and no record was read since then
	changes  *os.File   // lines of a changes file
	losses   edgeLosses // of an edge resource, for the guard
	counts   int        // rows that were read only for Okta's counts

	parent   *ResourcePlan   // of an edge resource
	children []*ResourcePlan // the edge resources whose parents these records are
	index    *index          // of the records, if they are read more than once; otherwise nil
	lists    lists           // of an edge resource
	byParent map[string]int  // number of members by group
	carries  bool            // some groups were not read
	renewed  bool            // lists were read because their last read was long ago
	carrying diff.Reader     // the records for the draft, if some are carried; Close closes it

	contentSHA256, changesSHA256 string // of records and changes, as they were compared
}

// edgeLosses are the removals of an edge resource that the guard limits. Okta itself
// removes the users of an inactive app, so these don't count.
type edgeLosses struct {
	before, removed int
	groups          []string // reasons: groups that lost half of their members, and more than maxGroupLoss
	more            int      // such groups that groups doesn't name
}

// An UnavailableError is the error of a [Source] if the app can't read a resource,
// because a scope, a role, a license or a feature is missing. Other resources may be
// readable.
type UnavailableError struct {
	Resource string // name
	Reason   string // a clause, for the manifest
	Err      error
}

func (e *UnavailableError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Previous returns the snapshot with which the records are compared, unless Base is
// BaseReset; nil: none.
func (rp *ResourcePlan) Previous() *snapshot.Snapshot { return rp.previous }

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
	target, err := os.Readlink(filepath.Join(filepath.Dir(s.Dir()), snapshot.LatestLink))
	isFolder := errors.Is(err, syscall.EINVAL) // as in a copy without links
	if !isFolder && (err != nil || target != s.Name()) {
		names = append(names, snapshot.LatestLink)
	}
	return names
}

// Changed reports whether apply has something to record: a first snapshot, a snapshot
// after the newest was erased, changed records, a resource that became available or
// unavailable, a changed declaration, or a file that the store lacks.
func (p *Plan) Changed() bool {
	changed := p.Previous == nil || p.Previous.Erased() || p.DeclarationChanged || len(p.Missing) > 0
	for _, rp := range p.Resources {
		changed = changed || rp.Counts.Added+rp.Counts.Changed+rp.Counts.Removed > 0 ||
			(rp.Unavailable == nil) != p.Previous.Manifest.Resources[rp.Declared.Resource.Name].IsAvailable()
	}
	return changed
}

// Renewed reports whether lists were read again because their last read was long ago. A
// snapshot records that.
func (p *Plan) Renewed() bool {
	return slices.ContainsFunc(p.Resources, func(rp *ResourcePlan) bool { return rp.renewed })
}

// SavedRequests returns the number of requests for the lists of carried groups.
func (p *Plan) SavedRequests() int {
	saved := 0
	for _, rp := range p.Resources {
		for group := range rp.lists.newest {
			if rp.lists.isCarried(group) {
				saved += max(1, (rp.byParent[group]+rp.Declared.Read.PageSize-1)/rp.Declared.Read.PageSize)
			}
		}
	}
	return saved
}

// reader returns the records of the read, and a reader over these and the carried ones.
// If the records of the newest snapshot don't have their digest, it ends with an error.
func (rp *ResourcePlan) reader() (*merge, diff.Reader, error) {
	records, err := rp.records.merge()
	if err != nil || !rp.carries {
		return records, records, err
	}
	before, err := rp.previous.Records(rp.Declared.Resource)
	if err != nil {
		return nil, nil, err
	}
	return records, &union{readers: [2]diff.Reader{records, &selected{Reader: before, selects: rp.carriesGroup}}}, nil
}

// carriesGroup reports whether the members of a group are those of the newest snapshot.
func (rp *ResourcePlan) carriesGroup(id string) bool {
	return rp.lists.isCarried(id) && !rp.parent.index.records[id].deleted
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
	_, records, err := rp.reader()
	return records, err
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
		if rp.carrying != nil {
			err = errors.Join(err, rp.carrying.Close())
			rp.carrying = nil
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

// expected returns the number of records in the newest snapshot; 0: unknown.
func (rp *ResourcePlan) expected() int {
	if rp.Base != snapshot.BasePrevious {
		return 0
	}
	return rp.previous.Manifest.Resources[rp.Declared.Resource.Name].Total
}

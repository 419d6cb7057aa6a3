package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"

	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/edges"
)

// ParseManifest parses a manifest.json. It accepts only the exact bytes that the store
// writes for the returned manifest.
func ParseManifest(data []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := parseDocument(data, snapshotFormat, m); err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	return m, nil
}

var fileName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// check rejects a manifest that no writer writes.
func (m *Manifest) check() error {
	if !IsExportName(m.Export) {
		return errors.New("export: not the name of an export")
	}
	if _, err := ParseName(m.Snapshot); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if m.Sequence < 1 || (m.Sequence == 1) != (m.Previous == nil) {
		return errors.New("sequence: doesn't match previous")
	}
	seen := map[string]bool{ManifestFile: true, SignatureFile: true, TimestampFile: true}
	for _, f := range m.Files {
		if seen[f.Name] || !fileName.MatchString(f.Name) {
			return fmt.Errorf("files: a file can't be named %q here", f.Name)
		}
		if f.Rows < 0 || f.Bytes < 0 {
			return fmt.Errorf("files: %s has a negative size", f.Name)
		}
		seen[f.Name] = true
	}
	if !seen[RequestsFile] {
		return errors.New("files: there is no " + RequestsFile)
	}
	if err := m.checkResources(seen); err != nil {
		return err
	}
	if err := m.checkControl(); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	return nil
}

// checkResources checks that the manifest declares, counts and lists the same
// resources.
func (m *Manifest) checkResources(listed map[string]bool) error {
	if len(m.Resources) == 0 || len(m.Resources) != len(m.Declared.Resources) {
		return errors.New("resources: doesn't match declared")
	}
	for name, counts := range m.Resources {
		r := ResourceNamed(name)
		if r == nil {
			return fmt.Errorf("resources: unknown resource %q; a newer version of oktasync wrote it", name)
		}
		if _, ok := m.Declared.Resources[name]; !ok {
			return errors.New("resources: doesn't match declared")
		}
		if p := r.Parent; p != nil && counts.IsAvailable() && !m.records(p) {
			return fmt.Errorf("resources: %s without %s", name, p.Name)
		}
		if !counts.IsAvailable() {
			if err := m.checkUnavailable(r, listed); err != nil {
				return err
			}
			continue
		}
		if counts.Available != nil || counts.Reason != "" || counts.Last != nil {
			return fmt.Errorf("resources: %s are available", name)
		}
		if !listed[r.RecordsFile()] {
			return errors.New("files: there is no " + r.RecordsFile())
		}
		if listed[r.ParentsFile()] != m.Declared.Resources[name].Incremental() {
			return fmt.Errorf("files: %s doesn't match the declared refresh", r.ParentsFile())
		}
		if !counts.possible() || !counts.refreshed(r) || counts.Unresolved > 0 && r.Other == nil {
			return fmt.Errorf("resources: impossible counts of %s", name)
		}
	}
	return nil
}

// checkUnavailable checks the counts of a resource that could not be read.
func (m *Manifest) checkUnavailable(r *Resource, listed map[string]bool) error {
	is := m.Resources[r.Name]
	zero := Counts{
		Available: is.Available, Reason: is.Reason, Last: is.Last, Rows: is.Rows, Outside: is.Outside,
		Base: BaseNone, Kinds: is.Kinds,
	}
	switch {
	case !m.Declared.Resources[r.Name].Optional:
		return fmt.Errorf("resources: %s are not available, and not optional", r.Name)
	case is.Reason == "" || is.Kinds == nil || len(is.Kinds) > 0 || is.Rows < 0 || is.Rows != is.Outside || !reflect.DeepEqual(is, zero):
		return fmt.Errorf("resources: impossible counts of %s", r.Name)
	case listed[r.RecordsFile()] || listed[r.CSVFile()] || listed[r.ChangesFile()] || listed[r.ParentsFile()]:
		return fmt.Errorf("files: there are files of %s, which are not available", r.Name)
	}
	return nil
}

// checkControl compares the counted numbers of members with the counts of the
// resources. CheckMembers compares those of single groups.
func (m *Manifest) checkControl() error {
	if m.Control == nil {
		return nil
	}
	everyone, groups := m.Control.Everyone, m.Control.Groups
	recorded, ok := m.Resources[Groups.Name], m.records(Groups)
	if !ok || everyone == nil && groups == nil {
		return errors.New("there is nothing to compare")
	}
	equal := true
	if everyone != nil {
		users, ok := m.Resources[Users.Name], m.records(Users)
		narrowing := m.Declared.Resources[Users.Name].Narrowing
		if !ok || narrowing != nil && (narrowing.Search != "" || !narrowing.IncludeDeprovisioned) || everyone.Counted != users.Total || everyone.Okta < 0 {
			return errors.New("everyone: impossible numbers")
		}
		equal = everyone.Okta == everyone.Counted
	}
	if groups != nil {
		members, ok := m.Resources[GroupMembers.Name], m.records(GroupMembers)
		all := groups.Compared == recorded.Total
		if !ok || !groups.possible() || groups.Compared > recorded.Total || groups.Counted > members.Total || all && groups.Counted != members.Total {
			return errors.New("groups: impossible numbers")
		}
		equal = equal && len(groups.Different) == 0 && groups.Okta == groups.Counted
	}
	if equal && !m.Control.Reconciled {
		return errors.New("reconciled: there is no difference")
	}
	return nil
}

// possible reports whether c can be the numbers of some groups.
func (c *GroupsControl) possible() bool {
	last := ""
	for _, d := range c.Different {
		if d.ID <= last || d.Okta == d.Counted || min(d.Okta, d.Counted) < 0 || d.Counted > c.Counted {
			return false
		}
		last = d.ID
	}
	return c.Different != nil && len(c.Different) <= min(MaxDifferent, c.Compared) && min(c.Okta, c.Counted) >= 0
}

// possible reports whether c can be the counts of a snapshot: no number is negative,
// each change has one kind, and changes have a base.
func (c Counts) possible() bool {
	kinds := 0
	for _, n := range c.Kinds {
		if n < 0 {
			return false
		}
		kinds += n
	}
	for _, n := range c.ByStatus {
		if n < 0 {
			return false
		}
	}
	least := min(c.Total, c.Added, c.Changed, c.Removed, c.Rows, c.Duplicates, c.Outside, c.Unresolved)
	return least >= 0 && c.Unresolved <= c.Total && kinds == c.Added+c.Changed+c.Removed && (kinds == 0 || c.Base == BasePrevious)
}

// refreshed reports whether c can be the counts of r as to its refresh.
func (c Counts) refreshed(r *Resource) bool {
	switch {
	case r == GroupMembers && c.Refresh == RefreshIncremental:
		return c.Base == BasePrevious && c.CarriedSince != nil && c.Carried >= 0 && c.Carried <= c.Total
	case r == GroupMembers && c.Refresh != RefreshFull, r != GroupMembers && c.Refresh != "":
		return false
	}
	return c.Carried == 0 && c.CarriedSince == nil
}

// MemberCounter returns a counter for CheckMembers, or nil if the manifest has no
// numbers of members of single groups.
func (m *Manifest) MemberCounter() *edges.Counter {
	if m.Control == nil || m.Control.Groups == nil {
		return nil
	}
	var ids []string
	for _, d := range m.Control.Groups.Different {
		ids = append(ids, d.ID)
	}
	return edges.NewCounter(ids)
}

// CheckMembers compares the numbers of members of single groups with the counted ones.
func (m *Manifest) CheckMembers(counted *edges.Counter) error {
	if counted == nil {
		return nil
	}
	for _, d := range m.Control.Groups.Different {
		if n := counted.Count(d.ID); n != d.Counted {
			return fmt.Errorf("the group %s has %d members, and the control total has %d", d.ID, n, d.Counted)
		}
	}
	return nil
}

// CheckRows compares the counts of m with the rows of files and of the
// transcript.
func (m *Manifest) CheckRows(files []File, transcript Transcript) error {
	rows := make(map[string]int)
	for _, f := range files {
		rows[f.Name] = f.Rows
	}
	if m.Read.Requests != transcript.Requests {
		return fmt.Errorf("requests: the manifest has %d, but %d were counted", m.Read.Requests, transcript.Requests)
	}
	for _, r := range m.Unavailable() {
		if is, found := m.Resources[r.Name].Rows, transcript.Rows[r.Name]; is != found {
			return fmt.Errorf("rows of %s in all responses: the manifest has %d, but %d were counted", r.Name, is, found)
		}
	}
	for _, r := range m.Recorded() {
		counts := m.Resources[r.Name]
		byStatus := 0
		for _, n := range counts.ByStatus {
			byStatus += n
		}
		if r.Status == "" {
			byStatus = counts.Total
		}
		for _, c := range []struct {
			name        string
			said, found int
		}{
			{r.Name, counts.Total, rows[r.RecordsFile()]},
			{r.Name + " by status", counts.Total, byStatus},
			{"changes of " + r.Name, counts.Added + counts.Changed + counts.Removed, rows[r.ChangesFile()]},
			{"rows of " + r.Name + " in all responses", counts.Rows, transcript.Rows[r.Name]},
			{r.Name + " with duplicates and outside", counts.Rows + counts.Carried, counts.Total + counts.Duplicates + counts.Outside},
		} {
			if c.said != c.found {
				return fmt.Errorf("%s: the manifest has %d, but %d were counted", c.name, c.said, c.found)
			}
		}
	}
	return nil
}

// Transcript summarizes a requests.ndjson.
type Transcript struct {
	Requests int
	Rows     map[string]int         // by resource
	Proofs   map[string]diff.Proofs // of removals, by resource
	Lists    map[string]Time        // when the list of members was last read from its start, by group
}

// Add adds a line of requests.ndjson.
func (t *Transcript) Add(line []byte) error {
	r, err := ParseRequest(line)
	if t.Rows == nil {
		t.Rows, t.Proofs, t.Lists = make(map[string]int), make(map[string]diff.Proofs), make(map[string]Time)
	}
	if group := r.startOfMembers(); group != "" {
		t.Lists[group] = r.Time
	}
	t.Requests++
	t.Rows[r.Resource] += r.Rows
	if id, proof, ok := r.Proof(); ok {
		if t.Proofs[r.Resource] == nil {
			t.Proofs[r.Resource] = make(diff.Proofs)
		}
		t.Proofs[r.Resource][id] = proof
	}
	return err
}

// readProofs reads the transcript in dir. If it doesn't have its digest in files, the
// error is a *DamagedError.
func readProofs(dir, export string, files []File, r *Resource) (diff.Proofs, error) {
	f, wrap, err := openFile(dir, export, RequestsFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := NewDigest()
	proofs, err := proofsIn(io.TeeReader(f, sum), r)
	if err == nil && sum.String() != fileNamed(files, RequestsFile).SHA256 {
		err = errWrongDigest
	}
	if err != nil {
		return nil, wrap(err)
	}
	return proofs, nil
}

// proofsIn reads a transcript. It parses only requests without a query: all requests for
// lists have one.
func proofsIn(transcript io.Reader, r *Resource) (diff.Proofs, error) {
	proofs := make(diff.Proofs)
	for lines := NewLineReader(transcript); ; {
		line, err := lines.Next()
		if err == io.EOF {
			return proofs, nil
		}
		if err != nil {
			return nil, err
		}
		if bytes.IndexByte(line, '?') >= 0 {
			continue
		}
		request, err := ParseRequest(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", lines.N, err)
		}
		if id, proof, ok := request.Proof(); ok && request.Resource == r.ProvedBy().Name {
			proofs[id] = proof
		}
	}
}

package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/edges"
)

// ParseManifest parses a manifest.json. It accepts only the bytes that a writer of the
// returned manifest writes.
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
	if !ExportName.MatchString(m.Export) {
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
		if !counts.possible() || !counts.refreshed(r) || counts.Unresolved > 0 && r.Other == nil {
			return fmt.Errorf("resources: impossible counts of %s", name)
		}
	}
	return nil
}

// records reports whether m has the records of r.
func (m *Manifest) records(r *Resource) bool {
	counts, ok := m.Resources[r.Name]
	return ok && counts.IsAvailable()
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
	case listed[r.RecordsFile()] || listed[r.CSVFile()] || listed[r.ChangesFile()]:
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

// MemberCounter returns a counter for CheckMembers, or nil if no members of single
// groups are in the manifest.
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
	case r != GroupMembers:
		return c.Refresh == "" && c.Carried == 0
	case c.Refresh == RefreshIncremental:
		return c.Base == BasePrevious && c.Carried >= 0 && c.Carried <= c.Total
	}
	return c.Refresh == RefreshFull && c.Carried == 0
}

// Recorded returns the resources whose records m has, in the order of Resources.
func (m *Manifest) Recorded() []*Resource {
	return slices.DeleteFunc(Resources(), func(r *Resource) bool { return !m.records(r) })
}

// Unavailable returns the resources that could not be read, in the order of Resources.
func (m *Manifest) Unavailable() []*Resource {
	return slices.DeleteFunc(Resources(), func(r *Resource) bool {
		counts, ok := m.Resources[r.Name]
		return !ok || counts.IsAvailable()
	})
}

// Total returns the number of records of all resources.
func (m *Manifest) Total() int {
	total := 0
	for _, counts := range m.Resources {
		total += counts.Total
	}
	return total
}

// File returns the entry of a file.
func (m *Manifest) File(name string) (File, bool) {
	f := fileNamed(m.Files, name)
	return f, f.Name != ""
}

// Names returns the names of the files in the folder of the snapshot.
func (m *Manifest) Names() []string {
	names := []string{ManifestFile, SumsFile}
	if m.SignedBy != nil {
		names = append(names, SignatureFile)
	}
	return append(names, m.fileNames()...)
}

// fileNames returns the names of the files that m lists.
func (m *Manifest) fileNames() []string {
	names := make([]string, len(m.Files))
	for i, f := range m.Files {
		names[i] = f.Name
	}
	return names
}

// digest returns the digest of manifest.json.
func (m *Manifest) digest() string {
	data, err := canonjson.Marshal(m)
	if err != nil {
		return ""
	}
	return DigestOf(append(data, '\n'))
}

// ParseEvent parses a line of a journal, with its line feed, as strictly as
// ParseManifest.
func ParseEvent(line []byte) (Event, error) {
	var e Event
	if err := parseLine(line, &e); err != nil {
		return Event{}, fmt.Errorf("parse event: %w", err)
	}
	return e, nil
}

// ParseRequest parses a line of a requests.ndjson, with its line feed, as strictly as
// ParseManifest.
func ParseRequest(line []byte) (Request, error) {
	var r Request
	if err := parseLine(line, &r); err != nil {
		return Request{}, fmt.Errorf("parse request: %w", err)
	}
	return r, nil
}

// parseDocument parses a document that names its format.
func parseDocument(data []byte, format string, v any) error {
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return jsonError(err)
	}
	if head.Format != format {
		kind, _, _ := strings.Cut(format, "/")
		if strings.HasPrefix(head.Format, kind+"/") {
			return &formatError{head.Format, format}
		}
		return fmt.Errorf("its format is not %s", format)
	}
	return parseLine(data, v)
}

// A formatError means that another version of oktasync wrote a document.
type formatError struct{ format, supported string }

func (e *formatError) Error() string {
	return fmt.Sprintf("its format is %s, and this version of oktasync reads only %s", e.format, e.supported)
}

// jsonError returns an error of parsing JSON as a clause for people.
func jsonError(err error) error {
	e, ok := errors.AsType[*json.SemanticError](err)
	switch {
	case errors.Is(err, json.ErrUnknownName) && ok:
		return fmt.Errorf("it has an unknown member %q", string(e.JSONPointer))
	case ok:
		return fmt.Errorf("its member %q has a wrong type or value", string(e.JSONPointer))
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("it has a duplicate member")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("it is cut short")
	}
	return errors.New("it is not valid JSON")
}

// parseLine parses a line of plain RFC 8785 into v.
func parseLine(line []byte, v any) error {
	if err := json.Unmarshal(line, v, json.RejectUnknownMembers(true)); err != nil {
		return jsonError(err)
	}
	again, err := canonjson.Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(append(again, '\n'), line) {
		return errors.New("not in canonical form")
	}
	return nil
}

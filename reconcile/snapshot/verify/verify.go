// Package verify checks a store: checkpoint, chain, journal, signatures, and every
// file. Only [Adopt] writes: it accepts the findings of an export, and records them in
// the journal.
//
// The commands verify and adopt use it, and so does the daemon on schedule. Start
// reading at [Verify], then at survey.go, which compares the parts of an export. The files:
// verifier.go (findings and the summary), chain.go (names and manifests), checkpoint.go,
// journal.go, pruned.go, content.go and records.go (the files of a snapshot), difference.go
// and changes.go (changes with and without the snapshot before), signatures.go,
// timestamps.go, quarantine.go, heads.go, adopted.go, and folder.go (one snapshot without its
// store).
package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
)

// Verify checks exports of a store, and calls report for each finding. It takes no
// lock, so it works on a copy and while a writer works. Its use of memory doesn't grow
// with the number of records. An error means that it couldn't continue; problems of
// the store aren't errors.
//
// Verify checks nothing else of a file whose digest or size is wrong.
func Verify(ctx context.Context, s *snapshot.Store, o Options, report func(Finding)) (Summary, error) {
	v := newVerifier(s, o, report)
	there, err := v.checkRoot()
	if err != nil {
		return v.sum, fmt.Errorf("verify: %w", err)
	}
	exports := o.Exports
	if len(exports) == 0 {
		exports = there
	}
	for _, export := range exports {
		if !slices.Contains(there, export) {
			return v.sum, fmt.Errorf("verify: the store has no export %s", export)
		}
		if err := v.checkExport(ctx, export); err != nil {
			return v.sum, fmt.Errorf("verify %s: %w", export, err)
		}
	}
	return v.sum, nil
}

// Adopt verifies an export, and makes its state on disk its verified state, see
// [snapshot.Store.Adopt]. It accepts exactly the findings that it reports. a has the
// user, the reason and the lost head. If there is nothing to adopt, the error says so.
func Adopt(ctx context.Context, s *snapshot.Store, export string, h snapshot.Holder, a snapshot.Adoption, o Options, report func(Finding)) error {
	o.Exports, o.adopts = []string{export}, &a
	return s.Adopt(export, h, func(c *snapshot.Checkpoint) (snapshot.Adoption, error) {
		o.void = c == nil || !s.Accepts(c)
		var unreadable []error
		_, err := Verify(ctx, s.WithCheckpoint(c), o, func(f Finding) {
			report(f)
			switch {
			case f.Note || f.Export != export:
			case f.digest == "":
				unreadable = append(unreadable, fmt.Errorf("%s; its content can't be read, so it can't be accepted", f))
			default:
				a.Accepted = append(a.Accepted, f.digest)
			}
		})
		return a, errors.Join(append(unreadable, err)...)
	})
}

// checkRoot checks the names in the store's folder, and returns the exports.
func (v *verifier) checkRoot() ([]string, error) {
	entries, err := os.ReadDir(v.store.Dir())
	if err != nil {
		return nil, err
	}
	var exports []string
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case name == snapshot.StoreFile, name == "lost+found", strings.HasPrefix(name, "."):
		case entry.IsDir() && snapshot.IsExportName(name):
			exports = append(exports, name)
		default:
			v.add(Finding{File: name, Problem: "is no part of a store"})
		}
	}
	return exports, v.checkQuarantineRoot(exports)
}

// checkExport checks the chain of an export, then each snapshot.
func (v *verifier) checkExport(ctx context.Context, export string) error {
	c, err := v.settledSurvey(ctx, export)
	if err != nil {
		return err
	}
	v.accepted = c.adoptions()
	if v.adopts != nil {
		v.adopts.JournalSHA256 = c.journalDigest()
	}
	for _, f := range c.findings {
		v.add(f)
	}
	v.sum.Exports++
	checked, erased := make(map[string]*checkedSnapshot), c.ledger.Erased()
	v.reads = c.newReads()
	v.at = Progress{Export: export}
	for _, snap := range c.links {
		v.at.Expected += snap.total()
	}
	expected := 0
	for _, snap := range c.links {
		v.at.Records = expected
		v.reportProgress()
		var before *checkedSnapshot
		if m := &snap.Manifest; m.Previous != nil {
			before = checked[m.Previous.Snapshot]
			line, lost := erased[m.Previous.ManifestSHA256], c.digests[m.Journal.Lines] != m.Journal.SHA256
			snap.afterErasure = line > 0 && line <= m.Journal.Lines && !lost
			snap.baseErased = line > 0 && lost || snap.afterErasure
		}
		if checked[snap.Name()], err = v.checkSettled(ctx, snap, before); err != nil {
			return err
		}
		expected += snap.total()
	}
	v.checkHeads(c)
	v.checkUnsigned(c)
	if err := v.checkTimestamps(c); err != nil {
		return err
	}
	if n := len(c.links); n > 0 {
		v.checkCertificates(c.links[n-1])
		v.checkReconciled(c.links[n-1])
	}
	if c.checkpoint != nil {
		v.sum.Heads = append(v.sum.Heads, c.checkpoint.Head())
	}
	return v.checkQuarantine(ctx, c)
}

// checkSettled calls checkSnapshot. It discards the findings if a writer has pruned
// the snapshot meanwhile.
func (v *verifier) checkSettled(ctx context.Context, snap *link, before *checkedSnapshot) (*checkedSnapshot, error) {
	was, report := v.sum, v.report
	was.Signed, was.Records = slices.Clone(was.Signed), maps.Clone(was.Records)
	var found []Finding
	v.report = func(f Finding) { found = append(found, f) }
	checked, err := v.checkSnapshot(ctx, snap, before)
	v.report = report
	if (err != nil || len(found) > 0) && v.store.WasPruned(snap.Manifest.Export, snap.Name()) && !snap.tombstone {
		v.sum = was
		checked = &checkedSnapshot{link: snap}
		checked.checkLast(before, func(string, string, ...any) {})
		return checked, nil
	}
	for _, f := range found {
		v.report(f)
	}
	return checked, err
}

// total returns the number of records to check: those in the manifest, and none of a
// pruned snapshot.
func (s *link) total() int {
	if s.tombstone {
		return 0
	}
	return s.Manifest.Total()
}

// checkSnapshot checks the folder of snap. before is the previous snapshot, or nil.
func (v *verifier) checkSnapshot(ctx context.Context, snap *link, before *checkedSnapshot) (*checkedSnapshot, error) {
	c := &checkedSnapshot{link: snap, correct: make(map[string]bool), wrong: make(map[string]bool), opened: make(map[string]bool), passed: v.checkedRecord, reads: v.reads, alone: v.alone}
	report := func(file, format string, args ...any) {
		c.wrong[file] = true
		v.add(snap.finding(file, format, args...))
	}
	c.checkLast(before, report)
	if snap.tombstone {
		v.checkSigned(snap, report)
		v.sum.Pruned++
		return c, nil
	}
	if err := c.checkNames(report); err != nil {
		return nil, err
	}
	for _, file := range snap.Manifest.Files {
		if !c.wrong[file.Name] {
			v.sum.Files++
			v.sum.Bytes += file.Bytes
		}
	}
	if err := c.checkFiles(ctx, before, report); err != nil {
		return nil, err
	}
	if !c.wrong[snapshot.SignatureFile] {
		v.checkSigned(snap, report)
	}
	v.sum.Snapshots++
	for _, r := range snap.Manifest.Recorded() {
		if c.correct[r.Name] {
			v.sum.Records[r.Name] += snap.Manifest.Resources[r.Name].Total
		}
		c.checkChanges(r, before, c.differences[r.Name], report)
	}
	c.transcript, c.sums = snapshot.Transcript{}, nil // the next snapshot needs only the records
	return c, nil
}

// checkFiles reads each file once and compares it with the manifest. It sets c.differences.
func (c *checkedSnapshot) checkFiles(ctx context.Context, before *checkedSnapshot, report reportFunc) error {
	c.differences = make(map[string]*difference)
	if file, ok := c.Manifest.File(snapshot.RequestsFile); ok && !c.wrong[file.Name] { // first, for the proofs of removals
		if err := c.checkFile(ctx, file, report); err != nil {
			return err
		}
	}
	for _, r := range c.Manifest.Recorded() {
		_, csv := c.Manifest.File(r.CSVFile())
		if csv != c.Manifest.Declared.HasFormat(r.Name, snapshot.FormatCSV) {
			report(r.CSVFile(), "doesn't match the declared formats")
		}
		if c.wrong[r.RecordsFile()] {
			continue
		}
		d, err := c.checkRecords(ctx, r, before, report)
		if err != nil {
			return err
		}
		c.differences[r.Name] = d
	}
	if err := c.checkParents(ctx, report); err != nil {
		return err
	}
	for _, file := range c.Manifest.Files {
		if c.wrong[file.Name] || c.opened[file.Name] {
			continue
		}
		if err := c.checkFile(ctx, file, report); err != nil {
			return err
		}
	}
	for _, r := range c.Manifest.Recorded() {
		c.correct[r.Name] = !c.wrong[r.RecordsFile()]
	}
	return nil
}

// checkFile checks a file that contains no records.
func (c *checkedSnapshot) checkFile(ctx context.Context, file snapshot.File, report reportFunc) error {
	f, err := c.openFile(ctx, file.Name, report)
	if f == nil {
		return err
	}
	defer f.Close()
	var problem error
	switch {
	case file.Name == snapshot.RequestsFile:
		problem = c.checkRequests(f, file)
	case strings.HasSuffix(file.Name, ".changes.ndjson"):
		problem = c.checkChangesFile(f, file)
	}
	return f.check(problem, report)
}

// checkLast checks which snapshot the manifest names as the last one with the records of
// each resource that is unavailable.
func (s *checkedSnapshot) checkLast(before *checkedSnapshot, report reportFunc) {
	s.last = make(map[string]*checkedSnapshot)
	for _, r := range s.Manifest.Unavailable() {
		base := before.base(r)
		if base != nil {
			if _, declared := base.Manifest.Resources[r.Name]; !declared {
				base = nil
			}
		}
		s.last[r.Name] = base
		if said := s.Manifest.Resources[r.Name].Last; !s.follows(before) {
			continue
		} else if (said == nil) != (base == nil) || said != nil && (said.Snapshot != base.Name() || said.ManifestSHA256 != base.Digest) {
			report(snapshot.ManifestFile, "doesn't name the last snapshot with %s", r.Name)
		}
	}
}

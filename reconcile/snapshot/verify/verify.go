package verify

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
)

// A Finding is one thing that Verify found.
type Finding struct {
	Export   string `json:"export"`   // "" where it is about the store
	Snapshot string `json:"snapshot"` // "" where it is about the export
	File     string `json:"file"`     // in the snapshot's folder, the export's or the store's; "" where it is about the folder
	Problem  string `json:"problem"`
	Note     bool   `json:"note"` // worth knowing, and no tampering: an unfinished publish, a private CA
}

func (f Finding) String() string {
	where := f.Export
	if f.Snapshot != "" {
		where += "@" + f.Snapshot
	}
	if f.File != "" {
		where = strings.TrimPrefix(where+"/"+f.File, "/")
	}
	if where == "" {
		return f.Problem
	}
	return where + ": " + f.Problem
}

// Summary says what Verify looked at.
type Summary struct {
	Exports   int            `json:"exports"`
	Snapshots int            `json:"snapshots"`
	Pruned    int            `json:"pruned"` // snapshots of which only the manifest is kept
	Files     int            `json:"files"`
	Records   map[string]int `json:"records"` // by resource, in all snapshots together
	Bytes     int64          `json:"bytes"`
	Problems  int            `json:"problems"`
	Notes     int            `json:"notes"`
	Heads     []Head         `json:"heads"`

	Signed []Signed `json:"signed"`
}

// Head is the end of an export's chain.
type Head struct {
	Export   string `json:"export"`
	Sequence int    `json:"sequence"`
	Snapshot string `json:"snapshot"`
	Digest   string `json:"digest"` // of its manifest
}

// Options say what Verify looks at, and what it holds that against.
type Options struct {
	Exports []string                 // nil: all of them
	Signers *snapshot.AllowedSigners // whose signatures count; nil: every one that fits
	Heads   []Head                   // noted elsewhere: each an export, a sequence and a digest

	// Progress, if not nil, is told how far it is, at each snapshot and every so
	// many users.
	Progress func(Progress)
}

// Progress is how far Verify is with an export.
type Progress struct {
	Export            string
	Records, Expected int // in all of its snapshots
}

const toldEvery = 1 << 10 // users

// Verify checks everything that the store says of the exports named, or of
// all of them, and calls report for each thing that does not fit. It takes no
// locks, so it works on a copy and beside a writer, and what it keeps in
// memory does not grow with the users. An error means that it could not go
// on, not that something is wrong.
//
// What is found wrong is not asked further questions: of a file whose digest
// is not the manifest's, Verify says that alone.
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

type verifier struct {
	store   *snapshot.Store
	signers *snapshot.AllowedSigners
	heads   []Head
	report  func(Finding)
	sum     Summary

	progress func(Progress) // may be nil
	at       Progress
}

func newVerifier(s *snapshot.Store, o Options, report func(Finding)) *verifier {
	v := &verifier{store: s, signers: o.Signers, heads: o.Heads, report: report, progress: o.Progress}
	v.sum.Heads, v.sum.Signed, v.sum.Records = []Head{}, []Signed{}, map[string]int{}
	return v
}

func (v *verifier) add(f Finding) {
	if f.Note {
		v.sum.Notes++
	} else {
		v.sum.Problems++
	}
	v.report(f)
}

// checkRoot looks at the names in the store's folder, and returns the exports
// among them.
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
		case entry.IsDir() && snapshot.ExportName.MatchString(name):
			exports = append(exports, name)
		default:
			v.add(Finding{File: name, Problem: "is no part of a store"})
		}
	}
	return exports, nil
}

// checkExport looks at the chain of an export, and then into each snapshot.
func (v *verifier) checkExport(ctx context.Context, export string) error {
	c, err := settledSurvey(v.store, export)
	if err != nil {
		return err
	}
	for _, f := range c.findings {
		v.add(f)
	}
	v.sum.Exports++
	checked := make(map[string]*checkedSnapshot)
	v.at = Progress{Export: export}
	for _, snap := range c.links {
		v.at.Expected += snap.total()
	}
	expected := 0
	for _, snap := range c.links {
		v.at.Records = expected
		v.tell()
		var before *checkedSnapshot
		if m := &snap.Manifest; m.Previous != nil {
			before = checked[m.Previous.Snapshot]
		}
		if checked[snap.Name()], err = v.checkSettled(ctx, snap, before); err != nil {
			return err
		}
		expected += snap.total()
	}
	v.checkHeads(c)
	if n := len(c.links); n > 0 {
		head := c.links[n-1]
		v.checkAnchor(head)
		v.checkCertificates(head)
		v.sum.Heads = append(v.sum.Heads, Head{
			Export: export, Sequence: head.Manifest.Sequence, Snapshot: head.Name(), Digest: head.Digest,
		})
	}
	return nil
}

// checkSettled is checkSnapshot, and forgets what it found where a writer has
// pruned the snapshot meanwhile.
func (v *verifier) checkSettled(ctx context.Context, snap *link, before *checkedSnapshot) (*checkedSnapshot, error) {
	was, report := v.sum, v.report
	was.Signed, was.Records = slices.Clone(was.Signed), maps.Clone(was.Records)
	var found []Finding
	v.report = func(f Finding) { found = append(found, f) }
	checked, err := v.checkSnapshot(ctx, snap, before)
	v.report = report
	if (err != nil || len(found) > 0) && v.store.WasPruned(snap.Manifest.Export, snap.Name()) && !snap.tombstone {
		v.sum = was
		return &checkedSnapshot{link: snap}, nil
	}
	for _, f := range found {
		v.report(f)
	}
	return checked, err
}

// settledSurvey surveys an export again until two surveys in a row find the
// same: what only one finds is a writer's doing that went on beside it.
func settledSurvey(s *snapshot.Store, export string) (*chain, error) {
	c, err := survey(s, export)
	for tries := 0; err == nil && len(c.findings) > 0 && tries < 20; tries++ {
		before := c
		if c, err = survey(s, export); err == nil && slices.Equal(before.findings, c.findings) {
			break
		}
	}
	return c, err
}

// total is how many users a snapshot has, as its manifest says; none once it is
// pruned.
func (s *link) total() int {
	if s.tombstone {
		return 0
	}
	return s.Manifest.Total()
}

func (v *verifier) tell() {
	if v.progress != nil {
		v.progress(v.at)
	}
}

// checkedRecord counts a user who was looked at.
func (v *verifier) checkedRecord() {
	if v.at.Records++; v.at.Records%toldEvery == 0 {
		v.tell()
	}
}

// Package verify checks a store: checkpoint, chain, journal, signatures, and every
// file. Only [Adopt] writes: it accepts the findings of an export, and records them in
// the journal.
//
// The commands verify and adopt use it, and so does the daemon on schedule. Start
// reading at [Verify]. The files: chain.go (names and manifests), checkpoint.go,
// journal.go, pruned.go, content.go and records.go (the files of a snapshot),
// difference.go (changes), signatures.go, quarantine.go, heads.go, and adopted.go.
package verify

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
)

// A Finding is a problem or a note about a store.
type Finding struct {
	Export   string `json:"export"`   // "": it is about the store
	Snapshot string `json:"snapshot"` // "": it is about the export
	File     string `json:"file"`     // in the folder of the snapshot, export or store; "": it is about the folder
	Problem  string `json:"problem"`
	Note     bool   `json:"note"` // not a problem: an unfinished publish, a private CA

	about  string // the path of the content that it is about; "": that which it names
	digest string // see verifier.digest; "": it can't be accepted
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

// Summary counts what Verify has checked.
type Summary struct {
	Exports   int             `json:"exports"`
	Snapshots int             `json:"snapshots"`
	Pruned    int             `json:"pruned"` // snapshots whose records were removed
	Files     int             `json:"files"`
	Records   map[string]int  `json:"records"` // by resource, in all snapshots together
	Bytes     int64           `json:"bytes"`
	Problems  int             `json:"problems"`
	Notes     int             `json:"notes"`
	Heads     []snapshot.Head `json:"heads"`

	Signed  []Signed  `json:"signed"`
	Existed []Existed `json:"existed"` // with Options.Authorities, oldest first
}

// Options are the options of Verify.
type Options struct {
	Exports     []string             // nil: all
	Signers     *sign.AllowedSigners // whose signatures are accepted; nil: every valid one
	Principals  []string             // restricts Signers; nil: all
	Signed      bool                 // report what is not signed, also without Signers
	Time        time.Time            // at which checkpoints must be valid; zero: now
	Authorities []*x509.Certificate  // of time stamps; nil: stamps are only compared with the journal
	Heads       []snapshot.Head      // kept outside the store, each with its export

	// Adopt sets adopts, so that findings have digests. It sets void if no line of the
	// journal has an effect, because it doesn't go on from the checkpoint.
	adopts, void bool

	// Progress, if not nil, is called at each snapshot and every so many records.
	Progress func(Progress)
}

// Progress is the progress of Verify with an export.
type Progress struct {
	Export            string
	Records, Expected int // in all of its snapshots
}

const progressInterval = 1 << 10 // records

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

type verifier struct {
	store       *snapshot.Store
	signers     *sign.AllowedSigners
	principals  []string
	signed      bool
	now         time.Time
	authorities []*x509.Certificate
	heads       []snapshot.Head
	adopts      bool
	void        bool
	alone       bool                      // one snapshot is verified without its store
	accepted    map[string]snapshot.Event // by the digests of findings, for the current export
	linked      map[[2]uint64]string      // digests of files with several names, by device and inode
	report      func(Finding)
	sum         Summary

	progress func(Progress) // may be nil
	at       Progress
}

func newVerifier(s *snapshot.Store, o Options, report func(Finding)) *verifier {
	v := &verifier{
		store: s, signers: o.Signers, principals: o.Principals, signed: o.Signed, now: o.Time,
		authorities: o.Authorities, heads: o.Heads, adopts: o.adopts, void: o.void, report: report, progress: o.Progress,
	}
	if o.Time.IsZero() {
		v.now = time.Now()
	}
	v.sum.Heads, v.sum.Signed, v.sum.Records, v.sum.Existed = []snapshot.Head{}, []Signed{}, map[string]int{}, []Existed{}
	return v
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
		case entry.IsDir() && snapshot.ExportName.MatchString(name):
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
	for _, f := range c.findings {
		v.add(f)
	}
	v.sum.Exports++
	checked, erased := make(map[string]*checkedSnapshot), c.ledger.Erased()
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

func (v *verifier) reportProgress() {
	if v.progress != nil {
		v.progress(v.at)
	}
}

// checkedRecord counts a record that was checked.
func (v *verifier) checkedRecord() {
	if v.at.Records++; v.at.Records%progressInterval == 0 {
		v.reportProgress()
	}
}

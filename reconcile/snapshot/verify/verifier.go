package verify

import (
	"crypto/x509"
	"strings"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
)

// A Finding is a problem or a note about a store. Adoptions accept findings by a digest of
// their text. So if the text of a finding changes, it must be adopted again.
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

// Signed counts the manifests of an export that one key has signed.
type Signed struct {
	Export      string `json:"export"`
	Fingerprint string `json:"fingerprint"`
	Principals  string `json:"principals"` // of the allowed signer; "": there are no allowed signers
	Manifests   int    `json:"manifests"`
}

// Existed is the earliest time stamp that proves that a snapshot existed: its own, or
// that of a later snapshot of the chain.
type Existed struct {
	Export   string    `json:"export"`
	Snapshot string    `json:"snapshot"`
	By       time.Time `json:"by"`
	Stamp    string    `json:"stamp"` // the snapshot that has the stamp
}

// Options are the options of Verify.
type Options struct {
	Exports     []string             // nil: all
	Signers     *sign.AllowedSigners // whose signatures are accepted; nil: every valid one
	Principals  []string             // restricts Signers; nil: all
	Signed      bool                 // report what is not signed, also without Signers
	Time        time.Time            // at which the keys of checkpoints must be valid; zero: now
	Authorities []*x509.Certificate  // of time stamps; nil: stamps are only compared with the journal
	Heads       []snapshot.Head      // kept outside the store, each with its export

	// Adopt sets adopts, so that findings have digests, and Verify sets its digest of the
	// journal. Adopt sets void if no line of the journal has an effect, because it doesn't go
	// on from the checkpoint.
	adopts *snapshot.Adoption
	void   bool

	// Progress, if not nil, is called at each snapshot, and regularly while records are read.
	Progress func(Progress)
}

// Progress is the progress of Verify with an export.
type Progress struct {
	Export            string
	Records, Expected int // in all of its snapshots
}

const progressInterval = 1 << 10 // records

type verifier struct {
	store       *snapshot.Store
	signers     *sign.AllowedSigners
	principals  []string
	signed      bool
	now         time.Time
	authorities []*x509.Certificate
	heads       []snapshot.Head
	adopts      *snapshot.Adoption
	void        bool
	alone       bool                      // one snapshot is verified without its store
	accepted    map[string]snapshot.Event // by the digests of findings, for the current export
	linked      map[[2]uint64]string      // digests of files with several names, by device and inode
	reads       *reads                    // of the groups, for the current export
	report      func(Finding)
	sum         Summary

	progress func(Progress) // may be nil
	at       Progress
}

func newVerifier(s *snapshot.Store, o Options, report func(Finding)) *verifier {
	v := &verifier{
		store: s, signers: o.Signers, principals: o.Principals, signed: o.Signed, now: o.Time,
		authorities: o.Authorities, heads: o.Heads, adopts: o.adopts, void: o.void, report: report, progress: o.Progress,
		reads: newReads(),
	}
	if o.Time.IsZero() {
		v.now = time.Now()
	}
	v.sum.Heads, v.sum.Signed, v.sum.Records, v.sum.Existed = []snapshot.Head{}, []Signed{}, map[string]int{}, []Existed{}
	return v
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

// reads are the last reads of groups in the snapshots that were checked so far. They
// have about 300 bytes for each group.
type reads struct {
	published map[string]*snapshot.Read  // by the name of the snapshot; a value is nil if the manifest is lost
	last      map[string]snapshot.Parent // by group
	known     map[string]bool            // snapshots whose reads are all in last, or were
}

func newReads() *reads {
	return &reads{published: make(map[string]*snapshot.Read), last: make(map[string]snapshot.Parent), known: make(map[string]bool)}
}

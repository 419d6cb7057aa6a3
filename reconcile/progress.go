package reconcile

import (
	"context"

	"oktasync/reconcile/snapshot/diff"
)

// Phase is a part of a reconcile that can take a long time.
type Phase string

const (
	PhaseReading    Phase = "reading"    // all records
	PhaseSettling   Phase = "settling"   // records that changed during the read
	PhaseComparing  Phase = "comparing"  // with the newest snapshot
	PhaseProving    Phase = "proving"    // missing records are requested by id
	PhasePublishing Phase = "publishing" // a snapshot or a quarantined read
)

// Progress is the progress of a reconcile. It contains counts and no records.
type Progress struct {
	Export   string
	Phase    Phase
	Resource string // name; "" while publishing
	Records  int    // so far: read in total, or in this phase compared, requested, written
	Expected int    // final number of records, or that of the newest snapshot; 0: unknown
	Requests int    // so far
}

// progress reports progress at every request, and every recordsPerReport records.
type progress struct {
	Progress
	report func(Progress) // may be nil
}

const recordsPerReport = 1 << 10

// enter begins a phase of a resource. rp is nil while publishing.
func (p *progress) enter(phase Phase, rp *ResourcePlan, records, expected int) {
	p.Phase, p.Records, p.Expected, p.Resource = phase, records, expected, ""
	if rp != nil {
		p.Resource = rp.Declared.Resource.Name
	}
	p.now()
}

// record counts a record that was read. While removals are proved, requests are
// counted instead.
func (p *progress) record() {
	if p.Phase != PhaseProving {
		p.Records++
	}
}

func (p *progress) request() {
	if p.Requests++; p.Phase == PhaseProving {
		p.Records = min(p.Records+1, p.Expected)
	}
	p.now()
}

func (p *progress) now() {
	if p.report != nil {
		p.report(p.Progress)
	}
}

// observed is a Reader that counts its records and ends with its context.
type observed struct {
	ctx context.Context
	diff.Reader
	progress *progress
}

func (r observed) Next() (diff.Record, error) {
	if r.progress.Records++; r.progress.Records%recordsPerReport == 0 {
		r.progress.now()
		if r.ctx.Err() != nil {
			return diff.Record{}, context.Cause(r.ctx)
		}
	}
	return r.Reader.Next()
}

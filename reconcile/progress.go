package reconcile

import (
	"context"
	"maps"
	"net/http"
	"sync"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
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

// Progress is the progress of a reconcile. It contains counts and no records. Of
// scopes that are read at the same time, it describes the first that isn't finished.
type Progress struct {
	Export   string
	Phase    Phase
	Resource string // name; "" while publishing
	Records  int    // so far: read in total, or in this phase compared, requested, written
	Expected int    // final number of records, or that of the newest snapshot; 0: unknown
	Requests int    // so far, for all resources

	Buckets         map[string]int // API requests so far, by rate-limit bucket
	ExpectedBuckets map[string]int // all of them, estimated from the newest snapshot; nil: unknown
}

// progress reports progress at every request, and every recordsPerReport records.
// Its methods may be called concurrently.
type progress struct {
	export string
	report func(Progress) // may be nil
	expect map[string]int // Progress.ExpectedBuckets

	mu       sync.Mutex // guards the fields below, and calls of report
	requests int
	buckets  map[string]int
	steps    []*step // of the scopes, in their order
}

// begin adds a step after the others.
func (p *progress) begin() *step {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &step{shared: p, Progress: Progress{Export: p.export, ExpectedBuckets: p.expect}}
	p.steps = append(p.steps, s)
	return s
}

// step is the progress of one scope, or of a publish. It isn't safe for concurrent
// use.
type step struct {
	Progress
	shared *progress
	done   bool // guarded by shared.mu
}

const recordsPerReport = 1 << 10

// enter begins a phase of a resource, which is nil while publishing.
func (s *step) enter(phase Phase, r *snapshot.Resource, records, expected int) {
	s.Phase, s.Records, s.Expected, s.Resource = phase, records, expected, ""
	if r != nil {
		s.Resource = r.Name
	}
	s.now()
}

// record counts a record that was read. While removals are proved, requests are
// counted instead.
func (s *step) record() {
	if s.Phase != PhaseProving {
		s.Records++
	}
}

func (s *step) request(r oktaclient.Request) {
	if s.Phase == PhaseProving {
		s.Records = min(s.Records+1, s.Expected)
	}
	s.shared.mu.Lock()
	s.shared.requests++
	if r.Method == http.MethodGet {
		if s.shared.buckets == nil {
			s.shared.buckets = make(map[string]int)
		}
		s.shared.buckets[r.Bucket()]++
	}
	s.shared.mu.Unlock()
	s.now()
}

// now reports s, unless an earlier step isn't finished.
func (s *step) now() {
	p := s.shared
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.steps {
		if other == s && p.report != nil {
			s.Requests, s.Buckets = p.requests, maps.Clone(p.buckets)
			p.report(s.Progress)
		}
		if !other.done {
			return
		}
	}
}

func (s *step) end() {
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	s.done = true
}

// observed is a Reader that counts its records and ends with its context.
type observed struct {
	ctx context.Context
	diff.Reader
	step *step
}

func (r observed) Next() (diff.Record, error) {
	if r.step.Records++; r.step.Records%recordsPerReport == 0 {
		r.step.now()
		if r.ctx.Err() != nil {
			return diff.Record{}, context.Cause(r.ctx)
		}
	}
	return r.Reader.Next()
}

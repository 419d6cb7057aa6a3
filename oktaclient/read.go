package oktaclient

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"
)

// Query selects the records of a read.
type Query struct {
	Resource Resource // such as [Users]

	// IncludeDeprovisioned adds the users with the status DEPROVISIONED.
	IncludeDeprovisioned bool

	// Search is an Okta search expression. If it is empty, the query selects all
	// records.
	Search string

	// Filter is an Okta filter expression for a resource with the strategy Pages.
	// Such a read doesn't settle.
	Filter string

	// Stats adds Okta's counts to the records of a read of [Groups], as
	// _embedded.stats. Some records can be without them. Such a read doesn't settle.
	Stats bool

	// Parents are the ids of the parents of a read with the strategy PerParent.
	Parents []string

	// Borders are values of lastUpdated, ascending. Between two of them is about
	// one page of records. A caller can take them from an earlier read.
	// They make parallel reads faster. If they are missing or wrong, the read
	// computes its own.
	Borders []time.Time

	// KnownBefore, if set, limits the extra work that a read does if Okta's
	// pages may have skipped a record. The caller then has an earlier complete
	// read, compares it with this one, and uses [Client.Find] for each record
	// that is missing and was last updated before KnownBefore.
	KnownBefore time.Time

	// SkipForbidden makes Find ignore records that the app isn't allowed to read.
	SkipForbidden bool

	// OnPhase, if not nil, is called when the read enters a phase. No method of
	// the sink runs at the same time.
	OnPhase func(Phase)
}

// Phase is a part of a read.
type Phase string

const (
	PhaseList   Phase = "list"   // all records are read
	PhaseSettle Phase = "settle" // records that changed during the read are read again; once per pass
)

// Record is one object of a resource.
type Record struct {
	ID          string
	Parent      string // id of the parent, with the strategy PerParent
	Status      string // Okta's; "" if the resource has none
	LastUpdated string // RFC 3339, as Okta sent it; "" if missing or null

	// JSON is exactly what Okta sent. It is valid only during the call that
	// passes the record.
	JSON []byte
}

// Request describes one attempt to send a request, successful or not.
type Request struct {
	Resource  string    // name of the resource
	Time      time.Time // when it was sent, by the local clock
	Method    string
	Path      string // path and query
	Status    int    // 0: no response
	Rows      int    // records in the response
	RequestID string // Okta's
	Error     string // "" or a short class: "reset", "timeout", "broken JSON", Okta's error code

	// RecordStatus is the status of the record in the response to a request by id.
	RecordStatus string
}

// Bucket returns the rate-limit bucket of an API request, as in [Limit].
func (r Request) Bucket() string {
	path, _, _ := strings.Cut(r.Path, "?")
	return bucketOf(path)
}

// Sink receives the records and requests of a read. Its methods are called one
// at a time. If a method returns an error, the read ends with that error.
//
// Record and Outside can receive the same id several times. Of all copies, the
// one with the newest LastUpdated is valid, and of equal ones the last.
type Sink interface {
	// Record receives each copy of a record that the query selects.
	Record(Record) error

	// Outside receives each copy of a record that the query doesn't select, or
	// no longer selects.
	Outside(Record) error

	// Request receives each attempt, after its records.
	Request(Request) error
}

// ParentSink is the sink of a read with the strategy PerParent. Parents are read in
// parallel, so records of different parents alternate.
type ParentSink interface {
	Sink

	// Begin is called when the list of a parent is read from its start. Records
	// that were passed for this parent before don't count.
	Begin(parent string) error

	// End is called after the last record of a parent. exists is false if Okta
	// answered 404 with the code E0000007, which means that it has no such parent.
	End(parent string, exists bool) error
}

// ReadResult summarizes a read.
type ReadResult struct {
	Started, Finished time.Time // by the local clock

	// ClockOffset is how far Okta's clock was ahead of the local clock after the
	// first response. OktaTime applies it to all times of the read.
	ClockOffset time.Duration

	Requests int // all attempts
	Rows     int // records in all responses: calls of Sink.Record and Sink.Outside

	// Settled reports that the last pass found no change since the start. It is
	// true without a pass if Okta can't filter the resource by lastUpdated, as
	// [Apps] and [GroupRules]: the caller compares two lists. It is also true
	// for the strategy PerParent, and with Query.Filter or Query.Stats.
	Settled bool

	Certificates Certificates // nil without TLS
}

// OktaTime returns Okta's time, in UTC, at a local time of the read.
func (r ReadResult) OktaTime(local time.Time) time.Time {
	return r.Started.Add(local.Sub(r.Started) + r.ClockOffset).Round(0).UTC()
}

// Read passes all records that q selects to sink, and then the records that
// changed during the read. The result is also valid with an error. It then
// describes the read up to the error.
func (c *Client) Read(ctx context.Context, q Query, sink Sink) (ReadResult, error) {
	r, err := c.newRead(q, sink)
	if err != nil {
		return ReadResult{}, err
	}
	r.enter(PhaseList)
	if q.Resource.Strategy == Roles {
		r.Settled, err = r.listRoles(ctx)
		return r.result(), err
	}
	switch err = r.list(ctx); {
	case err != nil:
	case r.settles():
		err = r.settle(ctx)
	default:
		r.Settled = true
	}
	return r.result(), err
}

// read is the state of a read. Several lists may be read at the same time; their
// pages are passed to the sink one after the other.
type read struct {
	c     *Client
	query Query
	size  int // most records per page
	seed  maphash.Seed

	mu      sync.Mutex // guards the fields below
	sink    Sink
	ended   bool // the sink returned an error
	pages   int  // requested
	changes changes
	ReadResult

	date, dated time.Time // the first Date of a response, and the local time then; zero: none yet
}

func (c *Client) newRead(q Query, sink Sink) (*read, error) {
	if err := q.check(sink); err != nil {
		return nil, err
	}
	size := q.Resource.PageSize
	if c.cfg.PageSize > 0 {
		size = max(min(size, c.cfg.PageSize), q.Resource.minLimit)
	}
	return &read{c: c, query: q, size: size, seed: maphash.MakeSeed(), sink: sink, ReadResult: ReadResult{Started: time.Now()}}, nil
}

// check rejects a query that can't be read.
func (q *Query) check(sink Sink) error {
	_, ok := sink.(ParentSink)
	switch strategy := q.Resource.Strategy; {
	case q.Resource.Path == "" || q.Resource.PageSize < 1:
		return errors.New("query without a resource")
	case strategy == PerParent && !ok:
		return fmt.Errorf("the sink of %s must be a ParentSink", q.Resource.Name)
	case q.Filter != "" && (strategy != Pages || q.Search != ""):
		return fmt.Errorf("%s can't be read with a filter", q.Resource.Name)
	case q.Search != "" && !q.Resource.filterable:
		return fmt.Errorf("%s can't be searched", q.Resource.Name)
	case q.Stats && q.Resource.Name != Groups.Name:
		return fmt.Errorf("%s have no stats", q.Resource.Name)
	}
	return nil
}

func (r *read) enter(p Phase) {
	if r.query.OnPhase != nil {
		r.query.OnPhase(p)
	}
}

// settles reports whether changed records are read again: whether Okta can list
// them.
func (r *read) settles() bool {
	return r.query.Resource.filterable && r.query.Filter == "" && !r.query.Stats
}

// list reads all records that the query selects.
func (r *read) list(ctx context.Context) error {
	if r.query.Resource.Strategy == PerParent {
		return r.listParents(ctx)
	}
	if !r.settles() {
		return r.listWhole(ctx, listing{filter: r.query.Filter})
	}
	l := r.everything()
	selected := l[len(l)-1]
	if r.query.Resource.Strategy == Spans && r.c.cfg.Concurrency > 1 {
		// The newest span comes first, because it has no upper border and can
		// be long.
		spans := always.cut(r.query.Borders)
		slices.Reverse(spans)
		return r.spanReader(selected, spans, r.c.cfg.Concurrency).read(ctx)
	}
	lists := []listing{selected}
	if omitted := r.query.Resource.omitted; omitted != "" && r.query.IncludeDeprovisioned && r.query.Search == "" {
		lists = append(lists, listing{filter: `status eq "` + omitted + `"`})
	}
	for _, l := range lists {
		_, err := (&list{r: r, listing: l}).read(ctx)
		if pageFailed(err) {
			r.c.log.WarnContext(ctx, "page failed, records will be read in parts", "err", err)
			p := r.spanReader(selected, nil, r.c.cfg.Concurrency)
			if p.waiting, err = p.halve(always, err); err != nil {
				return err
			}
			return p.read(ctx)
		}
		if err != nil {
			return err
		}
	}
	if !r.changes.several {
		return nil
	}
	// The plain list is current, unlike the index. If a record leaves the list just
	// before its last page, the index may not show the change yet.
	return sleep(ctx, r.c.cfg.IndexLag)
}

// result ends the read.
func (r *read) result() ReadResult {
	r.Finished = time.Now()
	return r.ReadResult
}

// oktaTime returns a time that Okta's clock has reached at the local time t: up
// to a second and a round trip before Okta's time. A record that changed
// since t was therefore last updated at or after oktaTime(t).
func (r *read) oktaTime(t time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.oktaTimeLocked(t)
}

func (r *read) oktaTimeLocked(t time.Time) time.Time {
	if r.date.IsZero() {
		return t
	}
	return r.date.Add(t.Sub(r.dated))
}

// nextPage numbers the next page to request.
func (r *read) nextPage() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pages++
	return r.pages
}

// deliver passes the records of a response to the sink, and then its request. l is
// the list of the records.
func (r *read) deliver(l listing, records []Record, a *attempt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil
	}
	r.setClockLocked(a)
	if r.changes.seen == nil {
		r.changes = newChanges(r.oktaTimeLocked(r.Started), r.seed)
	}
	r.Rows += len(records)
	settles, omitted := r.settles(), r.query.Resource.omitted
	for _, record := range records {
		if settles {
			r.changes.add(record)
		}
		record.Parent = l.parent
		pass := r.sink.Record
		if l.outside || omitted != "" && record.Status == omitted && !r.query.IncludeDeprovisioned {
			pass = r.sink.Outside
		}
		if err := pass(record); err != nil {
			r.ended = true
			return err
		}
	}
	return r.reportLocked(a)
}

// report passes an attempt without records to the sink.
func (r *read) report(a *attempt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil
	}
	r.setClockLocked(a)
	return r.reportLocked(a)
}

func (r *read) reportLocked(a *attempt) error {
	r.Requests++
	a.request.Resource, a.request.Time = r.query.Resource.Name, a.sent
	err := r.sink.Request(a.request)
	if err == nil && a.resp != nil && a.resp.TLS != nil && len(a.resp.TLS.PeerCertificates) > 0 {
		err = r.Certificates.Add(a.resp.TLS.PeerCertificates, 1)
	}
	r.ended = err != nil
	return err
}

// setClockLocked takes the Date of the first response that has one. If the estimate
// of several responses is earlier, it counts: settling then also finds what changed
// after a response with a wrong Date.
func (r *read) setClockLocked(a *attempt) {
	if r.date.IsZero() && !a.date.IsZero() {
		r.date, r.dated = a.date, a.received
		if r.c.cfg.ClockOffset != nil {
			r.ClockOffset = r.c.cfg.ClockOffset()
			if estimate := a.received.Add(r.ClockOffset - time.Second); estimate.Before(r.date) {
				r.date = estimate
			}
		}
	}
}

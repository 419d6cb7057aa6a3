package oktaclient

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

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
	case q.Filter != "" && (strategy != Pages || q.Search != "" || q.Resource.Unpaged):
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

// begin reports to a ParentSink that the list of a parent is read from its start.
func (r *read) begin(parent string) error {
	return r.callParentSink(parent, func(s ParentSink) error { return s.Begin(parent) })
}

// end reports to a ParentSink that the list of a parent was read.
func (r *read) end(parent string, exists bool) error {
	return r.callParentSink(parent, func(s ParentSink) error { return s.End(parent, exists) })
}

func (r *read) callParentSink(parent string, call func(ParentSink) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || parent == "" {
		return nil
	}
	err := call(r.sink.(ParentSink)) // Query.check checked it
	r.ended = err != nil
	return err
}

// pageRead records that a page of a list was read, of which pages were read so far.
func (r *read) pageRead(pages int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if pages > 1 {
		r.changes.several = true
	}
}

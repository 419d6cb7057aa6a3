package oktaclient

import (
	"sync"
	"time"
)

// reading is a Reading while it goes on. Several lists may be read for it at
// once; what they bring goes to the sink one page at a time.
type reading struct {
	c     *Client
	query Query

	mu    sync.Mutex // guards what follows
	sink  Sink
	ended bool // the sink wants no more
	time  timeline
	pages int // pages asked for
	Reading
}

func (c *Client) newReading(q Query, sink Sink) *reading {
	return &reading{c: c, query: q, sink: sink, time: timeline{start: time.Now()}}
}

// sum is what there is to say of the reading, now that it has ended.
func (r *reading) sum() Reading {
	r.Started, r.Finished, r.Offset = r.time.at(r.time.start), r.time.at(time.Now()), r.time.offset
	return r.Reading
}

// nextPage numbers a page that is about to be asked for.
func (r *reading) nextPage() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pages++
	return r.pages
}

// deliver hands the users of an answer to the sink, and only then tells of the
// request that brought them. With outside, none of them is of the query.
func (r *reading) deliver(users []User, outside bool, a *answer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil
	}
	r.Rows += len(users)
	for _, user := range users {
		take := r.sink.User
		if outside || user.Status == deprovisioned && !r.query.IncludeDeprovisioned {
			take = r.sink.Outside
		}
		if err := take(user); err != nil {
			r.ended = true
			return err
		}
	}
	return r.tellLocked(a)
}

// record tells of an attempt that brought nobody.
func (r *reading) record(a *answer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tellLocked(a)
}

// tellLocked counts and dates an attempt, and tells the sink of it.
func (r *reading) tellLocked(a *answer) error {
	if r.ended {
		return nil
	}
	r.Requests++
	r.time.learn(&r.c.clock)
	if r.PeerCertificates == nil && a.resp != nil && a.resp.TLS != nil {
		r.PeerCertificates = a.resp.TLS.PeerCertificates
	}
	a.request.Time = r.time.at(a.sent)
	err := r.sink.Request(a.request)
	r.ended = err != nil
	return err
}

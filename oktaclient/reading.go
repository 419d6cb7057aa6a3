package oktaclient

import (
	"context"
	"hash/maphash"
	"slices"
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

	since  string           // who changed then or later is remembered, for settle
	recent map[uint64]int64 // their lastUpdated in milliseconds, by a hash of it and of the id
	seed   maphash.Seed
	fresh  int // copies that were new in this pass
	hiding hiding

	Reading
}

func (c *Client) newReading(q Query, sink Sink) *reading {
	return &reading{c: c, query: q, sink: sink, time: timeline{start: time.Now()}}
}

// parallel reads everyone that the query is of in spans of lastUpdated. The
// newest go first: nobody knows how many users have changed since the borders
// were drawn.
func (r *reading) parallel(ctx context.Context) error {
	spans := []span{always}
	if r.query.Borders != nil {
		borders, err := r.query.Borders(r.c.cfg.PageSize)
		if err != nil {
			return err
		}
		spans = always.cut(borders)
		slices.Reverse(spans)
	}
	l := r.everyone()
	return r.partition(l[len(l)-1], spans, r.c.cfg.Concurrency).read(ctx)
}

// serial reads everyone that the query is of: the plain list and then the
// deprovisioned users, or with a search one list of whom it finds.
func (r *reading) serial(ctx context.Context) error {
	lists := []listing{{}}
	switch {
	case r.query.Search != "":
		lists = []listing{{search: r.query.Search}}
	case r.query.IncludeDeprovisioned:
		lists = append(lists, listing{filter: `status eq "` + deprovisioned + `"`})
	}
	for _, l := range lists {
		_, err := (&list{r: r, listing: l}).read(ctx)
		if tooMuch(err) {
			r.c.log.WarnContext(ctx, "page can't be had, users will be read in parts", "err", err)
			return r.inParts(ctx, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inParts reads everyone in smaller and smaller spans, where a list has a page
// that Okta can't give.
func (r *reading) inParts(ctx context.Context, cause error) error {
	l := r.everyone()
	p := r.partition(l[len(l)-1], nil, r.c.cfg.Concurrency)
	var err error
	if p.waiting, err = p.halve(always, cause); err != nil {
		return err
	}
	return p.read(ctx)
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
	r.learnLocked(a)
	r.Rows += len(users)
	for _, user := range users {
		r.noteLocked(user)
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
	r.learnLocked(a)
	r.Requests++
	a.request.Time = r.time.at(a.sent)
	err := r.sink.Request(a.request)
	r.ended = err != nil
	return err
}

// learnLocked takes from an answer what a reading says of the org as a whole.
func (r *reading) learnLocked(a *answer) {
	r.time.learn(&r.c.clock)
	if r.PeerCertificates == nil && a.resp != nil && a.resp.TLS != nil {
		r.PeerCertificates = a.resp.TLS.PeerCertificates
	}
}

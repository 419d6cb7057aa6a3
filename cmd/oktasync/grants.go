package main

import (
	"net/http"
	"net/url"
	"sync"
	"time"

	"oktasync/dpopauth"
	"oktasync/oktaclient"
)

// grants remembers the requests that led to the token in use, and tells the
// readings under way of each further one.
type grants struct {
	count    func(oktaclient.Request) // told of every request once, also at the API; may be nil
	mu       sync.Mutex
	last     []oktaclient.Request // up to the last one granted
	open     []oktaclient.Request // since then
	readings map[*grantSink]bool
}

func (g *grants) record(r dpopauth.TokenRequest) {
	req := oktaclient.Request{Time: r.Time, Method: http.MethodPost, Path: tokenPath, Status: r.Status, RequestID: r.RequestID, Error: r.Error}
	if u, err := url.Parse(r.URL); err == nil {
		req.Path = u.Path
	}
	g.counted(req)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = append(g.open, req)
	if r.Granted {
		g.last, g.open = g.open, nil
	}
	for s := range g.readings {
		s.pend(req)
	}
	if n := len(g.open) - 100; n > 0 {
		g.open = g.open[n:] // an authorization server that refuses for days
	}
}

func (g *grants) counted(r oktaclient.Request) {
	if g.count != nil {
		g.count(r)
	}
}

// attach tells s of the requests from now on, and of those that the token held
// rests on.
func (g *grants) attach(s *grantSink, held bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.readings == nil {
		g.readings = make(map[*grantSink]bool)
	}
	if held {
		s.pending = append(s.pending, g.last...)
	}
	g.readings[s] = true
}

func (g *grants) detach(s *grantSink) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.readings, s)
}

// grantSink puts token requests into a reading's transcript before the request
// that waited for them.
type grantSink struct {
	oktaclient.Sink
	grants  *grants
	clock   func(time.Time) time.Time // Okta's for ours
	mu      sync.Mutex
	pending []oktaclient.Request
}

func (s *grantSink) pend(r oktaclient.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, r)
}

func (s *grantSink) Request(r oktaclient.Request) error {
	s.grants.counted(r)
	if err := s.flush(); err != nil {
		return err
	}
	return s.Sink.Request(r)
}

func (s *grantSink) flush() error {
	s.mu.Lock()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()
	for _, r := range pending {
		r.Time = s.clock(r.Time)
		if err := s.Sink.Request(r); err != nil {
			return err
		}
	}
	return nil
}

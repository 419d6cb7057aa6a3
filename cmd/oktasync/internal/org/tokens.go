package org

import (
	"net/http"
	"net/url"
	"sync"

	"oktasync/dpopauth"
	"oktasync/oktaclient"
)

// tokenRequests records the requests to the token endpoint, for the transcripts
// of the reads that use the token.
type tokenRequests struct {
	count   func(oktaclient.Request) // called once for each request, also for API requests; may be nil
	mu      sync.Mutex
	last    []oktaclient.Request // those that led to the current token
	pending []oktaclient.Request // those since then
	reads   map[*tokenSink]bool  // the reads that are running
}

// maxPending bounds pending while an authorization server refuses every request.
const maxPending = 100

func (t *tokenRequests) record(r dpopauth.TokenRequest) {
	req := oktaclient.Request{Resource: "token", Time: r.Time, Method: http.MethodPost, Path: TokenPath, Status: r.Status, RequestID: r.RequestID, Error: r.Error}
	if u, err := url.Parse(r.URL); err == nil {
		req.Path = u.Path
	}
	t.counted(req)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = append(t.pending, req)
	if r.Granted {
		t.last, t.pending = t.pending, nil
	}
	for s := range t.reads {
		s.add(req)
	}
	if n := len(t.pending) - maxPending; n > 0 {
		t.pending = t.pending[n:]
	}
}

func (t *tokenRequests) counted(r oktaclient.Request) {
	if t.count != nil {
		t.count(r)
	}
}

// attach makes s receive the requests from now on. With hasToken, it also
// receives those that led to the current token.
func (t *tokenRequests) attach(s *tokenSink, hasToken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reads == nil {
		t.reads = make(map[*tokenSink]bool)
	}
	if hasToken {
		s.pending = append(s.pending, t.last...)
	}
	t.reads[s] = true
}

func (t *tokenRequests) detach(s *tokenSink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.reads, s)
}

// tokenSink writes token requests to the transcript of a read, before the API
// request that waited for them.
type tokenSink struct {
	oktaclient.Sink
	tokens  *tokenRequests
	mu      sync.Mutex
	pending []oktaclient.Request
}

func (s *tokenSink) add(r oktaclient.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, r)
}

// Request implements oktaclient.Sink.
func (s *tokenSink) Request(r oktaclient.Request) error {
	s.tokens.counted(r)
	if err := s.flush(); err != nil {
		return err
	}
	return s.Sink.Request(r)
}

// Begin implements oktaclient.ParentSink. A read calls it only if Sink is one.
func (s *tokenSink) Begin(parent string) error {
	return s.Sink.(oktaclient.ParentSink).Begin(parent)
}

// End implements oktaclient.ParentSink.
func (s *tokenSink) End(parent string, exists bool) error {
	return s.Sink.(oktaclient.ParentSink).End(parent, exists)
}

func (s *tokenSink) flush() error {
	s.mu.Lock()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()
	for _, r := range pending {
		if err := s.Sink.Request(r); err != nil {
			return err
		}
	}
	return nil
}

// TokenPath is the token endpoint of the org authorization server. Only this
// server grants okta.* scopes.
const TokenPath = "/oauth2/v1/token"

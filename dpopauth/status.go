package dpopauth

import (
	"maps"
	"sync"
	"time"
)

// Counters count events since [New]. The keys are fixed and can be used as metric
// labels.
type Counters struct {
	Granted    map[string]uint64 // token requests that succeeded, by reason: first, early, expired, refused
	Failed     map[string]uint64 // token requests that failed after all retries, by reason
	Challenges map[string]uint64 // responses that required a nonce, by role: token, api
	Retries    map[string]uint64 // requests sent again, by cause: nonce, token, proof, trouble
	Refused    uint64            // requests to an origin that is not configured
}

// A Status describes the state of a [Transport]. It contains no secret.
type Status struct {
	Expiry     time.Time     // of the cached token, by the local clock; zero: none is cached
	Thumbprint string        // of the DPoP key; empty in Bearer mode
	Offset     time.Duration // how far the clock of the first of Config.Origins is ahead of the local one; 0 if unknown
	LastError  error         `json:"-"` // of the last token request; nil if it succeeded
	Counters   Counters
}

// Status returns the current state of t.
func (t *Transport) Status() Status {
	s := Status{Offset: t.clock.offset(), Counters: t.stats.counters()}
	if t.sender.key != nil {
		s.Thumbprint = t.sender.key.Thumbprint()
	}
	t.tokens.mu.Lock()
	defer t.tokens.mu.Unlock()
	s.LastError = t.tokens.err
	if tok := t.tokens.cached; tok != nil {
		s.Expiry = t.sender.local.wall().Add(tok.life - tok.age(t.sender.local))
	}
	return s
}

// stats guards the counters.
type stats struct {
	mu sync.Mutex
	c  Counters
}

// newStats returns counters that contain every label.
func newStats() *stats {
	reasons := []string{reasonFirst, reasonEarly, reasonExpired, reasonRefused}
	return &stats{c: Counters{
		Granted:    zeros(reasons),
		Failed:     zeros(reasons),
		Challenges: zeros([]role{tokenRole, apiRole}),
		Retries:    zeros([]retryCause{causeNonce, causeToken, causeProof, causeUnavailable}),
	}}
}

func zeros[T ~string](labels []T) map[string]uint64 {
	m := make(map[string]uint64, len(labels))
	for _, l := range labels {
		m[string(l)] = 0
	}
	return m
}

func (s *stats) count(add func(*Counters)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add(&s.c)
}

func (s *stats) counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.c
	c.Granted, c.Failed = maps.Clone(c.Granted), maps.Clone(c.Failed)
	c.Challenges, c.Retries = maps.Clone(c.Challenges), maps.Clone(c.Retries)
	return c
}

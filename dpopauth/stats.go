package dpopauth

import (
	"maps"
	"sync"
	"time"
)

// Counters count since [New]. The keys are fixed words, fit for labels.
type Counters struct {
	Granted    map[string]uint64 // token fetches by reason: first, early, expired, refused
	Failed     map[string]uint64 // the same, without a token in the end
	Challenges map[string]uint64 // nonces demanded, by role: token, api
	Retries    map[string]uint64 // requests sent again, by cause: nonce, token, proof, trouble
	Refused    uint64            // requests to an origin that is not configured
}

// A Status says how a [Transport] is doing. No secret is in it.
type Status struct {
	Expiry     time.Time     // of the token held, by our clock; zero: none is held
	Thumbprint string        // of the DPoP key; empty with mode off
	Offset     time.Duration // by which the server's clock is ahead of ours, as far as known
	LastError  error         `json:"-"` // of the last token fetch; nil where that went well
	Counters   Counters
}

// stats guards the counters.
type stats struct {
	mu sync.Mutex
	c  Counters
}

func newStats() *stats {
	return &stats{c: Counters{
		Granted:    map[string]uint64{reasonFirst: 0, reasonEarly: 0, reasonExpired: 0, reasonRefused: 0},
		Failed:     map[string]uint64{reasonFirst: 0, reasonEarly: 0, reasonExpired: 0, reasonRefused: 0},
		Challenges: map[string]uint64{string(tokenRole): 0, string(apiRole): 0},
		Retries:    map[string]uint64{string(causeNonce): 0, string(causeToken): 0, string(causeProof): 0, string(causeTrouble): 0},
	}}
}

func (s *stats) fetch(reason string, granted bool) {
	if granted {
		s.count(s.c.Granted, reason)
	} else {
		s.count(s.c.Failed, reason)
	}
}

func (s *stats) challenge(r role) { s.count(s.c.Challenges, string(r)) }
func (s *stats) retry(c cause)    { s.count(s.c.Retries, string(c)) }

func (s *stats) count(m map[string]uint64, label string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m[label]++
}

func (s *stats) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.c.Refused++
}

func (s *stats) counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Counters{
		Granted:    maps.Clone(s.c.Granted),
		Failed:     maps.Clone(s.c.Failed),
		Challenges: maps.Clone(s.c.Challenges),
		Retries:    maps.Clone(s.c.Retries),
		Refused:    s.c.Refused,
	}
}

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
	Thumbprint string        // of the DPoP key; empty without proofs
	Offset     time.Duration // by which the server's clock is ahead of ours, as far as known
	LastError  error         `json:"-"` // of the last token fetch; nil where that went well
	Counters   Counters
}

// stats guards the counters.
type stats struct {
	mu sync.Mutex
	c  Counters
}

// newStats has every label there may be from the start.
func newStats() *stats {
	reasons := []string{reasonFirst, reasonEarly, reasonExpired, reasonRefused}
	return &stats{c: Counters{
		Granted:    zeros(reasons),
		Failed:     zeros(reasons),
		Challenges: zeros([]role{tokenRole, apiRole}),
		Retries:    zeros([]cause{causeNonce, causeToken, causeProof, causeTrouble}),
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
	return Counters{
		Granted:    maps.Clone(s.c.Granted),
		Failed:     maps.Clone(s.c.Failed),
		Challenges: maps.Clone(s.c.Challenges),
		Retries:    maps.Clone(s.c.Retries),
		Refused:    s.c.Refused,
	}
}

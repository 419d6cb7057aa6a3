package dpopauth

import (
	"maps"
	"sync"
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

// The reasons for a token request, as in [Counters].
const (
	reasonFirst   = "first"
	reasonEarly   = "early"
	reasonExpired = "expired"
	reasonRefused = "refused"
)

// A retryCause is the reason for sending a request again, as in [Counters].
type retryCause string

const (
	causeNone        retryCause = ""
	causeNonce       retryCause = "nonce"   // the server requires a nonce
	causeToken       retryCause = "token"   // the token was rejected
	causeProof       retryCause = "proof"   // the proof was too old, or already used
	causeUnavailable retryCause = "trouble" // no response, or an overloaded server
)

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

package dpopauth

import "sync"

// A role is the function of a server. Nonces of one role are never sent to the
// other, even if both have one origin, as on Okta's org server (RFC 9449,
// sections 8 and 9).
type role string

const (
	tokenRole role = "token"
	apiRole   role = "api"
)

// A nonceStore stores the newest DPoP nonce of each server.
type nonceStore struct {
	mu     sync.Mutex
	nonces map[nonceKey]storedNonce
}

type nonceKey struct {
	role   role
	origin string
}

type storedNonce struct {
	value string
	sent  uint64 // sequence number of the request whose response contained it
}

// get returns the newest nonce, or "" if there is none.
func (s *nonceStore) get(k nonceKey) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nonces[k].value
}

// put stores a nonce from the response to request number sent, unless a later
// request has already returned one.
func (s *nonceStore) put(k nonceKey, value string, sent uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nonces == nil {
		s.nonces = map[nonceKey]storedNonce{}
	}
	if s.nonces[k].sent <= sent {
		s.nonces[k] = storedNonce{value, sent}
	}
}

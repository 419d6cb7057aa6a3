package dpopauth

import "sync"

// A role is what a server is to us. Nonces of one role never go to the other,
// even where both are at one origin, as on Okta's org server (RFC 9449,
// sections 8 and 9).
type role string

const (
	tokenRole role = "token"
	apiRole   role = "api"
)

// nonces holds the newest nonce of each server.
type nonces struct {
	mu   sync.Mutex
	held map[peer]nonce
}

// A peer is whom a nonce is from and for.
type peer struct {
	role   role
	origin string
}

type nonce struct {
	value string
	sent  uint64 // the number of the request whose answer brought it
}

func (n *nonces) get(p peer) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.held[p].value
}

// put keeps the nonce that an answer brought, unless a request that was sent
// later has brought one already.
func (n *nonces) put(p peer, value string, sent uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held == nil {
		n.held = map[peer]nonce{}
	}
	if n.held[p].sent <= sent {
		n.held[p] = nonce{value, sent}
	}
}

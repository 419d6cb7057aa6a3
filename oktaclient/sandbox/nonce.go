package sandbox

import (
	"sync"
	"time"

	"oktasync/dpopauth/verify"
)

// nonces is a source of nonces that can be made to change after a number of
// uses. Okta renews its nonce every 24 hours and takes the old one for three
// days from its creation ("Configure DPoP: nonce").
type nonces struct {
	*verify.Nonces
	every int

	mu   sync.Mutex
	uses int
}

func newNonces(life time.Duration, every int, now func() time.Time) *nonces {
	return &nonces{every: every, Nonces: verify.NewNonces(verify.NonceConfig{Every: life, Valid: 3 * life, Now: now})}
}

// Check makes nonces a [verify.NonceSource].
func (n *nonces) Check(nonce string) error {
	if err := n.Nonces.Check(nonce); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.uses++; n.every > 0 && n.uses%n.every == 0 {
		n.Rotate() // the one before stays good
	}
	return nil
}

// forget makes every nonce stale that was ever handed out.
func (n *nonces) forget() {
	n.Rotate()
	n.Rotate()
}

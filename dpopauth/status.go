package dpopauth

import "time"

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

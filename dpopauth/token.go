package dpopauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// A token is an access token. It doesn't change once it is in use. It is passed
// by pointer, so that fmt doesn't print its value.
type token struct {
	value      string
	scheme     string // of the Authorization header: DPoP or Bearer
	ath        string // RFC 9449, section 4.2
	life       time.Duration
	renewAfter time.Duration

	// The life counts from the request for the token, on both local clocks.
	requestedWall time.Time
	requestedMono time.Duration
}

func newToken(value, scheme string, life time.Duration) *token {
	// Renew after 80 to 90 % of the life, but at least 30 s before its end. A token
	// that lives less than a minute is used to its end, so that the server gets at
	// most one request per life.
	renewAfter := life
	if life >= time.Minute {
		renewAfter = life*8/10 + rand.N(life/10)
	}
	if life >= 2*time.Minute {
		renewAfter = min(renewAfter, life-30*time.Second)
	}
	sum := sha256.Sum256([]byte(value))
	ath := base64.RawURLEncoding.EncodeToString(sum[:])
	return &token{value: value, scheme: scheme, ath: ath, life: life, renewAfter: renewAfter}
}

// age returns the larger age of the two clocks: the monotonic one stops while the
// machine is suspended, and the wall clock may be set back.
func (t *token) age(c *localClock) time.Duration {
	return max(c.wall().Sub(t.requestedWall), c.mono()-t.requestedMono)
}

const (
	requestTimeout = 2 * time.Minute // of a token request, with all attempts
	firstBackoff   = time.Second     // after a failed token request; doubled for each further one
	maxBackoff     = time.Minute
)

// A tokenSource caches the access token and renews it. At most one token request
// runs at a time; all callers that need its result wait for it.
type tokenSource struct {
	request func(context.Context) (*token, error)
	clock   *localClock
	log     *slog.Logger
	stats   *stats

	mu       sync.Mutex
	cached   *token        // nil: none yet, or invalidated
	reason   string        // of the next request, if cached is nil
	pending  *pendingToken // nil: no request is running
	err      error         // of the last request
	failures int           // in a row
	retryAt  time.Duration // on the monotonic clock: end of the back-off
}

// A pendingToken is a token request that is running.
type pendingToken struct {
	cancel  context.CancelFunc
	waiters int // guarded by tokenSource.mu
	done    chan struct{}
	tok     *token // tok and err are set before done is closed
	err     error
}

// get returns the cached token if it has not expired, and starts its renewal if
// that is due. Otherwise it waits for a new token until ctx ends.
func (s *tokenSource) get(ctx context.Context) (*token, error) {
	s.mu.Lock()
	reason := s.reason
	if tok := s.cached; tok != nil {
		age := tok.age(s.clock)
		if age < tok.life {
			if age >= tok.renewAfter && s.pending == nil && !s.backingOffLocked() {
				s.startLocked(reasonEarly)
			}
			s.mu.Unlock()
			return tok, nil
		}
		reason = reasonExpired
	}
	if ctx.Err() != nil { // don't start a request that nothing waits for, or cancel one
		s.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	if s.pending == nil {
		if s.backingOffLocked() {
			defer s.mu.Unlock()
			return nil, s.err
		}
		s.startLocked(reason)
	}
	p := s.pending
	p.waiters++
	s.mu.Unlock()
	select {
	case <-p.done:
		return p.tok, p.err
	case <-ctx.Done():
		s.stopWaiting(p)
		return nil, context.Cause(ctx)
	}
}

func (s *tokenSource) backingOffLocked() bool { return s.err != nil && s.clock.mono() < s.retryAt }

// invalidate drops tok, which a server rejected, if it is still cached.
func (s *tokenSource) invalidate(tok *token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cached == tok {
		s.cached, s.reason = nil, reasonRefused
	}
}

// startLocked starts a token request in a goroutine, so that it doesn't end with
// the first caller's context. The goroutine ends after requestTimeout at most, or
// when its last waiter stops waiting.
func (s *tokenSource) startLocked(reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	p := &pendingToken{cancel: cancel, done: make(chan struct{})}
	s.pending = p
	go func() {
		defer cancel()
		tok, err := s.recovered(ctx)
		s.finish(p, reason, tok, err)
	}()
}

// recovered is request. A panic becomes an error, so that it doesn't end the
// process. The error doesn't contain the value, which could be a secret.
func (s *tokenSource) recovered(ctx context.Context) (tok *token, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("internal error: panic in a token request")
		}
	}()
	return s.request(ctx)
}

// finish stores the result of p, unless p was abandoned, and wakes the waiters.
// It logs without the lock, so that a slow log doesn't delay other requests.
func (s *tokenSource) finish(p *pendingToken, reason string, tok *token, err error) {
	defer close(p.done)
	p.tok, p.err = tok, err
	s.mu.Lock()
	if s.pending != p {
		s.mu.Unlock()
		return
	}
	s.pending = nil
	if err != nil {
		warn := s.failLocked(reason, err)
		s.mu.Unlock()
		if warn {
			s.log.Warn("token not renewed; the cached one is still valid", "err", err)
		}
		return
	}
	s.stats.count(func(c *Counters) { c.Granted[reason]++ })
	s.cached, s.err, s.failures = tok, nil, 0
	s.mu.Unlock()
	s.log.Info("token fetched", "reason", reason, "lifetime", tok.life)
}

// failLocked records a failed request and starts the back-off. It reports whether
// this is the first failure in a row and the cached token is still valid.
func (s *tokenSource) failLocked(reason string, err error) bool {
	s.stats.count(func(c *Counters) { c.Failed[reason]++ })
	backoff := min(firstBackoff<<min(s.failures, 10), maxBackoff)
	s.err, s.retryAt = err, s.clock.mono()+backoff/2+rand.N(backoff/2)
	s.failures++
	return s.failures == 1 && s.cached != nil && s.cached.age(s.clock) < s.cached.life
}

// stopWaiting removes one waiter from p, and cancels p after the last one.
func (s *tokenSource) stopWaiting(p *pendingToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.waiters--; p.waiters == 0 && s.pending == p {
		s.pending = nil
		p.cancel()
	}
}

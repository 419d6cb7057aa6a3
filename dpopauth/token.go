package dpopauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// A token is an access token, immutable once it is in use. It is only ever held
// by pointer, so that fmt can't reach its value.
type token struct {
	value  string
	scheme string // of the Authorization header: DPoP or Bearer
	ath    string
	life   time.Duration
	early  time.Duration // after which it is to be renewed

	wall time.Time // when it was asked for, by both our clocks: its life counts from there
	mono time.Duration
}

func newToken(value, scheme string, life time.Duration) *token {
	// Renewal at 80 to 90 % of the life, and half a minute before its end where
	// that leaves most of it. A life so short is used up, lest the server be asked
	// more often than once a life.
	early := life
	if life >= time.Minute {
		early = life*8/10 + rand.N(life/10)
	}
	if life >= 2*time.Minute {
		early = min(early, life-30*time.Second)
	}
	sum := sha256.Sum256([]byte(value))
	ath := base64.RawURLEncoding.EncodeToString(sum[:])
	return &token{value: value, scheme: scheme, ath: ath, life: life, early: early}
}

// age is by the clock that says more: the monotonic one stands still while the
// machine sleeps, the wall clock may be set back.
func (t *token) age(c *clock) time.Duration {
	return max(c.wall().Sub(t.wall), c.mono()-t.mono)
}

const (
	firstWindow = time.Second // in which a failed fetch is not tried again
	maxWindow   = time.Minute
)

// Why a token was fetched.
const (
	reasonFirst   = "first"
	reasonEarly   = "early"
	reasonExpired = "expired"
	reasonRefused = "refused"
)

// A source holds the token and renews it: one fetch at a time, for all who wait.
type source struct {
	fetch func(context.Context) (*token, error)
	clock *clock
	log   *slog.Logger
	stats *stats

	mu      sync.Mutex
	cur     *token // nil: none yet, or refused
	reason  string // for the next fetch, if cur is nil
	flight  *flight
	err     error         // of the last fetch
	fails   int           // in a row
	retryAt time.Duration // by the monotonic clock: not before, after a failure
}

// A flight is a fetch under way.
type flight struct {
	cancel  context.CancelFunc
	waiters int // owned by source.mu
	done    chan struct{}
	tok     *token // these two are set before done is closed
	err     error
}

// get returns a token that is good as far as we know. It waits for one only
// where there is none; when renewal is due, that goes on beside.
func (s *source) get(ctx context.Context) (*token, error) {
	s.mu.Lock()
	reason := s.reason
	if cur := s.cur; cur != nil {
		age := cur.age(s.clock)
		if age < cur.life {
			if age >= cur.early && s.flight == nil && !s.resting() {
				s.startLocked(reasonEarly)
			}
			s.mu.Unlock()
			return cur, nil
		}
		reason = reasonExpired
	}
	if ctx.Err() != nil { // who would leave at once neither starts a fetch nor ends one
		s.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	if s.flight == nil {
		if s.resting() {
			defer s.mu.Unlock()
			return nil, s.err
		}
		s.startLocked(reason)
	}
	f := s.flight
	f.waiters++
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.tok, f.err
	case <-ctx.Done():
		s.leave(f)
		return nil, context.Cause(ctx)
	}
}

// resting reports whether the last fetch failed so lately that the server is
// left alone.
func (s *source) resting() bool { return s.err != nil && s.clock.mono() < s.retryAt }

// refuse drops tok, which a server did not take, unless another has replaced it.
func (s *source) refuse(tok *token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == tok {
		s.cur, s.reason = nil, reasonRefused
	}
}

// startLocked begins a fetch in a goroutine of its own, so that it outlives the
// caller who happens to need it first. It ends within fetchTimeout, or when all
// who waited have left.
func (s *source) startLocked(reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	f := &flight{cancel: cancel, done: make(chan struct{})}
	s.flight = f
	go func() {
		defer cancel()
		tok, err := s.fetch(ctx)
		s.land(f, reason, tok, err)
	}()
}

// land takes what a flight brought, unless it was abandoned, and wakes those who
// wait. It logs without the lock: where a log is slow, a good token still is one.
func (s *source) land(f *flight, reason string, tok *token, err error) {
	defer close(f.done)
	f.tok, f.err = tok, err
	s.mu.Lock()
	if s.flight != f {
		s.mu.Unlock()
		return
	}
	s.flight = nil
	if err != nil {
		good := s.failLocked(reason, err)
		s.mu.Unlock()
		if good {
			s.log.Warn("token not renewed; the held one is still good", "err", err)
		}
		return
	}
	s.stats.count(func(c *Counters) { c.Granted[reason]++ })
	s.cur, s.err, s.fails = tok, nil, 0
	s.mu.Unlock()
	s.log.Info("token fetched", "reason", reason, "lifetime", tok.life)
}

// failLocked takes note of a failed fetch. It reports whether it is the first in a
// row and the token held is still good.
func (s *source) failLocked(reason string, err error) bool {
	s.stats.count(func(c *Counters) { c.Failed[reason]++ })
	window := min(firstWindow<<min(s.fails, 10), maxWindow)
	s.err, s.retryAt = err, s.clock.mono()+window/2+rand.N(window/2)
	s.fails++
	return s.fails == 1 && s.cur != nil && s.cur.age(s.clock) < s.cur.life
}

// leave takes one waiter from f, and ends it when that was the last.
func (s *source) leave(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiters--; f.waiters == 0 && s.flight == f {
		s.flight = nil
		f.cancel()
	}
}

package verify

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"oktasync/dpopauth/verify/internal/jws"
)

// A NonceSource hands out the nonces that proofs must carry (RFC 9449, sections
// 8 and 9) and knows them again. It is safe for concurrent use.
type NonceSource interface {
	// Nonce returns the nonce to use from now on.
	Nonce() string
	// Check returns nil for a nonce that is still good, ErrNonceExpired for one
	// that was, and any other error for one that never was.
	Check(nonce string) error
}

// What a NonceSource says of a nonce.
var (
	ErrNonceUnknown = errors.New("nonce is unknown")
	ErrNonceExpired = errors.New("nonce has expired")
)

// NonceConfig says how a server's nonces come and go. The zero value works.
type NonceConfig struct {
	Every time.Duration    // how long a nonce is the current one; 0: 5 minutes
	Valid time.Duration    // how long it is good, from when it became current; at least Every; 0: twice Every
	Now   func() time.Time // nil: time.Now

	// Secret makes nonces good across restarts and on every server that has the
	// same one. It needs 32 random bytes and another for every role and server
	// name; empty: a new one.
	Secret []byte
}

// Nonces is a NonceSource that remembers no nonce: a nonce is the time from
// which it was current and a MAC of that time, so nobody can make one or guess
// the next. Nonces of two sources never pass for one another, which keeps
// authorization server and resource server apart.
type Nonces struct {
	cfg NonceConfig

	mu      sync.Mutex
	current int64 // when the current nonce became current, in Unix nanoseconds
	oldest  int64 // likewise of the oldest one that Rotate has not made invalid
}

// NewNonces returns a source of nonces.
func NewNonces(cfg NonceConfig) *Nonces {
	cfg.Every = cmp.Or(cfg.Every, 5*time.Minute)
	cfg.Valid = max(cmp.Or(cfg.Valid, 2*cfg.Every), cfg.Every) // the current one is always good
	cfg.Now = clock(cfg.Now)
	if len(cfg.Secret) == 0 {
		cfg.Secret = make([]byte, sha256.Size)
		rand.Read(cfg.Secret) // never fails
	}
	return &Nonces{cfg: cfg}
}

// Nonce returns the current nonce: the same for all until it is due for change.
func (n *Nonces) Nonce() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.renewLocked()
	return n.encode(n.current)
}

// renewLocked starts the nonce of the present period if it has not been. Periods
// are the same on every server that shares the secret.
func (n *Nonces) renewLocked() {
	if start := n.cfg.Now().Truncate(n.cfg.Every).UnixNano(); start > n.current {
		n.current = start
	}
}

// Rotate starts a new nonce at once. The one before it stays good for its time,
// all before that are not good any more.
func (n *Nonces) Rotate() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.renewLocked()
	n.oldest = n.current
	n.current = max(n.cfg.Now().UnixNano(), n.current+1)
}

// Check says whether the nonce is one of ours and still good.
func (n *Nonces) Check(nonce string) error {
	b, ok := jws.Decode(nonce)
	if !ok || len(b) < 8 {
		return ErrNonceUnknown
	}
	born := int64(binary.BigEndian.Uint64(b))
	if !equal(nonce, n.encode(born)) {
		return ErrNonceUnknown
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if born < n.oldest || n.cfg.Now().After(time.Unix(0, born).Add(n.cfg.Valid)) {
		return ErrNonceExpired
	}
	return nil
}

// encode returns the nonce that became current at born: 8 octets of time and 16
// of MAC, 32 characters.
func (n *Nonces) encode(born int64) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(born))
	mac := hmac.New(sha256.New, n.cfg.Secret)
	mac.Write(b)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(b)[:24])
}

package verify

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// A NonceSource issues and checks the nonces of proofs (RFC 9449, sections 8 and
// 9). It must be safe for concurrent use.
type NonceSource interface {
	// Nonce returns the current nonce.
	Nonce() string
	// Check returns nil for a valid nonce, ErrNonceExpired for an expired one, and
	// another error for an unknown one.
	Check(nonce string) error
}

// The errors of [NonceSource.Check].
var (
	ErrNonceUnknown = errors.New("nonce is unknown")
	ErrNonceExpired = errors.New("nonce has expired")
)

// NonceConfig configures [Nonces]. The zero value works.
type NonceConfig struct {
	Every time.Duration    // how long a nonce is the current one; 0: 5 minutes
	Valid time.Duration    // how long a nonce is valid, at least Every; 0: twice Every
	Now   func() time.Time // nil: time.Now

	// Secret keeps nonces valid after a restart and on all servers with the same
	// secret. Use 32 random bytes, and a different secret for each role and server
	// name. Empty: a new random secret.
	Secret []byte
}

// Nonces is a NonceSource that stores no nonces: a nonce consists of the time from
// which it is current and a MAC of that time. It can't be forged or predicted, and
// a nonce of one source is not valid at another.
type Nonces struct {
	cfg NonceConfig

	mu      sync.Mutex
	current int64 // start of the current nonce, in Unix nanoseconds
	oldest  int64 // start of the oldest nonce that Rotate has left valid
}

// NewNonces returns a source of nonces.
func NewNonces(cfg NonceConfig) *Nonces {
	cfg.Every = cmp.Or(cfg.Every, 5*time.Minute)
	cfg.Valid = max(cmp.Or(cfg.Valid, 2*cfg.Every), cfg.Every) // the current one is always valid
	cfg.Now = clock(cfg.Now)
	if len(cfg.Secret) == 0 {
		cfg.Secret = make([]byte, sha256.Size)
		rand.Read(cfg.Secret) // never fails
	}
	return &Nonces{cfg: cfg}
}

// Nonce returns the current nonce.
func (n *Nonces) Nonce() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.renewLocked()
	return n.encode(n.current)
}

// renewLocked starts the nonce of the current period. Periods are the same on all
// servers that share the secret.
func (n *Nonces) renewLocked() {
	if start := n.cfg.Now().Truncate(n.cfg.Every).UnixNano(); start > n.current {
		n.current = start
	}
}

// Rotate starts a new nonce. The previous one stays valid for the rest of its time;
// older ones become invalid.
func (n *Nonces) Rotate() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.renewLocked()
	n.oldest = n.current
	n.current = max(n.cfg.Now().UnixNano(), n.current+1)
}

// Check implements [NonceSource].
func (n *Nonces) Check(nonce string) error {
	b, ok := decodeBase64URL(nonce)
	if !ok || len(b) < 8 {
		return ErrNonceUnknown
	}
	start := int64(binary.BigEndian.Uint64(b))
	if !equal(nonce, n.encode(start)) {
		return ErrNonceUnknown
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if start < n.oldest || n.cfg.Now().After(time.Unix(0, start).Add(n.cfg.Valid)) {
		return ErrNonceExpired
	}
	return nil
}

// encode returns the nonce with that start: 8 octets of time and 16 of MAC, as 32
// characters.
func (n *Nonces) encode(start int64) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(start))
	mac := hmac.New(sha256.New, n.cfg.Secret)
	mac.Write(b)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(b)[:24])
}

func clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

package web

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"
)

// AccessConfig configures which requests are answered.
type AccessConfig struct {
	TLS     *tls.Config       // nil: plain HTTP
	Headers map[string]string // response headers
	Users   map[string]string // bcrypt hashes by name; empty: no password is needed
	Burst   int               // requests at once, with Interval
	// Interval is the time after which one more request is allowed; 0: no limit.
	Interval time.Duration
	// AllowHost reports whether a Host header is allowed; nil: all are.
	AllowHost func(host string) bool
}

// Access checks requests. Its methods may be called concurrently.
type Access struct {
	AccessConfig
	names []string // of the users, sorted
	limit *rate.Limiter

	checking sync.Mutex // one password at a time: a check takes a core about 50 ms
	waiting  atomic.Int32
	mu       sync.Mutex
	valid    map[string][sha256.Size]byte // digest of the last valid password, by user
}

// NewAccess returns an Access of c.
func NewAccess(c AccessConfig) *Access {
	return &Access{
		AccessConfig: c, names: slices.Sorted(maps.Keys(c.Users)), limit: rate.NewLimiter(rate.Every(c.Interval), c.Burst),
		valid: make(map[string][sha256.Size]byte),
	}
}

const maxWaiting = 16 // passwords that wait to be checked

// allow reports whether a request is allowed. If not, it has answered it.
func (a *Access) allow(w http.ResponseWriter, r *http.Request) bool {
	if !a.limit.Allow() {
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return false
	}
	if len(a.Users) > 0 {
		name, password, given := r.BasicAuth()
		valid, busy := false, false
		if given {
			valid, busy = a.checkPassword(name, password)
		}
		switch {
		case busy:
			http.Error(w, "too many passwords are being checked", http.StatusTooManyRequests)
			return false
		case !valid:
			w.Header().Set("WWW-Authenticate", `Basic realm="oktasync", charset="UTF-8"`)
			http.Error(w, "this page needs a name and a password", http.StatusUnauthorized)
			return false
		}
	}
	if len(a.Users) > 0 || r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		markAuthenticated(r.Context())
	}
	return true
}

// checkPassword reports whether a password is valid. It checks one password at a
// time, so that guesses take at most one core from a reconcile. It caches the valid
// password of each user, so that guesses don't delay users.
//
// A wrong password takes the same time for each name: for a name without a user,
// the hash of one of the users is checked.
func (a *Access) checkPassword(name, password string) (valid, busy bool) {
	hash, exists := a.Users[name]
	if !exists {
		hash = a.Users[a.decoy(name)]
	}
	digest := sha256.Sum256([]byte(hash + "\x00" + password))
	a.mu.Lock()
	cached, ok := a.valid[name]
	a.mu.Unlock()
	if ok && cached == digest {
		return true, false
	}
	if a.waiting.Add(1) > maxWaiting {
		a.waiting.Add(-1)
		return false, true
	}
	a.checking.Lock()
	valid = bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil && exists
	a.checking.Unlock()
	a.waiting.Add(-1)
	if valid {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.valid[name] = digest
	}
	return valid, false
}

// decoy returns a user whose hash is checked for a name without a user. It is
// always the same user for a name, because hashes may have different costs.
func (a *Access) decoy(name string) string {
	sum := sha256.Sum256([]byte(name))
	return a.names[binary.BigEndian.Uint64(sum[:8])%uint64(len(a.names))]
}

package web

import (
	"crypto/sha256"
	"crypto/tls"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// AccessConfig says which clients get an answer.
type AccessConfig struct {
	TLS     *tls.Config       // nil: plain HTTP
	Headers map[string]string // response headers
	Users   map[string]string // bcrypt hashes by name; empty: no password is needed
	Burst   int               // requests at once, with Interval
	// Interval is the time after which one more request is allowed; 0: no limit.
	Interval time.Duration
	// AllowHost decides which Host headers get an answer; nil: all.
	AllowHost func(host string) bool
}

// Access checks requests. Its methods may be called concurrently.
type Access struct {
	AccessConfig
	limit *rateLimit // nil: no limit

	checking sync.Mutex // one password at a time: a check takes a core about 50 ms
	waiting  atomic.Int32
	mu       sync.Mutex
	results  map[[sha256.Size]byte]bool // of passwords that were checked
}

// NewAccess returns an Access of c.
func NewAccess(c AccessConfig) *Access { return &Access{AccessConfig: c, limit: newRateLimit(c)} }

const (
	maxWaiting = 16  // passwords that wait to be checked
	maxResults = 200 // results that are cached
)

// unknownUserHash is the hash that is checked for a name without a user, so that
// the response time doesn't reveal which users exist. It has cost 10, as the
// hashes that htpasswd makes.
const unknownUserHash = "$2a$10$aV90i79gh3Hqb4OOakswNusmF686oBN0i2wJc.W0iTdgH2pRaH5q2"

// allow reports whether a request is allowed. If not, it has answered it.
func (a *Access) allow(w http.ResponseWriter, r *http.Request) bool {
	for name, value := range a.Headers {
		w.Header().Set(name, value)
	}
	if a.limit != nil && !a.limit.take(time.Now()) {
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return false
	}
	if len(a.Users) == 0 {
		return true
	}
	name, password, given := r.BasicAuth()
	if given {
		valid, busy := a.checkPassword(name, password)
		if valid {
			return true
		}
		if busy {
			http.Error(w, "too many passwords are being checked", http.StatusTooManyRequests)
			return false
		}
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="oktasync", charset="UTF-8"`)
	http.Error(w, "a name and a password are needed", http.StatusUnauthorized)
	return false
}

// checkPassword reports whether a password is valid. It checks one at a time and
// caches results, so that guessing neither takes CPU from a reconcile nor keeps
// known users out.
func (a *Access) checkPassword(name, password string) (valid, busy bool) {
	hash, exists := a.Users[name]
	if !exists {
		hash = unknownUserHash
	}
	key := sha256.Sum256([]byte(hash + "\x00" + password))
	if valid, cached := a.cached(key); cached {
		return valid && exists, false
	}
	if a.waiting.Add(1) > maxWaiting {
		a.waiting.Add(-1)
		return false, true
	}
	a.checking.Lock()
	valid = bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	a.checking.Unlock()
	a.waiting.Add(-1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.results == nil || len(a.results) >= maxResults {
		a.results = make(map[[sha256.Size]byte]bool)
	}
	a.results[key] = valid
	return valid && exists, false
}

func (a *Access) cached(key [sha256.Size]byte) (valid, cached bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	valid, cached = a.results[key]
	return valid, cached
}

// rateLimit is a token bucket.
type rateLimit struct {
	mu       sync.Mutex
	burst    float64
	interval time.Duration
	left     float64
	at       time.Time
}

func newRateLimit(c AccessConfig) *rateLimit {
	if c.Interval <= 0 {
		return nil
	}
	return &rateLimit{burst: float64(c.Burst), interval: c.Interval, left: float64(c.Burst)}
}

func (l *rateLimit) take(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.at.IsZero() {
		l.left = min(l.left+float64(now.Sub(l.at))/float64(l.interval), l.burst)
	}
	l.at = now
	if l.left < 1 {
		return false
	}
	l.left--
	return true
}

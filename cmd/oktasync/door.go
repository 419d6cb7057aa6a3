package main

import (
	"crypto/sha256"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"oktasync/cmd/oktasync/internal/config"
)

// webAccess says who may ask the daemon, and how: what daemon.web_config_file
// makes of it. The zero value lets everybody in.
type webAccess struct {
	*config.Web
	bucket *tokens // nil: no limit

	trying  sync.Mutex // a try costs a core some 50 ms
	waiting atomic.Int32
	mu      sync.Mutex
	known   map[[sha256.Size]byte]bool // tries that were right, or wrong
}

const (
	mostTries = 16  // that wait for the one under way
	mostKnown = 200 // tries that are remembered
)

func newWebAccess(c *config.Web) *webAccess {
	return &webAccess{Web: c, bucket: newTokens(c.RateLimit)}
}

// nobody is who is asked for a password where there is no such user, so that
// the time tells nothing. It is of cost 10, as htpasswd's usual.
const nobody = "$2a$10$aV90i79gh3Hqb4OOakswNusmF686oBN0i2wJc.W0iTdgH2pRaH5q2"

// admit lets a request in, or answers it.
func (a *webAccess) admit(w http.ResponseWriter, r *http.Request) bool {
	for name, value := range a.Headers {
		w.Header().Set(name, value)
	}
	if a.bucket != nil && !a.bucket.take(time.Now()) {
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return false
	}
	if len(a.Users) == 0 {
		return true
	}
	name, password, given := r.BasicAuth()
	if given {
		right, busy := a.check(name, password)
		if right {
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

// check reports whether a password is right. One is checked at a time, and
// what came of it is remembered, so that nobody who guesses keeps a core from a
// reconcile or those who know from an answer.
func (a *webAccess) check(name, password string) (right, busy bool) {
	hash, exists := a.Users[name]
	if !exists {
		hash = nobody
	}
	try := sha256.Sum256([]byte(string(hash) + "\x00" + password))
	if right, known := a.remembered(try); known {
		return right && exists, false
	}
	if a.waiting.Add(1) > mostTries {
		a.waiting.Add(-1)
		return false, true
	}
	a.trying.Lock()
	right = bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	a.trying.Unlock()
	a.waiting.Add(-1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) >= mostKnown {
		a.known = make(map[[sha256.Size]byte]bool)
	}
	a.known[try] = right
	return right && exists, false
}

func (a *webAccess) remembered(try [sha256.Size]byte) (right, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	right, known = a.known[try]
	return right, known
}

// tokens are a rate limit: a burst, and one more each interval.
type tokens struct {
	mu       sync.Mutex
	burst    float64
	interval time.Duration
	left     float64
	at       time.Time
}

func newTokens(r config.RateLimit) *tokens {
	if r.Interval <= 0 {
		return nil
	}
	return &tokens{burst: float64(r.Burst), interval: r.Interval, left: float64(r.Burst)}
}

func (b *tokens) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.at.IsZero() {
		b.left = min(b.left+float64(now.Sub(b.at))/float64(b.interval), b.burst)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// mostConnections is how many are open at a time; the next one waits until
// another has ended, which the server's timeouts see to.
const mostConnections = 256

// door takes connections for a front: no more than so many at a time, in TLS
// where the access of the moment asks for it.
type door struct {
	net.Listener
	access *atomic.Pointer[webAccess]
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newDoor(l net.Listener, access *atomic.Pointer[webAccess]) *door {
	return &door{Listener: l, access: access, places: make(chan struct{}, mostConnections), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	select {
	case d.places <- struct{}{}:
	case <-d.closed:
		return nil, net.ErrClosed
	}
	conn, err := d.Listener.Accept()
	if err != nil {
		<-d.places
		return nil, err
	}
	conn = &visitor{Conn: conn, leave: sync.OnceFunc(func() { <-d.places })}
	if config := d.access.Load().TLS; config != nil {
		return tls.Server(conn, config), nil
	}
	return conn, nil
}

// Close implements net.Listener.
func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.Listener.Close()
}

// visitor is a connection that gives its place back.
type visitor struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (v *visitor) Close() error {
	defer v.leave()
	return v.Conn.Close()
}

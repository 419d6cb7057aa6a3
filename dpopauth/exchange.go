package dpopauth

import (
	"cmp"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"oktasync/dpopauth/internal/parse"
	"oktasync/dpopauth/keys"
)

// A wire is what requests to the token endpoint and to resource servers have in
// common: each goes out with a new proof and the newest nonce, and each answer
// is heard for a nonce and the server's time.
type wire struct {
	base    http.RoundTripper
	key     *keys.Key // nil: no proofs
	decoded bool      // Config.DecodedPathHTU
	clock   *clock
	nonces  nonces
	sends   atomic.Uint64
	log     *slog.Logger
}

// What an answer taught, beyond itself.
type lesson struct {
	nonce bool          // it brought a nonce that can be used
	shift time.Duration // by how much we were wrong about the server's time
}

// misdated reports whether what was sent was dated so wrongly that a server may
// refuse it: at all ahead of its clock, or well behind.
func (l lesson) misdated() bool { return l.shift < 0 || l.shift > tolerance }

// exchange sends req, whose headers it may change, with a new proof.
func (w *wire) exchange(req *http.Request, role role, ath string) (*http.Response, lesson, error) {
	p := peer{role, origin(req.URL)}
	n := w.sends.Add(1)
	sent := w.clock.mono()
	if w.key != nil {
		if err := w.prove(req, p, ath); err != nil {
			closeBody(req)
			return nil, lesson{}, err
		}
		req = w.resigned(req, p, ath)
	}
	resp, err := w.base.RoundTrip(req)
	if err != nil {
		return nil, lesson{}, err
	}
	l := lesson{shift: w.clock.observe(resp, sent)}
	if nonce := parse.Nonce(resp.Header); nonce != "" && w.key != nil {
		w.nonces.put(p, nonce, n)
		l.nonce = true
	}
	if l.shift.Abs() > tolerance {
		w.log.Warn("server's clock differs", "offset", w.clock.offset().Round(time.Second))
	}
	return resp, l, nil
}

// prove puts a new proof on req.
func (w *wire) prove(req *http.Request, p peer, ath string) error {
	jws, err := w.key.SignProof(proof{
		ID:        rand.Text(),
		Method:    cmp.Or(req.Method, http.MethodGet),
		URL:       target(req.URL, w.decoded),
		IssuedAt:  w.clock.now().Unix(), // rounded down
		TokenHash: ath,
		Nonce:     w.nonces.get(p),
	})
	if err != nil {
		return err
	}
	req.Header.Set("DPoP", jws)
	return nil
}

// resigned has req signed anew where it goes out once more. http.Transport sends
// a GET again by itself where a kept connection breaks, and the server may have
// seen the first one: the same proof would be a replay (RFC 9449, section 11.1).
//
// GotConn comes before the headers of each sending, WroteHeaders after them and
// before the last of them leaves. So a proof needs a successor only after
// WroteHeaders, and only then is the map no longer read: a sending that was cut
// off earlier may still be at it, but showed no server a whole proof.
func (w *wire) resigned(req *http.Request, p peer, ath string) *http.Request {
	var shown atomic.Bool
	trace := &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			if shown.Swap(false) && w.prove(req, p, ath) != nil {
				req.Header.Del("DPoP") // better refused than replayed
			}
		},
		WroteHeaders: func() { shown.Store(true) },
	}
	return req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
}

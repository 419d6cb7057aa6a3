package dpopauth

import (
	"cmp"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"oktasync/dpopauth/keys"
)

// A sender sends requests to the token endpoint and to resource servers. It adds
// a new proof with the newest nonce to each request, and takes the nonce and the
// server's time from each response.
type sender struct {
	base        http.RoundTripper
	key         *keys.Key // nil: no proofs
	decodedPath bool      // Config.DecodedPathHTU
	local       *localClock
	clocks      map[string]*clock // by origin: the Date of one server has no effect on another
	nonces      nonceStore
	sends       atomic.Uint64
	log         *slog.Logger
}

// An observation records what a response revealed: a nonce, the server's clock.
type observation struct {
	nonce      bool          // the response contained a valid nonce
	clock      *clock        // of the server
	correction time.Duration // change of its estimate
}

// misdated reports whether the server may have rejected the times in the request:
// they were ahead of its clock, or well behind it.
func (o observation) misdated() bool { return o.correction < 0 || o.correction > skewTolerance }

// send sends req with a new proof. It may change req's header.
func (s *sender) send(req *http.Request, role role, ath string) (*http.Response, observation, error) {
	k := nonceKey{role, origin(req.URL)}
	n := s.sends.Add(1)
	clock, sent := s.clocks[k.origin], s.local.mono()
	if s.key != nil {
		if err := s.addProof(req, k, ath); err != nil {
			closeBody(req)
			return nil, observation{}, err
		}
		req = s.withProofRenewal(req, k, ath)
	}
	resp, err := s.base.RoundTrip(req)
	if err != nil {
		return nil, observation{}, err
	}
	seen := observation{correction: clock.observe(resp, sent), clock: clock}
	if nonce := nonceHeader(resp.Header); nonce != "" && s.key != nil {
		s.nonces.put(k, nonce, n)
		seen.nonce = true
	}
	if seen.correction.Abs() > skewTolerance {
		s.log.Warn("server's clock differs", "offset", clock.offset().Round(time.Second))
	}
	return resp, seen, nil
}

// addProof signs a new proof and sets req's DPoP header.
func (s *sender) addProof(req *http.Request, k nonceKey, ath string) error {
	proof, err := s.key.SignProof(proofClaims{
		ID:        rand.Text(),
		Method:    cmp.Or(req.Method, http.MethodGet),
		URL:       proofURL(req.URL, s.decodedPath),
		IssuedAt:  s.clocks[k.origin].now().Unix(), // rounded down
		TokenHash: ath,
		Nonce:     s.nonces.get(k),
	})
	if err != nil {
		return err
	}
	req.Header.Set("DPoP", proof)
	return nil
}

// withProofRenewal returns req with a trace that signs a new proof if net/http
// sends req again. http.Transport repeats a GET if a kept-alive connection
// breaks. The server may have received the first one, so the same proof would be
// a replay (RFC 9449, section 11.1).
//
// net/http calls GotConn before it writes the header, and WroteHeaders after it.
// Before WroteHeaders, an aborted attempt may still read the header map, but no
// server has received a complete proof. So the proof is replaced only after
// WroteHeaders.
func (s *sender) withProofRenewal(req *http.Request, k nonceKey, ath string) *http.Request {
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			if sent.Swap(false) && s.addProof(req, k, ath) != nil {
				req.Header.Del("DPoP") // a missing proof is rejected, a replay may raise an alarm
			}
		},
		WroteHeaders: func() { sent.Store(true) },
	}
	return req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// discard reads the rest of a body, so that the connection can be reused, and
// closes it.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}

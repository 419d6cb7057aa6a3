package verify

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"oktasync/dpopauth/verify/internal/jws"
)

// Limits that no RFC gives.
const (
	maxProof      = 8 << 10          // bytes of a proof
	maxID         = 256              // bytes of a jti
	defaultMaxAge = 60 * time.Second // how far back an iat may lie
	defaultLeeway = 5 * time.Second  // how far ahead
)

// Config says what a [Verifier] accepts. Origin or OriginOf is needed; the zero
// value of everything else is strict and works.
type Config struct {
	// Origin is the public origin of this server, "https://api.example.com",
	// with the path prefix that a proxy cuts off, if one does. Fields of the
	// request, such as Host, are not trusted.
	Origin string

	// OriginOf, if set, takes the place of Origin and finds the origin by the
	// request: [HostOrigin], [ForwardedOrigin], or your own.
	OriginOf func(*http.Request) string

	Algorithms []string         // accepted for proofs; nil: all of [Algorithms]
	MaxAge     time.Duration    // how far back an iat may lie; 0: 60 s (Okta takes 300 s)
	Leeway     time.Duration    // how far ahead an iat may lie; 0: 5 s, negative: not at all, as at Okta
	Replay     ReplayCache      // nil: one in memory
	Nonces     NonceSource      // nil: no nonce is demanded, and one that comes is ignored
	Now        func() time.Time // nil: time.Now

	// DecodedPath compares htu with the percent-decoded path, as Okta does: for
	// GET /users/a%40b.com the htu has to end in /users/a@b.com.
	DecodedPath bool
}

// A Verifier checks the DPoP proofs that one server gets, either as an
// authorization server or as a resource server. It is safe for concurrent use.
type Verifier struct{ cfg Config }

// New returns a Verifier for cfg.
func New(cfg Config) (*Verifier, error) {
	if cfg.OriginOf == nil {
		if _, _, err := splitURL(cfg.Origin); err != nil {
			return nil, fmt.Errorf("configure verifier: origin %q: %w", cfg.Origin, err)
		}
		cfg.OriginOf = func(*http.Request) string { return cfg.Origin }
	}
	if cfg.MaxAge < 0 {
		return nil, fmt.Errorf("configure verifier: negative max age %v", cfg.MaxAge)
	}
	var err error
	if cfg.Algorithms, err = jws.Allowed(cfg.Algorithms); err != nil {
		return nil, fmt.Errorf("configure verifier: %w", err)
	}
	cfg.MaxAge = cmp.Or(cfg.MaxAge, defaultMaxAge)
	cfg.Leeway = leeway(cfg.Leeway)
	cfg.Replay = replayCache(cfg.Replay)
	cfg.Now = clock(cfg.Now)
	return &Verifier{cfg}, nil
}

// leeway, replayCache and clock fill in what a Config leaves out.

func leeway(d time.Duration) time.Duration { return max(cmp.Or(d, defaultLeeway), 0) }

func replayCache(c ReplayCache) ReplayCache {
	if c == nil {
		return NewReplayCache(0)
	}
	return c
}

func clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// A Proof is a DPoP proof that has passed every check.
type Proof struct {
	Thumbprint string           // of Key; what a token issued on this proof is bound to
	Key        crypto.PublicKey // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey
	Algorithm  string
	ID         string // jti
	Nonce      string // the proof's nonce; checked only where the Verifier demands one
	IssuedAt   time.Time
}

// Proof checks the proof of a request that comes without an access token: one to
// an authorization server's token endpoint. The token to issue is to be bound to
// the Proof's thumbprint. An error is an [*Error].
func (v *Verifier) Proof(r *http.Request) (*Proof, error) {
	return v.check(r, "", "")
}

// BoundProof checks the proof of a request to a resource server. The caller has
// checked the token itself and found in it the thumbprint to which it is bound,
// its cnf.jkt (RFC 9449, section 6.1). An error is an [*Error].
func (v *Verifier) BoundProof(r *http.Request, token, thumbprint string) (*Proof, error) {
	if token == "" {
		return nil, refuse(TokenMissing)
	}
	if thumbprint == "" {
		return nil, refuse(TokenNotBound)
	}
	return v.check(r, token, thumbprint)
}

// check goes through RFC 9449, section 4.3; the numbers are that list's. What
// is cheap comes first. What leaves a trace comes last, so that a proof that is
// forged or stale neither fills the replay cache nor spends another's jti.
func (v *Verifier) check(r *http.Request, token, thumbprint string) (*Proof, error) {
	// 1. There is one DPoP field.
	compact, err := single(r)
	if err != nil {
		return nil, err
	}
	// 2. It is one well-formed JWT. 3. All required claims are there.
	t, ok := jws.Parse(compact, maxProof)
	if !ok {
		return nil, refuse(ProofMalformed)
	}
	c, err := readClaims(t.Claims)
	if err != nil {
		return nil, err
	}
	// 4. to 7. The signature is by the key in the header.
	proof, err := v.checkKey(t)
	if err != nil {
		return nil, err
	}
	// 8. The method is that of the request, which a Go client may leave empty for
	// GET. Methods are case-sensitive (RFC 9110, section 9.1).
	if c.method != cmp.Or(r.Method, http.MethodGet) {
		return nil, refuse(ProofMethod)
	}
	// 9. The URL is that of the request.
	target, ok := v.sameURL(c.url, r)
	if !ok {
		return nil, refuse(ProofURL)
	}
	// 10. If a nonce was demanded, it is that nonce.
	if err := v.checkNonce(c.nonce); err != nil {
		return nil, err
	}
	// 11. The proof was made just now.
	now := v.cfg.Now()
	if c.issuedAt.Before(now.Add(-v.cfg.MaxAge)) {
		return nil, refuse(ProofTooOld)
	}
	if c.issuedAt.After(now.Add(v.cfg.Leeway)) {
		return nil, refuse(ProofInFuture)
	}
	// 12. It is for this access token, which is bound to this key.
	if token != "" && !equal(c.tokenHash, AccessTokenHash(token)) {
		return nil, refuse(ProofTokenHash)
	}
	if token != "" && !equal(proof.Thumbprint, thumbprint) {
		return nil, refuse(ProofOtherKey)
	}
	proof.ID, proof.Nonce, proof.IssuedAt = c.id, c.nonce, c.issuedAt
	if err := v.spend(r.Context(), now, proof, target); err != nil {
		return nil, err
	}
	return proof, nil
}

// single returns the value of the only DPoP field. A comma can't be part of a
// proof: it joins several fields into one.
func single(r *http.Request) (string, error) {
	values := r.Header.Values("DPoP")
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return "", refuse(ProofMissing)
	case len(values) > 1 || strings.Contains(values[0], ","):
		return "", refuse(ProofMultiple)
	}
	return values[0], nil
}

// claims are the claims of a proof (RFC 9449, section 4.2).
type claims struct {
	id, method, url  string
	issuedAt         time.Time
	tokenHash, nonce string // "" where absent
}

func readClaims(o jws.Object) (c claims, err error) {
	var ok bool
	if c.id, ok = o.Text("jti"); !ok || c.id == "" || len(c.id) > maxID {
		return c, refuse(ProofID)
	}
	if c.method, ok = o.Text("htm"); !ok || c.method == "" {
		return c, refuse(ProofMethodMalformed)
	}
	if c.url, ok = o.Text("htu"); !ok {
		return c, refuse(ProofURLMalformed)
	}
	if _, _, err := splitURL(c.url); err != nil {
		return c, refuse(ProofURLMalformed)
	}
	if c.issuedAt, ok = o.Time("iat"); !ok {
		return c, refuse(ProofIssuedAtMalformed)
	}
	if c.tokenHash, ok = o.Text("ath"); !ok && o.Has("ath") {
		return c, refuse(ProofMalformed)
	}
	if c.nonce, ok = o.Text("nonce"); !ok && o.Has("nonce") {
		return c, refuse(ProofMalformed)
	}
	return c, nil
}

// checkKey checks steps 4 to 7 of RFC 9449, section 4.3.
func (v *Verifier) checkKey(t *jws.JWS) (*Proof, error) {
	// 4. It is a proof and no other kind of JWT.
	if typ, _ := t.Header.Text("typ"); typ != "dpop+jwt" {
		return nil, refuse(ProofType)
	}
	// 5. The algorithm is asymmetric and allowed.
	alg, ok := t.Algorithm(v.cfg.Algorithms)
	if !ok {
		return nil, refuse(ProofAlgorithm)
	}
	// 7. The key holds nothing private, and it is of the kind that alg needs
	// (RFC 8725, section 3.1).
	jwk, ok := t.Header.Object("jwk")
	if !ok {
		return nil, refuse(ProofKey)
	}
	key, err := jws.PublicKey(jwk)
	if err != nil || !alg.Fits(key) {
		return nil, refuse(ProofKey)
	}
	thumbprint, err := jws.Thumbprint(key)
	if err != nil {
		return nil, refuse(ProofKey)
	}
	// 6. The signature is by that key.
	if !alg.Verifies(key, t) {
		return nil, refuse(ProofSignature)
	}
	return &Proof{Thumbprint: thumbprint, Key: key, Algorithm: alg.Name}, nil
}

func (v *Verifier) checkNonce(nonce string) error {
	if v.cfg.Nonces == nil {
		return nil
	}
	reason := NonceMissing
	if nonce != "" {
		err := v.cfg.Nonces.Check(nonce)
		if err == nil {
			return nil
		}
		reason = NonceUnknown
		if errors.Is(err, ErrNonceExpired) {
			reason = NonceExpired
		}
	}
	return &Error{Reason: reason, Nonce: v.cfg.Nonces.Nonce()}
}

// OfferNonce puts the current nonce into the header of an answer where the proof
// has an older one, which spares the client a challenge (RFC 9449, section 8.2).
// [Resource.Protect] does so by itself.
func (v *Verifier) OfferNonce(h http.Header, p *Proof) {
	if v.cfg.Nonces == nil {
		return
	}
	if nonce := v.cfg.Nonces.Nonce(); nonce != p.Nonce {
		h.Set("DPoP-Nonce", nonce)
	}
}

// spend makes the proof good for once (RFC 9449, section 11.1). What counts is
// its jti, in the context of key and URL; its encoding and signature can have
// several forms. It is remembered for as long as its iat would pass.
func (v *Verifier) spend(ctx context.Context, now time.Time, p *Proof, target string) error {
	until := p.IssuedAt.Add(v.cfg.MaxAge + v.cfg.Leeway)
	fresh, err := v.cfg.Replay.Add(ctx, replayKey(p.Thumbprint, target, p.ID), now, until)
	if err != nil {
		return &Error{Reason: ReplayUnavailable, Err: err}
	}
	if !fresh {
		return refuse(ProofReplayed)
	}
	return nil
}

// replayKey hashes parts so that no two lists of parts run into one.
func replayKey(parts ...string) [32]byte {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return [32]byte(h.Sum(nil))
}

// Algorithms returns the names of all signature algorithms that this package
// knows. None of them is symmetric, and none is "none".
func Algorithms() []string { return jws.Algorithms() }

// Thumbprint returns the SHA-256 thumbprint of a public key (RFC 7638; RFC 8037,
// section 2) in base64url. It is what an access token carries as cnf.jkt.
func Thumbprint(key crypto.PublicKey) (string, error) { return jws.Thumbprint(key) }

// AccessTokenHash returns what a proof for token has as its ath
// (RFC 9449, section 4.2).
func AccessTokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Package verify verifies DPoP proofs (RFC 9449), the access tokens that are bound
// to them, and client assertions (RFC 7523), for servers. It accepts only what
// conforms to the RFCs; options accept Okta's deviations.
//
// The sandbox org (oktaclient/sandbox) uses it in its authorization servers and its API.
// Resource servers of other projects can use it too; see docs/libraries.md.
//
// Start reading at [Verifier.Proof] (verify.go), which checks a proof in the order
// of RFC 9449, section 4.3. [Resource] (resource.go) is the middleware, [Issuer]
// (issuer.go, keyset.go) verifies access tokens, and [Clients] (assertion.go)
// verifies client assertions. Untrusted input is parsed in jws.go, jwk.go and
// json.go. The package shares no code with the client, package dpopauth.
//
// # Resource server
//
// [Resource.Protect] wraps an [http.Handler]. It needs a [Verifier] for proofs and
// a function that verifies access tokens. [Issuer.Token] verifies the JWTs of an
// authorization server that publishes its keys. For others, write your own function.
//
// # Authorization server
//
// First, [Clients.Assertion] authenticates the client (private_key_jwt). Then,
// [Verifier.Proof] verifies the proof of the token request. In the other order,
// any client can fill the replay cache with proofs that its own keys sign. Put the
// Thumbprint of the [Proof] into the token as cnf.jkt, and set token_type to DPoP.
// [WriteTokenError] writes the response to a rejected request.
//
// # Checks
//
// Only one encoding of each value is accepted. Padded base64url, duplicate JSON members
// and leading zeros of RSA numbers are rejected.
// Each rejection is an [*Error] with a [Reason].
//
// A server can require a nonce ([Config.Nonces]) if it can't rely on the iat of
// proofs: clocks differ, and proofs can be made in advance. A nonce is valid for
// many proofs, and the previous one stays valid for some time.
//
// # Limits
//
// All types are safe for concurrent use, and their memory is bounded. A full
// replay cache rejects requests; it never drops an entry early. An issuer is asked
// for new keys at most every 30 seconds. Servers behind one URL must share a
// [ReplayCache] and the [NonceConfig.Secret].
//
// Errors and responses contain no part of a proof, token or assertion. The package
// writes no log and no file.
package verify

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits that no RFC specifies.
const (
	maxProof      = 8 << 10          // bytes of a proof
	maxID         = 256              // bytes of a jti
	defaultMaxAge = 60 * time.Second // maximum age of iat
	defaultLeeway = 5 * time.Second  // maximum time of iat in the future
)

// Config configures a [Verifier]. Origin or OriginOf is required. The zero value
// of all other fields is the strict default.
type Config struct {
	// Origin is the public origin of this server, "https://api.example.com",
	// followed by the path prefix that a proxy removes, if any. The Host header is
	// not used.
	Origin string

	// OriginOf, if set, returns the origin for a request instead: [HostOrigin],
	// [ForwardedOrigin], or your own function.
	OriginOf func(*http.Request) string

	Algorithms []string         // accepted for proofs; nil: all of [Algorithms]
	MaxAge     time.Duration    // maximum age of iat; 0: 60 s (Okta: 300 s)
	Leeway     time.Duration    // maximum time of iat in the future; 0: 5 s, negative: none (Okta)
	Replay     ReplayCache      // nil: a new one in memory
	Nonces     NonceSource      // nil: no nonce is required, and any is ignored
	Now        func() time.Time // nil: time.Now

	// DecodedPath compares htu with the percent-decoded path, as Okta does. For
	// GET /users/a%40b.com, htu must end in /users/a@b.com.
	DecodedPath bool
}

// A Verifier verifies the DPoP proofs that one server receives, as authorization
// server or as resource server. It is safe for concurrent use.
type Verifier struct{ cfg Config }

// New returns a Verifier for cfg, or an error that names the invalid setting.
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
	if cfg.Algorithms, err = allowedAlgorithms(cfg.Algorithms); err != nil {
		return nil, fmt.Errorf("configure verifier: %w", err)
	}
	cfg.MaxAge = cmp.Or(cfg.MaxAge, defaultMaxAge)
	cfg.Leeway = leeway(cfg.Leeway)
	cfg.Replay = replayCache(cfg.Replay)
	cfg.Now = clock(cfg.Now)
	return &Verifier{cfg}, nil
}

// leeway, replayCache and clock return the value or its default.

func leeway(d time.Duration) time.Duration { return max(cmp.Or(d, defaultLeeway), 0) }

// A Proof is a verified DPoP proof.
type Proof struct {
	Thumbprint string           // of Key (RFC 7638); the cnf.jkt of a token for this proof
	Key        crypto.PublicKey // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey
	Algorithm  string
	ID         string // jti
	Nonce      string // verified only if the Verifier requires nonces
	IssuedAt   time.Time
}

// Proof verifies the proof of a request without an access token, to the token
// endpoint of an authorization server. Authenticate the client first: each
// accepted proof takes an entry of the replay cache, and everyone can make proofs.
// Bind the issued token to the Thumbprint of the result. The error is an [*Error].
func (v *Verifier) Proof(r *http.Request) (*Proof, error) {
	return v.check(r, "", "")
}

// BoundProof verifies the proof of a request to a resource server. The caller must
// have verified the token; thumbprint is the token's cnf.jkt (RFC 9449, section
// 6.1). The error is an [*Error].
func (v *Verifier) BoundProof(r *http.Request, token, thumbprint string) (*Proof, error) {
	if token == "" {
		return nil, reject(TokenMissing)
	}
	if thumbprint == "" {
		return nil, reject(TokenNotBound)
	}
	return v.check(r, token, thumbprint)
}

// check implements RFC 9449, section 4.3; the numbers are those of that list.
// Cheap checks come first. The replay check comes last, so that a forged or
// expired proof neither fills the replay cache nor uses the jti of another proof.
func (v *Verifier) check(r *http.Request, token, thumbprint string) (*Proof, error) {
	// 1. There is one DPoP header.
	compact, err := proofHeader(r)
	if err != nil {
		return nil, err
	}
	// 2. It is one well-formed JWT. 3. It contains all required claims.
	t, ok := parseJWT(compact, maxProof)
	if !ok {
		return nil, reject(ProofMalformed)
	}
	c, err := parseClaims(t.claims)
	if err != nil {
		return nil, err
	}
	// 4. to 7. The key in the header verifies the signature.
	proof, err := v.checkKey(t)
	if err != nil {
		return nil, err
	}
	// 8. The method is that of the request; Go allows an empty one for GET. Methods
	// are case-sensitive (RFC 9110, section 9.1).
	if c.method != cmp.Or(r.Method, http.MethodGet) {
		return nil, reject(ProofMethod)
	}
	// 9. The URL is that of the request.
	target, ok := v.sameURL(c.url, r)
	if !ok {
		return nil, reject(ProofURL)
	}
	// 10. If a nonce is required, the proof contains a valid one.
	if err := v.checkNonce(c.nonce); err != nil {
		return nil, err
	}
	// 11. The proof is recent.
	now := v.cfg.Now()
	if c.issuedAt.Before(now.Add(-v.cfg.MaxAge)) {
		return nil, reject(ProofTooOld)
	}
	if c.issuedAt.After(now.Add(v.cfg.Leeway)) {
		return nil, reject(ProofInFuture)
	}
	// 12. It is for this access token, and the token is bound to this key.
	if token != "" && !equal(c.tokenHash, AccessTokenHash(token)) {
		return nil, reject(ProofTokenHash)
	}
	if token != "" && !equal(proof.Thumbprint, thumbprint) {
		return nil, reject(ProofOtherKey)
	}
	proof.ID, proof.Nonce, proof.IssuedAt = c.id, c.nonce, c.issuedAt
	if err := v.checkReplay(r.Context(), now, proof, target); err != nil {
		return nil, err
	}
	return proof, nil
}

// proofHeader returns the value of the only DPoP header. A comma separates
// combined header lines, and can't be part of a proof.
func proofHeader(r *http.Request) (string, error) {
	values := r.Header.Values("DPoP")
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return "", reject(ProofMissing)
	case len(values) > 1 || strings.Contains(values[0], ","):
		return "", reject(ProofMultiple)
	}
	return values[0], nil
}

// claims are the claims of a proof (RFC 9449, section 4.2).
type claims struct {
	id, method, url  string
	issuedAt         time.Time
	tokenHash, nonce string // "" if absent
}

func parseClaims(o object) (c claims, err error) {
	var ok bool
	if c.id, ok = o.text("jti"); !ok || c.id == "" || len(c.id) > maxID {
		return c, reject(ProofID)
	}
	if c.method, ok = o.text("htm"); !ok || c.method == "" {
		return c, reject(ProofMethodMalformed)
	}
	if c.url, ok = o.text("htu"); !ok {
		return c, reject(ProofURLMalformed)
	}
	if _, _, err := splitURL(c.url); err != nil {
		return c, reject(ProofURLMalformed)
	}
	if c.issuedAt, ok = o.time("iat"); !ok {
		return c, reject(ProofIssuedAtMalformed)
	}
	if c.tokenHash, ok = o.text("ath"); !ok && o.has("ath") {
		return c, reject(ProofMalformed)
	}
	if c.nonce, ok = o.text("nonce"); !ok && o.has("nonce") {
		return c, reject(ProofMalformed)
	}
	return c, nil
}

// checkKey implements steps 4 to 7 of RFC 9449, section 4.3.
func (v *Verifier) checkKey(t *jws) (*Proof, error) {
	// 4. It is a proof, not another kind of JWT.
	if typ, _ := t.header.text("typ"); typ != "dpop+jwt" {
		return nil, reject(ProofType)
	}
	// 5. The algorithm is asymmetric and allowed.
	alg, ok := t.algorithm(v.cfg.Algorithms)
	if !ok {
		return nil, reject(ProofAlgorithm)
	}
	// 7. The key is public, and has the type that alg requires (RFC 8725, section
	// 3.1).
	jwk, ok := t.header.object("jwk")
	if !ok {
		return nil, reject(ProofKey)
	}
	key, err := parsePublicKey(jwk)
	if err != nil || !alg.fits(key) {
		return nil, reject(ProofKey)
	}
	thumbprint, err := Thumbprint(key)
	if err != nil {
		return nil, reject(ProofKey)
	}
	// 6. The signature is by that key.
	if !alg.verifies(key, t) {
		return nil, reject(ProofSignature)
	}
	return &Proof{Thumbprint: thumbprint, Key: key, Algorithm: alg.name}, nil
}

// target returns the URL of the request: the public origin, and the path of the
// request line in escaped and decoded form.
func (v *Verifier) target(r *http.Request) (origin, escaped, decoded string, err error) {
	origin, prefix, err := splitURL(v.cfg.OriginOf(r))
	if err != nil {
		return "", "", "", fmt.Errorf("find origin of request: %w", err)
	}
	u := r.URL
	if r.RequestURI != "" { // a router may have changed r.URL
		if u, err = url.ParseRequestURI(r.RequestURI); err != nil {
			return "", "", "", fmt.Errorf("parse request target: %w", errURL)
		}
	}
	if u.Path == "" {
		u = &url.URL{Path: "/"}
	}
	prefix = strings.TrimSuffix(prefix, "/")
	return origin, prefix + u.EscapedPath(), prefix + u.Path, nil
}

// sameURL reports whether htu is the URL of the request, and returns its normal
// form.
func (v *Verifier) sameURL(htu string, r *http.Request) (string, bool) {
	origin, path, err := splitURL(htu)
	if err != nil {
		return "", false
	}
	wantOrigin, escaped, decoded, err := v.target(r)
	if err != nil || origin != wantOrigin {
		return "", false
	}
	if v.cfg.DecodedPath {
		return origin + decoded, path == decoded || path == minimalEscaper.Replace(decoded)
	}
	normal := normalPath(escaped)
	return origin + normal, normalPath(path) == normal
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

// OfferNonce sets the DPoP-Nonce header of a response if the proof has an older
// nonce, so that the client avoids a challenge (RFC 9449, section 8.2).
// [Resource.Protect] calls it.
func (v *Verifier) OfferNonce(h http.Header, p *Proof) {
	if v.cfg.Nonces == nil {
		return
	}
	if nonce := v.cfg.Nonces.Nonce(); nonce != p.Nonce {
		h.Set("DPoP-Nonce", nonce)
	}
}

// checkReplay rejects a proof that was used before (RFC 9449, section 11.1). It
// compares key, URL and jti, because the same proof can have several encodings
// and signatures. The entry is kept as long as the iat is accepted.
func (v *Verifier) checkReplay(ctx context.Context, now time.Time, p *Proof, target string) error {
	until := p.IssuedAt.Add(v.cfg.MaxAge + v.cfg.Leeway)
	isNew, err := v.cfg.Replay.Add(ctx, replayKey(p.Thumbprint, target, p.ID), now, until)
	if err != nil {
		return &Error{Reason: ReplayUnavailable, Err: err}
	}
	if !isNew {
		return reject(ProofReplayed)
	}
	return nil
}

// replayKey hashes parts with their lengths, so that different lists differ.
func replayKey(parts ...string) [32]byte {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return [32]byte(h.Sum(nil))
}

// AccessTokenHash returns the ath of a proof for token (RFC 9449, section 4.2).
func AccessTokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

package verify

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const maxToken = 16 << 10 // bytes of an access token

// IssuerConfig configures an [Issuer]. URL and Audience are required.
type IssuerConfig struct {
	URL      string // the issuer, exactly as in its tokens and its metadata
	Audience string // this resource server, as in the aud of its tokens

	// KeysURL is the URL of the issuer's JWKS. If it is empty, it is taken from the
	// issuer's metadata (RFC 8414), and must have the scheme, host and port of URL.
	KeysURL string

	Algorithms []string         // nil: all of [Algorithms]
	Leeway     time.Duration    // maximum difference of the clocks; 0: 5 s, negative: none
	HTTPClient *http.Client     // nil: a new one; redirects are not followed
	Now        func() time.Time // nil: time.Now
}

// An Issuer verifies the access tokens of an authorization server: JWTs as in
// RFC 9068, or in the older forms of Okta and others. It uses the keys that the
// server publishes. It is safe for concurrent use.
type Issuer struct {
	cfg  IssuerConfig
	keys *keySet
}

// NewIssuer returns an Issuer for cfg. It sends no request. The error names the
// invalid setting.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	for _, u := range []string{cfg.URL, cmp.Or(cfg.KeysURL, cfg.URL)} {
		if err := checkServerURL(u); err != nil {
			return nil, fmt.Errorf("configure issuer: %w", err)
		}
	}
	if cfg.Audience == "" {
		return nil, fmt.Errorf("configure issuer %s: no audience", cfg.URL)
	}
	var err error
	if cfg.Algorithms, err = allowedAlgorithms(cfg.Algorithms); err != nil {
		return nil, fmt.Errorf("configure issuer %s: %w", cfg.URL, err)
	}
	cfg.Leeway = leeway(cfg.Leeway)
	cfg.Now = clock(cfg.Now)
	return &Issuer{cfg: cfg, keys: newKeySet(cfg.URL, cfg.KeysURL, cfg.HTTPClient, cfg.Now)}, nil
}

// A Token is a verified access token.
type Token struct {
	Thumbprint string // cnf.jkt, of the key to which the token is bound; "": a bearer token
	Subject    string
	ClientID   string
	Scopes     []string
	Expiry     time.Time
	Claims     map[string]any // all claims
}

// Token verifies form, type, issuer, signature, audience and times of an access
// token. [Resource.Protect] checks the scopes and the binding to a key. The error
// is an [*Error]. If Token must fetch the issuer's keys, it takes up to 10 seconds,
// even if ctx ends earlier, because other callers may wait for the keys too.
func (i *Issuer) Token(ctx context.Context, token string) (*Token, error) {
	t, ok := parseJWT(token, maxToken)
	if !ok {
		return nil, reject(TokenMalformed)
	}
	// Reject ID tokens, proofs and assertions of the same issuer (RFC 9068, section
	// 4; RFC 8725, section 3.11). Many issuers use typ JWT or omit it.
	switch typ, _ := t.header.text("typ"); strings.ToLower(typ) {
	case "at+jwt", "application/at+jwt", "jwt", "":
	default:
		return nil, reject(TokenType)
	}
	// Check the issuer first: a token of another issuer must not cause a key fetch.
	if iss, _ := t.claims.text("iss"); iss != i.cfg.URL {
		return nil, reject(TokenIssuer)
	}
	if err := i.checkSignature(ctx, t); err != nil {
		return nil, err
	}
	if aud, _ := t.claims.texts("aud"); !slices.Contains(aud, i.cfg.Audience) {
		return nil, reject(TokenAudience)
	}
	return i.checkTimes(t.claims)
}

func (i *Issuer) checkSignature(ctx context.Context, t *jws) error {
	alg, ok := t.algorithm(i.cfg.Algorithms)
	if !ok {
		return reject(TokenAlgorithm)
	}
	key, ok, err := i.keys.find(ctx, t.header)
	if err != nil {
		return &Error{Reason: KeysUnavailable, Err: err}
	}
	if !ok {
		return reject(TokenKeyID)
	}
	if !key.fits(alg) {
		return reject(TokenAlgorithm)
	}
	if !alg.verifies(key.Public, t) {
		return reject(TokenSignature)
	}
	return nil
}

// checkTimes checks the times of a token, and returns its claims.
func (i *Issuer) checkTimes(claims object) (*Token, error) {
	token := &Token{Claims: claims}
	now := i.cfg.Now()
	var ok bool
	if token.Expiry, ok = claims.time("exp"); !ok || !token.Expiry.Add(i.cfg.Leeway).After(now) {
		return nil, reject(TokenExpired)
	}
	for _, name := range []string{"nbf", "iat"} {
		if t, ok := claims.time(name); claims.has(name) && (!ok || t.After(now.Add(i.cfg.Leeway))) {
			return nil, reject(TokenNotYet)
		}
	}
	if claims.has("cnf") {
		cnf, ok := claims.object("cnf")
		if !ok {
			return nil, reject(TokenMalformed)
		}
		if token.Thumbprint, ok = cnf.text("jkt"); !ok && cnf.has("jkt") {
			return nil, reject(TokenMalformed)
		}
	}
	token.Subject, _ = claims.text("sub")
	if token.ClientID, ok = claims.text("client_id"); !ok {
		token.ClientID, _ = claims.text("cid") // Okta
	}
	if scope, ok := claims.text("scope"); ok {
		token.Scopes = strings.Fields(scope)
	} else {
		token.Scopes, _ = claims.texts("scp") // Okta
	}
	return token, nil
}

package verify

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"oktasync/dpopauth/verify/internal/jws"
)

const maxToken = 16 << 10 // bytes of an access token

// IssuerConfig names an authorization server and what of its tokens to accept.
type IssuerConfig struct {
	URL      string // the issuer, exactly as its tokens and its metadata have it
	Audience string // what the aud of a token must name: this resource server

	KeysURL    string           // where its JWKS is; "": found in its metadata (RFC 8414)
	Algorithms []string         // nil: all of [Algorithms]
	Leeway     time.Duration    // how far clocks may differ; 0: 5 s, negative: not at all
	HTTPClient *http.Client     // nil: a new one; redirects are not followed
	Now        func() time.Time // nil: time.Now
}

// An Issuer checks access tokens that an authorization server issues as JWTs
// (RFC 9068, and Okta's and others' that came before it), by the keys that the
// server publishes. It is safe for concurrent use.
type Issuer struct {
	cfg  IssuerConfig
	keys *keySet
}

// NewIssuer returns an Issuer for cfg. It asks the server for nothing yet.
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
	if cfg.Algorithms, err = jws.Allowed(cfg.Algorithms); err != nil {
		return nil, fmt.Errorf("configure issuer %s: %w", cfg.URL, err)
	}
	cfg.Leeway = leeway(cfg.Leeway)
	cfg.Now = clock(cfg.Now)
	return &Issuer{cfg: cfg, keys: newKeySet(cfg)}, nil
}

// checkServerURL lets keys come over TLS only, but from this machine.
func checkServerURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("%q is not an absolute URL", raw)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return fmt.Errorf("%q is not an https URL", raw)
	}
	return nil
}

// A Token is an access token that has been checked, as far as a resource server
// needs to know it.
type Token struct {
	Thumbprint string // cnf.jkt: of the key that it is bound to; "": a plain bearer token
	Subject    string
	ClientID   string
	Scopes     []string
	Expiry     time.Time
	Claims     map[string]any // all of its claims
}

// Token checks an access token: form, kind, issuer, signature, audience and
// times. Scopes and the binding to a key are for [Resource.Protect] to check. An
// error is an [*Error]. Where the issuer has to be asked for its keys that takes 10
// seconds at most, whenever ctx ends, since others may wait for them too.
func (i *Issuer) Token(ctx context.Context, token string) (*Token, error) {
	t, ok := jws.Parse(token, maxToken)
	if !ok {
		return nil, refuse(TokenMalformed)
	}
	// Not an ID token, a proof or an assertion by the same issuer (RFC 9068,
	// section 4; RFC 8725, section 3.11). Many issuers say JWT, or nothing.
	switch typ, _ := t.Header.Text("typ"); strings.ToLower(typ) {
	case "at+jwt", "application/at+jwt", "jwt", "":
	default:
		return nil, refuse(TokenType)
	}
	// The issuer first: a foreign token must not make us ask for new keys.
	if iss, _ := t.Claims.Text("iss"); iss != i.cfg.URL {
		return nil, refuse(TokenIssuer)
	}
	if err := i.checkSignature(ctx, t); err != nil {
		return nil, err
	}
	if aud, _ := t.Claims.Texts("aud"); !slices.Contains(aud, i.cfg.Audience) {
		return nil, refuse(TokenAudience)
	}
	return i.readToken(t.Claims)
}

func (i *Issuer) checkSignature(ctx context.Context, t *jws.JWS) error {
	alg, ok := t.Algorithm(i.cfg.Algorithms)
	if !ok {
		return refuse(TokenAlgorithm)
	}
	key, ok, err := i.keys.find(ctx, t.Header)
	if err != nil {
		return &Error{Reason: KeysUnavailable, Err: err}
	}
	if !ok {
		return refuse(TokenKeyID)
	}
	if !key.fits(alg) {
		return refuse(TokenAlgorithm)
	}
	if !alg.Verifies(key.Public, t) {
		return refuse(TokenSignature)
	}
	return nil
}

// readToken checks the times of a token and takes from it what servers ask for.
func (i *Issuer) readToken(claims jws.Object) (*Token, error) {
	token := &Token{Claims: claims}
	now := i.cfg.Now()
	var ok bool
	if token.Expiry, ok = claims.Time("exp"); !ok || !token.Expiry.Add(i.cfg.Leeway).After(now) {
		return nil, refuse(TokenExpired)
	}
	for _, name := range []string{"nbf", "iat"} {
		if t, ok := claims.Time(name); claims.Has(name) && (!ok || t.After(now.Add(i.cfg.Leeway))) {
			return nil, refuse(TokenNotYet)
		}
	}
	if claims.Has("cnf") {
		cnf, ok := claims.Object("cnf")
		if !ok {
			return nil, refuse(TokenMalformed)
		}
		if token.Thumbprint, ok = cnf.Text("jkt"); !ok && cnf.Has("jkt") {
			return nil, refuse(TokenMalformed)
		}
	}
	token.Subject, _ = claims.Text("sub")
	if token.ClientID, ok = claims.Text("client_id"); !ok {
		token.ClientID, _ = claims.Text("cid") // Okta
	}
	if scope, ok := claims.Text("scope"); ok {
		token.Scopes = strings.Fields(scope)
	} else {
		token.Scopes, _ = claims.Texts("scp") // Okta
	}
	return token, nil
}

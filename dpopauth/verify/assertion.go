package verify

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	maxAssertion   = 16 << 10
	defaultMaxLife = time.Hour // maximum time until exp, as at Okta
)

// ErrUnknownClient is the error of [ClientsConfig.Keys] for an unknown client.
var ErrUnknownClient = errors.New("unknown client")

// A Key is a public key of a client or an issuer.
type Key struct {
	ID        string // kid; may be empty if there is only one key
	Algorithm string // the only allowed alg; empty: each that fits the type of key
	Public    crypto.PublicKey
}

// fits reports whether alg is allowed for k (RFC 8725, section 3.1).
func (k Key) fits(alg algorithm) bool {
	return (k.Algorithm == "" || k.Algorithm == alg.name) && alg.fits(k.Public)
}

// ClientsConfig configures [Clients]. Keys is required.
type ClientsConfig struct {
	// Keys returns the registered keys of a client, or ErrUnknownClient. Calls may be
	// concurrent.
	Keys func(ctx context.Context, clientID string) ([]Key, error)

	Algorithms []string         // nil: all of [Algorithms]
	MaxLife    time.Duration    // maximum time until exp; 0: an hour
	Leeway     time.Duration    // maximum time of iat and nbf in the future; 0: 5 s, negative: none (Okta)
	OptionalID bool             // accept an assertion without jti, as Okta does
	Replay     ReplayCache      // nil: a new one in memory
	Now        func() time.Time // nil: time.Now
}

// Clients verifies the assertions with which clients authenticate at a token
// endpoint (private_key_jwt: RFC 7523, sections 2.2 and 3). It is safe for
// concurrent use.
type Clients struct{ cfg ClientsConfig }

// NewClients returns Clients for cfg, or an error that names the invalid setting.
func NewClients(cfg ClientsConfig) (*Clients, error) {
	if cfg.Keys == nil {
		return nil, errors.New("configure clients: no source of keys")
	}
	var err error
	if cfg.Algorithms, err = allowedAlgorithms(cfg.Algorithms); err != nil {
		return nil, fmt.Errorf("configure clients: %w", err)
	}
	cfg.MaxLife = cmp.Or(cfg.MaxLife, defaultMaxLife)
	cfg.Leeway = leeway(cfg.Leeway)
	cfg.Replay = replayCache(cfg.Replay)
	cfg.Now = clock(cfg.Now)
	return &Clients{cfg}, nil
}

// An Assertion is a verified client assertion.
type Assertion struct {
	ClientID string
	KeyID    string // kid of the key that signed it
	ID       string // jti
	Expiry   time.Time
}

// Assertion verifies a client assertion. audiences are the accepted values of aud,
// compared exactly: the URL of the token endpoint (Okta), or the issuer. The error
// is an [*Error].
func (c *Clients) Assertion(ctx context.Context, assertion string, audiences ...string) (*Assertion, error) {
	t, ok := parseJWT(assertion, maxAssertion)
	if !ok {
		return nil, reject(AssertionMalformed)
	}
	a, err := c.checkKey(ctx, t)
	if err != nil {
		return nil, err
	}
	// RFC 7523, section 3: 1. and 2. iss and sub are the client.
	if sub, _ := t.claims.text("sub"); sub != a.ClientID {
		return nil, reject(AssertionSubject)
	}
	// 3. This endpoint is the only audience; another could forward the assertion.
	aud, _ := t.claims.texts("aud")
	if len(aud) != 1 || !slices.Contains(audiences, aud[0]) {
		return nil, reject(AssertionAudience)
	}
	if err := c.checkTimes(t.claims, a); err != nil {
		return nil, err
	}
	// 7. It was not used before.
	if err := c.checkReplay(ctx, t.claims, a); err != nil {
		return nil, err
	}
	return a, nil
}

// checkKey verifies the signature of t with a key of the client that iss names
// (RFC 7523, section 3, 9.).
func (c *Clients) checkKey(ctx context.Context, t *jws) (*Assertion, error) {
	alg, ok := t.algorithm(c.cfg.Algorithms)
	if !ok {
		return nil, reject(AssertionAlgorithm)
	}
	client, ok := t.claims.text("iss")
	if !ok || client == "" {
		return nil, reject(AssertionIssuer)
	}
	keys, err := c.cfg.Keys(ctx, client)
	switch {
	case errors.Is(err, ErrUnknownClient):
		return nil, reject(AssertionIssuer)
	case err != nil:
		return nil, &Error{Reason: KeysUnavailable, Err: err}
	case len(keys) == 0:
		return nil, reject(AssertionNoKeys)
	}
	key, ok := findKey(keys, t.header)
	if !ok {
		return nil, reject(AssertionKeyID)
	}
	if !key.fits(alg) {
		return nil, reject(AssertionAlgorithm)
	}
	if !alg.verifies(key.Public, t) {
		return nil, reject(AssertionSignature)
	}
	return &Assertion{ClientID: client, KeyID: key.ID}, nil
}

// findKey returns the key with the kid of header. Without a kid, it returns the key
// if there is only one.
func findKey(keys []Key, header object) (Key, bool) {
	kid, named := header.text("kid")
	if !named {
		return keys[0], len(keys) == 1 && !header.has("kid")
	}
	i := slices.IndexFunc(keys, func(k Key) bool { return k.ID == kid })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// checkTimes implements RFC 7523, section 3, 4. to 6.
func (c *Clients) checkTimes(claims object, a *Assertion) error {
	now := c.cfg.Now()
	var ok bool
	if a.Expiry, ok = claims.time("exp"); !ok {
		return reject(AssertionNoExpiry)
	}
	if !a.Expiry.After(now) {
		return reject(AssertionExpired)
	}
	if a.Expiry.After(now.Add(c.cfg.MaxLife)) {
		return reject(AssertionTooLong)
	}
	latest := now.Add(c.cfg.Leeway)
	if t, ok := claims.time("nbf"); claims.has("nbf") && (!ok || t.After(latest)) {
		return reject(AssertionNotYet)
	}
	if t, ok := claims.time("iat"); claims.has("iat") && (!ok || t.After(latest)) {
		return reject(AssertionIssuedAt)
	}
	return nil
}

// checkReplay rejects a jti that was used before. The entry is kept until exp.
func (c *Clients) checkReplay(ctx context.Context, claims object, a *Assertion) error {
	if !claims.has("jti") && c.cfg.OptionalID {
		return nil
	}
	var ok bool
	if a.ID, ok = claims.text("jti"); !ok || a.ID == "" || len(a.ID) > maxID {
		return reject(AssertionID)
	}
	isNew, err := c.cfg.Replay.Add(ctx, replayKey("assertion", a.ClientID, a.ID), c.cfg.Now(), a.Expiry)
	if err != nil {
		return &Error{Reason: ReplayUnavailable, Err: err}
	}
	if !isNew {
		return reject(AssertionReplayed)
	}
	return nil
}

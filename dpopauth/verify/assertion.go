package verify

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"oktasync/dpopauth/verify/internal/jws"
)

const (
	maxAssertion   = 16 << 10
	defaultMaxLife = time.Hour // how far ahead an exp may lie, Okta's limit
)

// ErrUnknownClient is what a [ClientsConfig.Keys] returns for a client that is
// not there.
var ErrUnknownClient = errors.New("unknown client")

// A Key is a public key of a client or an issuer.
type Key struct {
	ID        string // kid; may be empty where there is only one key
	Algorithm string // the only alg that it is for; empty: any that fits its kind
	Public    crypto.PublicKey
}

// fits says whether k may have signed by alg (RFC 8725, section 3.1).
func (k Key) fits(alg jws.Algorithm) bool {
	return (k.Algorithm == "" || k.Algorithm == alg.Name) && alg.Fits(k.Public)
}

// ClientsConfig says how an authorization server knows its clients.
type ClientsConfig struct {
	// Keys returns the keys registered for a client, or ErrUnknownClient.
	Keys func(ctx context.Context, clientID string) ([]Key, error)

	Algorithms []string         // nil: all of [Algorithms]
	MaxLife    time.Duration    // how far ahead an exp may lie; 0: an hour
	Leeway     time.Duration    // how far ahead iat and nbf may lie; 0: 5 s, negative: not at all, as at Okta
	OptionalID bool             // take an assertion without jti, as Okta does
	Replay     ReplayCache      // nil: one in memory
	Now        func() time.Time // nil: time.Now
}

// Clients checks the assertions by which clients authenticate at a token
// endpoint (private_key_jwt: RFC 7523, sections 2.2 and 3). It is safe for
// concurrent use.
type Clients struct{ cfg ClientsConfig }

// NewClients returns Clients for cfg.
func NewClients(cfg ClientsConfig) (*Clients, error) {
	if cfg.Keys == nil {
		return nil, fmt.Errorf("configure clients: no source of keys")
	}
	var err error
	if cfg.Algorithms, err = jws.Allowed(cfg.Algorithms); err != nil {
		return nil, fmt.Errorf("configure clients: %w", err)
	}
	cfg.MaxLife = cmp.Or(cfg.MaxLife, defaultMaxLife)
	cfg.Leeway = leeway(cfg.Leeway)
	cfg.Replay = replayCache(cfg.Replay)
	cfg.Now = clock(cfg.Now)
	return &Clients{cfg}, nil
}

// An Assertion is a client assertion that has passed every check.
type Assertion struct {
	ClientID string
	KeyID    string // kid of the key that signed it
	ID       string // jti
	Expiry   time.Time
}

// Assertion checks a client assertion; audiences are the names that this
// endpoint goes by, each taken literally: the URL of the token endpoint (Okta),
// or the issuer. An error is an [*Error].
func (c *Clients) Assertion(ctx context.Context, assertion string, audiences ...string) (*Assertion, error) {
	t, ok := jws.Parse(assertion, maxAssertion)
	if !ok {
		return nil, refuse(AssertionMalformed)
	}
	a, err := c.checkKey(ctx, t)
	if err != nil {
		return nil, err
	}
	// RFC 7523, section 3: 1. and 2. iss and sub are both the client.
	if sub, _ := t.Claims.Text("sub"); sub != a.ClientID {
		return nil, refuse(AssertionSubject)
	}
	// 3. It is for this endpoint and nobody else, who could pass it on.
	aud, _ := t.Claims.Texts("aud")
	if len(aud) != 1 || !slices.Contains(audiences, aud[0]) {
		return nil, refuse(AssertionAudience)
	}
	if err := c.checkTimes(t.Claims, a); err != nil {
		return nil, err
	}
	// 7. It is good for once.
	if err := c.spend(ctx, t.Claims, a); err != nil {
		return nil, err
	}
	return a, nil
}

// checkKey finds the client that t is said to be from, and has t signed by one
// of its keys (RFC 7523, section 3, 9.).
func (c *Clients) checkKey(ctx context.Context, t *jws.JWS) (*Assertion, error) {
	alg, ok := t.Algorithm(c.cfg.Algorithms)
	if !ok {
		return nil, refuse(AssertionAlgorithm)
	}
	client, ok := t.Claims.Text("iss")
	if !ok || client == "" {
		return nil, refuse(AssertionIssuer)
	}
	keys, err := c.cfg.Keys(ctx, client)
	switch {
	case errors.Is(err, ErrUnknownClient):
		return nil, refuse(AssertionIssuer)
	case err != nil:
		return nil, &Error{Reason: KeysUnavailable, Err: err}
	case len(keys) == 0:
		return nil, refuse(AssertionNoKeys)
	}
	key, ok := pick(keys, t.Header)
	if !ok {
		return nil, refuse(AssertionKeyID)
	}
	if !key.fits(alg) {
		return nil, refuse(AssertionAlgorithm)
	}
	if !alg.Verifies(key.Public, t) {
		return nil, refuse(AssertionSignature)
	}
	return &Assertion{ClientID: client, KeyID: key.ID}, nil
}

// pick returns the key that header names. Only where there is a single key may
// the header leave it unnamed.
func pick(keys []Key, header jws.Object) (Key, bool) {
	kid, named := header.Text("kid")
	if !named {
		return keys[0], len(keys) == 1 && !header.Has("kid")
	}
	i := slices.IndexFunc(keys, func(k Key) bool { return k.ID == kid })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// checkTimes is RFC 7523, section 3, 4. to 6.
func (c *Clients) checkTimes(claims jws.Object, a *Assertion) error {
	now := c.cfg.Now()
	var ok bool
	if a.Expiry, ok = claims.Time("exp"); !ok {
		return refuse(AssertionNoExpiry)
	}
	if !a.Expiry.After(now) {
		return refuse(AssertionExpired)
	}
	if a.Expiry.After(now.Add(c.cfg.MaxLife)) {
		return refuse(AssertionTooLong)
	}
	latest := now.Add(c.cfg.Leeway)
	if t, ok := claims.Time("nbf"); claims.Has("nbf") && (!ok || t.After(latest)) {
		return refuse(AssertionNotYet)
	}
	if t, ok := claims.Time("iat"); claims.Has("iat") && (!ok || t.After(latest)) {
		return refuse(AssertionIssuedAt)
	}
	return nil
}

// spend remembers the assertion's jti until it expires.
func (c *Clients) spend(ctx context.Context, claims jws.Object, a *Assertion) error {
	if !claims.Has("jti") && c.cfg.OptionalID {
		return nil
	}
	var ok bool
	if a.ID, ok = claims.Text("jti"); !ok || a.ID == "" || len(a.ID) > maxID {
		return refuse(AssertionID)
	}
	fresh, err := c.cfg.Replay.Add(ctx, replayKey("assertion", a.ClientID, a.ID), c.cfg.Now(), a.Expiry)
	if err != nil {
		return &Error{Reason: ReplayUnavailable, Err: err}
	}
	if !fresh {
		return refuse(AssertionReplayed)
	}
	return nil
}

// Package dpopauth provides an [http.RoundTripper] that adds an OAuth access
// token and a DPoP proof (RFC 9449) to every request. It obtains the tokens with
// the client credentials grant and private_key_jwt (RFC 7523), as Okta's service
// apps do, and works with every server that implements these RFCs.
//
// In oktasync, the commands use it to call Okta's API; oktaclient gets only the
// resulting [http.Client]. It also works on its own: see docs/libraries.md. To
// verify proofs on a server, use package [oktasync/dpopauth/verify].
//
// Start reading at [Transport.RoundTrip] (transport.go). It takes a token from
// the tokenSource (token.go), which requests new ones (tokenrequest.go,
// tokenresponse.go), and sends the request with a proof (sender.go, proof.go).
// Nonces are stored in nonce.go; the server's clock is estimated in clock.go.
//
// # Proofs
//
// Everyone who has a copy of a bearer token can use it. A DPoP-bound token also needs
// a private key: the token contains the thumbprint of the public key (RFC 7638,
// cnf.jkt). A proof is a JWT that this key signs for one
// request. It contains the method (htm), the URL without query and fragment
// (htu), the time (iat), a unique id (jti) and the hash of the token (ath).
//
// Each request needs a new proof: each page, each retry, and each request that
// net/http repeats after a broken connection. Therefore a [Transport] must be
// below all layers that retry.
//
// # Nonces and clocks
//
// A server can require its own nonce in the proof. A Transport keeps the newest
// nonce for each origin and role (token endpoint or API), and retries once after
// the error use_dpop_nonce.
//
// A server rejects a proof that is too old, or dated in its future. Therefore
// proofs and assertions are dated by the server's clock, estimated for each origin
// from the Date headers of its responses. A difference of up to 15 minutes is
// corrected; beyond that the error is a [*ClockSkewError].
//
// # Tokens
//
// A token with a lifetime of a minute or more is renewed in the background after
// 80 to 90 % of its lifetime. If a renewal fails, requests use the old token
// until it expires. After a failed token request, callers get the same error
// until a back-off has passed. If an API rejects a token (401), the token is
// replaced once.
//
// # Concurrency and secrets
//
// All types are safe for concurrent use. The only goroutine is that of a token
// request, which ends after two minutes at most, or when its last waiter's
// context ends. No lock is held while a request is signed or sent.
//
// Tokens, proofs, assertions and private keys appear in no log, error or file;
// only [keys.Key.WriteFile] writes a key. Keys and Transports print as
// "[redacted …]". Error descriptions from a server are shortened, and parts that
// may belong to a token are removed.
//
// CONFORMANCE.md lists the requirements for a DPoP client and their tests.
package dpopauth

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"oktasync/dpopauth/keys"
)

// Config configures a [Transport]. TokenURL, ClientID, ClientKey and Origins are
// required.
type Config struct {
	TokenURL  string    // https://acme.okta.com/oauth2/v1/token
	ClientID  string    // 0oa1…, the app at the server
	Scopes    []string  // empty: the server's default
	ClientKey *keys.Key // signs the client assertions
	DPoPKey   *keys.Key // signs the proofs, must differ from ClientKey; nil: a new P-256 key in memory
	Bearer    bool      // use Bearer tokens without proofs, for an app that does not require DPoP
	Audience  string    // of the client assertion; empty: TokenURL, as Okta requires
	Origins   []string  // servers to which the token may be sent: https://acme.okta.com

	// OptionalScopes are those of Scopes that the server need not grant.
	OptionalScopes []string

	// Algorithms is the server's metadata value dpop_signing_alg_values_supported
	// (RFC 9449, section 5.1). If it lacks the algorithm of the DPoP key, New
	// returns an ErrAlgorithm. Empty: unknown.
	Algorithms []string

	// DecodedPathHTU percent-decodes the path in htu. Okta compares htu with the
	// decoded path, unlike RFC 9449, section 4.3. It affects only escaped paths.
	DecodedPathHTU bool

	// Base sends all requests, and must not follow redirects. Nil:
	// http.DefaultTransport, cloned if it is an *http.Transport.
	Base http.RoundTripper `json:"-"`

	Logger *slog.Logger `json:"-"` // nil: no log

	// OnTokenRequest, if not nil, is called after each request to the token endpoint.
	// Calls may be concurrent.
	OnTokenRequest func(TokenRequest) `json:"-"`
}

// New returns a Transport for cfg. It sends no request, and logs the warnings of
// the keys. The error names the setting that is missing or invalid.
func New(cfg Config) (*Transport, error) {
	t, err := newTransport(cfg)
	if err != nil {
		return nil, fmt.Errorf("dpopauth: %w", err)
	}
	return t, nil
}

func newTransport(cfg Config) (*Transport, error) {
	tokenURL, err := parseURL(cfg.TokenURL)
	if err != nil {
		return nil, fmt.Errorf("token URL: %w", err)
	}
	local := newLocalClock()
	clocks := map[string]*clock{origin(tokenURL): {localClock: local}}
	origins := map[string]bool{}
	var first *clock
	for _, o := range cfg.Origins {
		u, err := parseURL(o)
		if err == nil && strings.Trim(u.Path, "/") != "" {
			err = errors.New("an origin must not have a path")
		}
		if err != nil {
			return nil, fmt.Errorf("origin: %w", err)
		}
		name := origin(u)
		origins[name] = true
		if clocks[name] == nil {
			clocks[name] = &clock{localClock: local}
		}
		first = cmp.Or(first, clocks[name])
	}
	switch {
	case len(origins) == 0:
		return nil, errors.New("no origin is configured")
	case cfg.ClientID == "":
		return nil, errors.New("no client ID is configured")
	case cfg.ClientKey == nil:
		return nil, errors.New("no client key is configured")
	case slices.ContainsFunc(cfg.Scopes, func(s string) bool { return s == "" || !visible(s) }):
		return nil, errors.New("a scope is empty or contains a space; list each scope as its own element")
	}
	key, err := proofKey(cfg)
	if err != nil {
		return nil, err
	}
	base, err := baseTransport(cfg.Base)
	if err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	for _, k := range []*keys.Key{cfg.ClientKey, key} {
		if k != nil && k.Warning() != "" {
			log.Warn(k.Warning())
		}
	}
	send := &sender{base: base, key: key, decodedPath: cfg.DecodedPathHTU, local: local, clocks: clocks, log: log}
	st := newStats()
	e := &tokenEndpoint{sender: send, clock: clocks[origin(tokenURL)], url: tokenURL.String(), audience: cmp.Or(cfg.Audience, cfg.TokenURL),
		clientID: cfg.ClientID, clientKey: cfg.ClientKey, scopes: slices.Clone(cfg.Scopes), optional: slices.Clone(cfg.OptionalScopes), report: cfg.OnTokenRequest, stats: st}
	tokens := &tokenSource{request: e.requestToken, clock: local, log: log, stats: st, reason: reasonFirst}
	return &Transport{sender: send, tokens: tokens, origins: origins, clock: first, stats: st}, nil
}

// proofKey returns the DPoP key, or nil in Bearer mode.
func proofKey(cfg Config) (*keys.Key, error) {
	if cfg.Bearer {
		return nil, nil
	}
	key := cfg.DPoPKey
	if key == nil {
		var err error
		if key, err = keys.Generate(); err != nil {
			return nil, err
		}
	}
	if key.Thumbprint() == cfg.ClientKey.Thumbprint() {
		return nil, errors.New("the DPoP key is the client key; use different keys")
	}
	if a := cfg.Algorithms; len(a) > 0 && !slices.Contains(a, key.Algorithm()) {
		return nil, fmt.Errorf("%w: the DPoP key uses %s, the server accepts %s", ErrAlgorithm, key.Algorithm(), strings.Join(a, " "))
	}
	return key, nil
}

// baseTransport returns the transport that sends the requests, and rejects one
// that skips certificate checks or allows TLS before 1.2.
func baseTransport(base http.RoundTripper) (http.RoundTripper, error) {
	if base == nil {
		base = http.DefaultTransport
		if t, ok := base.(*http.Transport); ok { // programs can replace it
			t = t.Clone()
			if t.TLSClientConfig == nil {
				t.TLSClientConfig = &tls.Config{}
			}
			t.TLSClientConfig.MinVersion = max(t.TLSClientConfig.MinVersion, tls.VersionTLS12)
			base = t
		}
	}
	if t, ok := base.(*http.Transport); ok && t.TLSClientConfig != nil {
		c := t.TLSClientConfig
		if c.InsecureSkipVerify || c.MinVersion != 0 && c.MinVersion < tls.VersionTLS12 {
			return nil, errors.New("the base transport skips certificate checks or allows TLS before 1.2")
		}
	}
	return base, nil
}

// parseURL parses a URL to which secrets are sent: https, or http on a loopback host.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("invalid URL")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return nil, errors.New("the URL is neither https nor http on a loopback host")
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("the URL has no host")
	case u.User != nil:
		return nil, errors.New("the URL contains user information")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("the URL contains a query or a fragment")
	case !visible(u.Host):
		return nil, errors.New("the host is not ASCII; write it as an A-label (xn--...)")
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

package dpopauth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"oktasync/dpopauth/internal/parse"
	"oktasync/dpopauth/keys"
)

// A Config says who asks for tokens, where, and where they may go.
type Config struct {
	TokenURL  string    // https://acme.okta.com/oauth2/v1/token
	ClientID  string    // 0oa1…, the app at the server
	Scopes    []string  // empty: what the server gives by default
	ClientKey *keys.Key // signs the client assertion
	DPoPKey   *keys.Key // signs the proofs, and is another key; nil: a new P-256 key in memory
	Bearer    bool      // plain Bearer tokens and no proofs, for an app that does not require DPoP
	Audience  string    // of the client assertion; empty: TokenURL, as Okta has it
	Origins   []string  // resource servers that may see the token: https://acme.okta.com; at least one

	// Algorithms are those that the server's metadata lists as
	// dpop_signing_alg_values_supported (RFC 9449, section 5.1). Where the DPoP key's is not
	// among them, New fails. Empty: not known.
	Algorithms []string

	// DecodedPathHTU has a proof's htu show the path percent-decoded. Okta compares
	// it so, unlike RFC 9449, section 4.3. It matters only for paths with escapes in them.
	DecodedPathHTU bool

	// Base sends the requests to the token endpoint and to the resource servers. It
	// follows no redirect. Nil: http.DefaultTransport, or a clone of it where it is an
	// *http.Transport.
	Base http.RoundTripper `json:"-"`

	Logger *slog.Logger `json:"-"` // nil: nothing is logged

	// OnTokenRequest, if not nil, is called after each request to the token endpoint,
	// and may be called by several goroutines at once.
	OnTokenRequest func(TokenRequest) `json:"-"`
}

// New returns a Transport for cfg. It sends nothing yet: the first request
// fetches the first token. What is dubious about a key's file is logged. An error
// says what of cfg will not do; a key that Algorithms leaves out is an [ErrAlgorithm].
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
	origins := map[string]bool{}
	for _, o := range cfg.Origins {
		u, err := parseURL(o)
		if err == nil && strings.Trim(u.Path, "/") != "" {
			err = errors.New("an origin has no path")
		}
		if err != nil {
			return nil, fmt.Errorf("origin: %w", err)
		}
		origins[origin(u)] = true
	}
	switch {
	case len(origins) == 0:
		return nil, errors.New("no origin is configured")
	case cfg.ClientID == "":
		return nil, errors.New("no client ID is configured")
	case cfg.ClientKey == nil:
		return nil, errors.New("no client key is configured")
	case slices.ContainsFunc(cfg.Scopes, func(s string) bool { return s == "" || !parse.Visible(s) }):
		return nil, errors.New("a scope is empty, or has a space in it: each is an element of its own")
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
	w := &wire{base: base, key: key, decoded: cfg.DecodedPathHTU, clock: newClock(), log: log}
	st := newStats()
	audience := cfg.Audience
	if audience == "" {
		audience = cfg.TokenURL
	}
	e := &endpoint{wire: w, url: tokenURL.String(), audience: audience, clientID: cfg.ClientID,
		client: cfg.ClientKey, scopes: slices.Clone(cfg.Scopes), report: cfg.OnTokenRequest, stats: st}
	s := &source{fetch: e.fetch, clock: w.clock, log: log, stats: st, reason: reasonFirst}
	return &Transport{wire: w, tokens: s, origins: origins, stats: st}, nil
}

// proofKey returns the key for proofs, nil where there are none.
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
		return nil, errors.New("the DPoP key is the client key; it has to be another")
	}
	if a := cfg.Algorithms; len(a) > 0 && !slices.Contains(a, key.Algorithm()) {
		return nil, fmt.Errorf("%w: the DPoP key signs by %s, the server takes %s", ErrAlgorithm, key.Algorithm(), strings.Join(a, " "))
	}
	return key, nil
}

// baseTransport returns what sends the requests: TLS of 1.2 or later, and
// certificates checked.
func baseTransport(base http.RoundTripper) (http.RoundTripper, error) {
	if base == nil {
		base = http.DefaultTransport
		if t, ok := base.(*http.Transport); ok { // a program may have put something else there
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
			return nil, errors.New("base transport does not check certificates, or takes TLS before 1.2")
		}
	}
	return base, nil
}

// parseURL reads a URL that a secret may go to: https, or http to this machine.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("it is no URL")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return nil, errors.New("it is not https, nor http on a loopback host")
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("it has no host")
	case u.User != nil:
		return nil, errors.New("it has user information")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("it has a query or a fragment")
	case !parse.Visible(u.Host):
		return nil, errors.New("its host is not ASCII; write it as an A-label (xn--...)")
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

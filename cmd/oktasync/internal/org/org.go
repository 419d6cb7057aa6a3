// Package org connects a configuration to an Okta org: keys, transport, DPoP,
// client and token requests. It also opens the store with its signing key, and with
// the group of this machine that may read it.
//
// The commands, doctor and daemon use it. Start reading at Connect. An Org
// implements reconcile.Source.
package org

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// maxHeader is how many bytes of a response header the transport accepts. It is
// more than the client accepts, so that the client's error can name the request.
const maxHeader = 1 << 20

// Org is the connection to one Okta org. Its methods may be called concurrently.
// The daemon keeps one Org over many reconciles: it holds the access token, the
// nonces and the state of the rate limits.
type Org struct {
	Auth     *dpopauth.Transport
	Governor *oktaclient.Governor
	Client   *oktaclient.Client
	// KeyFiles are the files that must exist when a read begins, by field.
	KeyFiles map[string]string
	// MembershipLag is that of reconcile.Config, for a sandbox org. 0: Okta's.
	MembershipLag time.Duration
	// Full is that of reconcile.Config.
	Full bool

	tool     snapshot.Tool
	declared []reconcile.Declared // by all exports
	identity identity
	tokens   *tokenRequests
}

// identity is everything that an access token depends on. A token stays valid
// for a new configuration with the same identity.
type identity struct {
	url, clientID, scopes, optional, mode string
	keyID, key, dpopKey                   string // key ID and thumbprints; dpopKey is "" for a key in memory
	ca                                    string // SHA-256 of okta.ca_file
}

// Transport returns the transport of token requests and API requests, and the
// SHA-256 of okta.ca_file. It uses HTTPS_PROXY and NO_PROXY, and HTTP/2 if the server
// supports it. HTTP/1.1 with one connection for each request in flight needs
// 0.97 to 1.05 of the CPU time (BenchmarkApply), so more connections bring
// nothing.
func Transport(cfg *config.Config) (t *http.Transport, digest string, err error) {
	t = http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	t.MaxResponseHeaderBytes = maxHeader
	caFile := cfg.Okta.CAFile
	if caFile == "" {
		return t, "", nil
	}
	pem, err := config.ReadFile(caFile, config.MaxFile)
	if err != nil {
		return nil, "", cfg.Problem("okta.ca_file", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, "", fmt.Errorf("read the system's certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, "", cfg.Problem("okta.ca_file", fmt.Errorf("%s contains no PEM certificate", caFile))
	}
	t.TLSClientConfig.RootCAs = pool
	return t, config.SHA256(pem), nil
}

// Connect loads the keys of cfg and returns an org. It sends no request.
func Connect(cfg *config.Config, tool snapshot.Tool, log *slog.Logger) (*Org, error) {
	o, err := Authenticate(cfg, tool, log)
	if err != nil {
		return nil, err
	}
	return o, o.Join(cfg, log, nil)
}

// Authenticate loads the keys and certificates of cfg. The returned org has no
// client yet; Join adds it.
func Authenticate(cfg *config.Config, tool snapshot.Tool, log *slog.Logger) (*Org, error) {
	base, ca, caErr := Transport(cfg)
	clientKey, clientErr := ClientKey(cfg)
	dpopKey, err := DPoPKey(cfg)
	if err := errors.Join(caErr, clientErr, err); err != nil {
		return nil, err
	}
	o, err := New(cfg, tool, log, base, clientKey, dpopKey)
	if err != nil {
		return nil, err
	}
	o.identity.ca = ca
	return o, nil
}

// New is Authenticate with keys and a transport that the caller provides.
// dpopKey may be nil for a new key in memory.
func New(cfg *config.Config, tool snapshot.Tool, log *slog.Logger, base http.RoundTripper, clientKey, dpopKey *keys.Key) (*Org, error) {
	o := &Org{tool: tool, declared: cfg.Declared(), tokens: &tokenRequests{}, identity: identity{
		url: cfg.Okta.OrgURL, clientID: cfg.Okta.ClientID, scopes: strings.Join(cfg.Okta.Scopes, " "), optional: strings.Join(cfg.OptionalScopes(), " "), mode: cfg.Okta.DPoP.Mode,
		keyID: clientKey.ID(), key: clientKey.Thumbprint(),
	}}
	if dpopKey != nil {
		o.identity.dpopKey = dpopKey.Thumbprint()
	}
	if o.identity.dpopKey == o.identity.key {
		return nil, cfg.Problem("okta.dpop.private_key_file",
			fmt.Errorf("%s is the client key: use another key; without this setting, each start creates a key in memory", cfg.Okta.DPoP.PrivateKeyFile))
	}
	auth := AuthConfig(cfg, base, clientKey, dpopKey)
	auth.Logger, auth.OnTokenRequest = log, o.tokens.record
	var err error
	if o.Auth, err = dpopauth.New(auth); err != nil {
		return nil, fmt.Errorf("okta: %w", err)
	}
	return o, nil
}

// AuthConfig returns the configuration of the token requests to the org.
// dpopKey may be nil.
func AuthConfig(cfg *config.Config, base http.RoundTripper, clientKey, dpopKey *keys.Key) dpopauth.Config {
	return dpopauth.Config{
		TokenURL:       cfg.Okta.OrgURL + TokenPath,
		ClientID:       cfg.Okta.ClientID,
		Scopes:         cfg.Okta.Scopes,
		OptionalScopes: cfg.OptionalScopes(),
		ClientKey:      clientKey,
		DPoPKey:        dpopKey,
		Bearer:         cfg.Okta.DPoP.Mode == config.DPoPOff,
		Origins:        []string{cfg.Okta.OrgURL},
		DecodedPathHTU: true,
		Base:           base,
	}
}

// Join creates the client. before is the previous connection, or nil. Join takes over
// its state of the rate limits if it is to the same org, and its access token if it also
// has the same identity.
func (o *Org) Join(cfg *config.Config, log *slog.Logger, before *Org) (err error) {
	o.Governor = oktaclient.NewGovernor(cfg.Okta.RateLimitShare, cfg.Okta.Concurrency)
	if before != nil && before.identity.url == o.identity.url {
		o.Governor = before.Governor
	}
	if before != nil && before.identity == o.identity {
		o.Auth, o.tokens = before.Auth, before.tokens
	}
	o.Client, err = oktaclient.New(oktaclient.Config{
		OrgURL:         cfg.Okta.OrgURL,
		HTTPClient:     &http.Client{Transport: o.Auth},
		Concurrency:    cfg.Okta.Concurrency,
		RateLimitShare: cfg.Okta.RateLimitShare,
		Governor:       o.Governor,
		Logger:         log,
		ClockOffset:    func() time.Duration { return o.Auth.Status().Offset },
		UserAgent:      UserAgent(o.tool),
	})
	if err != nil {
		return fmt.Errorf("okta: %w", err)
	}
	o.Governor.Configure(cfg.Okta.RateLimitShare, cfg.Okta.Concurrency)
	return nil
}

// UserAgent returns the User-Agent of requests: "oktasync/v1.2.3".
func UserAgent(tool snapshot.Tool) string { return tool.Name + "/" + tool.Version }

// CountRequests makes the org call count once for each request, to the token
// endpoint and to the API. Call it before the first request.
func (o *Org) CountRequests(count func(oktaclient.Request)) { o.tokens.count = count }

// Read implements reconcile.Source.
func (o *Org) Read(ctx context.Context, q oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	if err := o.checkKeyFiles(); err != nil {
		return oktaclient.ReadResult{}, err
	}
	hasToken := o.Auth.Status().Expiry.After(time.Now())
	result, err := o.read(sink, hasToken, func(s oktaclient.Sink) (oktaclient.ReadResult, error) { return o.Client.Read(ctx, q, s) })
	return result, explain(err, q.Resource.Name, o.declared)
}

// checkKeyFiles returns an error if a key file no longer exists. The key is
// still in memory. But a removed file means that the key must not be used, or is a
// mistake that would otherwise be found only at the next start.
func (o *Org) checkKeyFiles() error {
	for _, field := range slices.Sorted(maps.Keys(o.KeyFiles)) {
		if _, err := os.Stat(o.KeyFiles[field]); err != nil {
			return fmt.Errorf("%s: %w", field, config.WrapFileError(o.KeyFiles[field], err))
		}
	}
	return nil
}

// Find implements reconcile.Source.
func (o *Org) Find(ctx context.Context, q oktaclient.Query, ids []string, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	result, err := o.read(sink, false, func(s oktaclient.Sink) (oktaclient.ReadResult, error) { return o.Client.Find(ctx, q, ids, s) })
	return result, explain(err, q.Resource.Name, o.declared)
}

// read adds token requests to the transcript of a read: those made during the
// read, and with hasToken those that led to the current token.
func (o *Org) read(sink oktaclient.Sink, hasToken bool, read func(oktaclient.Sink) (oktaclient.ReadResult, error)) (oktaclient.ReadResult, error) {
	s := &tokenSink{Sink: sink, tokens: o.tokens}
	o.tokens.attach(s, hasToken)
	defer o.tokens.detach(s)
	reading, err := read(s)
	if err == nil {
		err = s.flush()
	}
	return reading, err
}

// membershipLag replaces the default of reconcile.Config.MembershipLag in the program
// that tests build: -ldflags "-X oktasync/cmd/oktasync/internal/org.membershipLag=1ms".
var membershipLag string

// Reconciler returns a reconciler of the org and a store. store may be nil for
// plans, and progress may be nil.
func (o *Org) Reconciler(cfg *config.Config, store *snapshot.Store, log *slog.Logger, progress func(reconcile.Progress)) *reconcile.Reconciler {
	spool, err := snapshot.Existing(cfg.Store.Path) // where the store will be
	if err != nil {
		spool = cfg.Store.Path // creating a file there fails with the same error
	}
	lag, _ := time.ParseDuration(membershipLag)
	return reconcile.New(reconcile.Config{
		Store:    store,
		Spool:    spool,
		Source:   o,
		Org:      snapshot.Org{URL: cfg.Okta.OrgURL},
		Client:   snapshot.Client{ClientID: cfg.Okta.ClientID, Scopes: cfg.Okta.Scopes, DPoP: cfg.Okta.DPoP.Mode != config.DPoPOff},
		Tool:     o.tool,
		Logger:   log,
		Progress: progress,

		Full:          o.Full,
		MembershipLag: cmp.Or(o.MembershipLag, lag),
	})
}

// userName returns the name of the user of this process. A dynamic user of systemd isn't
// in /etc/passwd; for it, userName returns USER and the UID.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	uid := fmt.Sprintf("uid %d", os.Getuid())
	if name := os.Getenv("USER"); name != "" {
		return name + " (" + uid + ")"
	}
	return uid
}

// Run returns the facts about a run of this process for a manifest.
func Run(cfg *config.Config, trigger string) snapshot.Run {
	host, _ := os.Hostname()
	return snapshot.Run{Trigger: trigger, Host: host, User: userName(), ConfigSHA256: cfg.SHA256}
}

package main

import (
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// tokenPath is the org authorization server's token endpoint: the only one that
// grants okta.* scopes.
const tokenPath = "/oauth2/v1/token"

// org is the connection to one Okta org. It outlives the reconciles: the token,
// the nonces and what is known of the rate limits are kept in it.
type org struct {
	access   access
	auth     *dpopauth.Transport
	grants   *grants
	governor *oktaclient.Governor
	client   *oktaclient.Client
	keyFiles map[string]string // that must still be there when a reading begins, by field
}

// access is everything that a token rests on. Where it stays, the token is
// still good.
type access struct {
	url, clientID, scopes, mode string
	keyID, key, dpopKey         string // key ids and thumbprints; no dpopKey: one in memory
	ca                          string // digest of the further certificates
}

// maxHeader is how many bytes of an answer's header are read. The client takes
// fewer, but knows by then which request it was.
const maxHeader = 1 << 20

// baseTransport is what both the token requests and the API requests go
// through. It honours HTTPS_PROXY and NO_PROXY, and speaks HTTP/2 where the
// server does: HTTP/1.1 with a connection for each request in flight takes 0.97
// to 1.05 of its CPU (BenchmarkApply), which is no reason to open more of them.
// The digest is of caFile.
func baseTransport(caFile string) (t *http.Transport, digest string, err error) {
	t = http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	t.MaxResponseHeaderBytes = maxHeader
	if caFile == "" {
		return t, "", nil
	}
	pem, err := readBounded(caFile, maxConfigFile)
	if err != nil {
		return nil, "", fmt.Errorf("okta.ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, "", fmt.Errorf("read the system's certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, "", fmt.Errorf("okta.ca_file: %s holds no PEM certificate", caFile)
	}
	t.TLSClientConfig.RootCAs = pool
	return t, hexSHA256(pem), nil
}

// connect joins the client to its authentication. Nothing is sent yet.
func connect(cfg *Config, log *slog.Logger) (*org, error) {
	o, err := authenticate(cfg, log)
	if err != nil {
		return nil, err
	}
	return o, o.join(cfg, log, nil)
}

// authenticate reads the keys and certificates that cfg names. The org that it
// returns lacks a client.
func authenticate(cfg *Config, log *slog.Logger) (*org, error) {
	base, ca, caErr := baseTransport(cfg.Okta.CAFile)
	clientKey, clientErr := loadClientKey(cfg)
	dpopKey, err := loadDPoPKey(cfg)
	if err := errors.Join(caErr, clientErr, err); err != nil {
		return nil, err
	}
	o := &org{grants: &grants{}, access: access{
		url: cfg.Okta.OrgURL, clientID: cfg.Okta.ClientID, scopes: strings.Join(cfg.Okta.Scopes, " "), mode: cfg.Okta.DPoP.Mode,
		keyID: clientKey.ID(), key: clientKey.Thumbprint(), ca: ca,
	}}
	if dpopKey != nil {
		o.access.dpopKey = dpopKey.Thumbprint()
	}
	if o.access.dpopKey == o.access.key {
		return nil, fmt.Errorf("%s: %s is the client key: set it to another, or leave it out for one in memory",
			cfg.named("okta.dpop.private_key_file"), cfg.Okta.DPoP.PrivateKeyFile)
	}
	auth := authConfig(cfg, base, clientKey, dpopKey)
	auth.Logger, auth.OnTokenRequest = log, o.grants.record
	if o.auth, err = dpopauth.New(auth); err != nil {
		return nil, fmt.Errorf("okta: %w", err)
	}
	return o, nil
}

// authConfig is how the org is asked for tokens, and where they may go. dpopKey
// may be nil.
func authConfig(cfg *Config, base http.RoundTripper, clientKey, dpopKey *keys.Key) dpopauth.Config {
	return dpopauth.Config{
		TokenURL:       cfg.Okta.OrgURL + tokenPath,
		ClientID:       cfg.Okta.ClientID,
		Scopes:         cfg.Okta.Scopes,
		ClientKey:      clientKey,
		DPoPKey:        dpopKey,
		Bearer:         cfg.Okta.DPoP.Mode == dpopOff,
		Origins:        []string{cfg.Okta.OrgURL},
		DecodedPathHTU: true,
		Base:           base,
	}
}

// join makes the client. Of the connection before, which may be nil, it keeps
// what does not belong to a configuration: what is known of the org's rate
// limits, and the token where all that it rests on is the same.
func (o *org) join(cfg *Config, log *slog.Logger, before *org) (err error) {
	o.governor = oktaclient.NewGovernor()
	if before != nil && before.access.url == o.access.url {
		o.governor = before.governor
	}
	if before != nil && before.access == o.access {
		o.auth, o.grants = before.auth, before.grants
	}
	o.client, err = oktaclient.New(oktaclient.Config{
		OrgURL:         cfg.Okta.OrgURL,
		HTTPClient:     &http.Client{Transport: o.auth},
		Concurrency:    cfg.Okta.Concurrency,
		RateLimitShare: cfg.Okta.RateLimitShare,
		Governor:       o.governor,
		Logger:         log,
		UserAgent:      "oktasync/" + toolVersion().Version,
	})
	if err != nil {
		return fmt.Errorf("okta: %w", err)
	}
	return nil
}

// Read implements reconcile.Source.
func (o *org) Read(ctx context.Context, q oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	if err := o.keysAreThere(); err != nil {
		return oktaclient.ReadResult{}, err
	}
	held := o.auth.Status().Expiry.After(time.Now())
	return o.read(sink, held, func(s oktaclient.Sink) (oktaclient.ReadResult, error) { return o.client.Read(ctx, q, s) })
}

// keysAreThere finds a key file that has been taken away. Its key is not used
// any more, though a copy is in memory: who removes the file means that, or has
// made a mistake that else only the next start would show.
func (o *org) keysAreThere() error {
	for _, field := range slices.Sorted(maps.Keys(o.keyFiles)) {
		if _, err := os.Stat(o.keyFiles[field]); err != nil {
			return fmt.Errorf("%s: %w", field, inWords(o.keyFiles[field], err))
		}
	}
	return nil
}

// Find implements reconcile.Source.
func (o *org) Find(ctx context.Context, q oktaclient.Query, ids []string, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	return o.read(sink, false, func(s oktaclient.Sink) (oktaclient.ReadResult, error) { return o.client.Find(ctx, q, ids, s) })
}

// read puts the grants of the tokens that a reading uses into its transcript:
// those that it waits for, and with held those of the token at hand.
func (o *org) read(sink oktaclient.Sink, held bool, read func(oktaclient.Sink) (oktaclient.ReadResult, error)) (oktaclient.ReadResult, error) {
	s := &grantSink{Sink: sink, grants: o.grants, clock: func(t time.Time) time.Time { return t.Add(o.auth.Status().Offset) }}
	o.grants.attach(s, held)
	defer o.grants.detach(s)
	reading, err := read(s)
	if err == nil {
		err = s.flush()
	}
	return reading, err
}

// reconciler joins a store, which may be nil for plans, to an org. progress may
// be nil.
func (o *org) reconciler(cfg *Config, store *snapshot.Store, log *slog.Logger, progress func(reconcile.Progress)) *reconcile.Reconciler {
	return reconcile.New(reconcile.Config{
		Store:    store,
		Source:   o,
		Org:      snapshot.Org{URL: cfg.Okta.OrgURL},
		Client:   snapshot.Client{ClientID: cfg.Okta.ClientID, Scopes: cfg.Okta.Scopes, DPoP: cfg.Okta.DPoP.Mode != dpopOff},
		Tool:     toolVersion(),
		Logger:   log,
		Progress: progress,
	})
}

// runFacts says who runs this and how.
func runFacts(cfg *Config, trigger string) snapshot.Run {
	host, _ := os.Hostname()
	name := "uid " + fmt.Sprint(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return snapshot.Run{Trigger: trigger, Host: host, User: name, ConfigSHA256: cfg.SHA256}
}

// openStore opens the store for writing, and makes it where there is none.
// witness may be nil.
func openStore(cfg *Config, witness *snapshot.Witness) (*snapshot.Store, error) {
	options, err := storeOptions(cfg)
	if err != nil {
		return nil, err
	}
	options.Witness = witness
	store, err := snapshot.Init(cfg.Store.Path, snapshot.Org{URL: cfg.Okta.OrgURL}, options)
	if errors.Is(err, syscall.ENOTDIR) {
		err = advice{err, "store.path has to be a folder, or one that can be made"}
	}
	return store, err
}

// storeOptions finds the group and loads the key that the store is written with.
func storeOptions(cfg *Config) (options snapshot.Options, err error) {
	options, err = groupOptions(cfg)
	if file := cfg.Store.SigningKeyFile; file != "" {
		var load error
		if options.Signer, load = snapshot.LoadSigner(file); load != nil {
			err = errors.Join(err, fmt.Errorf("store.signing_key_file: %w", inWords(file, load)))
		}
	}
	return options, err
}

// groupOptions are the options without a signer.
func groupOptions(cfg *Config) (options snapshot.Options, err error) {
	name := cfg.Store.Group
	if name == "" {
		return options, nil
	}
	group, err := user.LookupGroup(name)
	if err != nil {
		return options, fmt.Errorf("store.group: no group %s on this machine", shown(name))
	}
	if options.GID, err = strconv.Atoi(group.Gid); err != nil {
		return options, fmt.Errorf("store.group: %w", err)
	}
	return options, nil
}

// loadAllowedSigners returns whose signatures count, nil where nobody says.
func loadAllowedSigners(file string) (*snapshot.AllowedSigners, error) {
	if file == "" {
		return nil, nil
	}
	data, err := readNamed(file, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("load allowed signers: %w", err)
	}
	signers, err := snapshot.ParseAllowedSigners(data)
	if err != nil {
		return nil, fmt.Errorf("load allowed signers %s: %w", file, err)
	}
	return signers, nil
}

// existingStore opens the store for a plan, which makes none: nil stands for a
// store that is not there yet.
func existingStore(cfg *Config) (*snapshot.Store, error) {
	store, err := snapshot.Open(cfg.Store.Path)
	if errors.Is(err, snapshot.ErrNoStore) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if store.Org().URL != cfg.Okta.OrgURL {
		return nil, &snapshot.OrgError{Dir: cfg.Store.Path, Store: store.Org(), Want: snapshot.Org{URL: cfg.Okta.OrgURL}}
	}
	return store, nil
}

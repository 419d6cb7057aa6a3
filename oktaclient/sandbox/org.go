package sandbox

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"oktasync/dpopauth/verify"
)

// Org is an Okta org. It is safe for concurrent use.
type Org struct {
	cfg    Config
	url    atomic.Pointer[string]
	offset atomic.Int64 // of the clock
	store  *store
	cache  pageCache
	limits limiter
	faults faults
	stats  stats
	events events
	hook   hook

	secret   []byte            // seals cursors
	key      *ecdsa.PrivateKey // signs access tokens
	tokens   tokens
	nonces   *nonces // of the token endpoint
	apiNonce *nonces // of the API; nil where none is demanded
	clients  *verify.Clients
	proofs   *verify.Verifier // at the token endpoint
	apiProof *verify.Verifier

	mu   sync.Mutex
	apps map[string]ClientApp
}

// NewOrg returns an org as described. It panics where cfg makes no sense, which
// only a URL that is none can be.
func NewOrg(cfg Config) *Org {
	cfg.setDefaults()
	o := &Org{cfg: cfg, apps: map[string]ClientApp{}, secret: make([]byte, 32)}
	rand.Read(o.secret) // never fails
	var err error
	if o.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		panic(err)
	}
	o.SetURL(cfg.URL)
	o.SetClockOffset(cfg.ClockOffset)
	o.store = newStore(people{seed: uint64(cfg.Seed), n: cfg.Users, deprovisioned: cfg.Deprovisioned,
		epoch: cfg.Epoch.UnixMilli(), imported: cfg.Imported}, cfg.IndexLag, o.URL)
	o.limits = newLimiter(cfg.RateLimit, cfg.ClientShare)
	o.nonces = newNonces(cfg.NonceLife, cfg.NonceEvery, o.now)
	if cfg.APINonceEvery > 0 {
		o.apiNonce = newNonces(cfg.NonceLife, cfg.APINonceEvery, o.now)
	}
	if err := o.setVerifiers(); err != nil {
		panic(fmt.Errorf("make org: %w", err))
	}
	for _, app := range cfg.Clients {
		o.Register(app)
	}
	return o
}

// Register adds an app, or replaces the one with the same ID.
func (o *Org) Register(app ClientApp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.apps[app.ID] = app
}

func (o *Org) app(id string) (ClientApp, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	app, ok := o.apps[id]
	return app, ok
}

// URL is where clients see the org, without a slash at the end.
func (o *Org) URL() string { return *o.url.Load() }

// SetURL says where clients see the org: proofs, audiences and links are by it.
// [NewServer] does so itself. It is to be called before the first request.
func (o *Org) SetURL(url string) {
	url = strings.TrimSuffix(url, "/")
	o.url.Store(&url)
}

// now is the org's time.
func (o *Org) now() time.Time { return time.Now().Add(time.Duration(o.offset.Load())) }

// SetClockOffset sets how far the org's clock is ahead of this machine's.
func (o *Org) SetClockOffset(d time.Duration) { o.offset.Store(int64(d)) }

// OnRequest has f called before each request at the API is answered, with its
// number from 1 on: the place to change people between pages. Calls are one after
// the other; f may use the org but not send requests to it.
func (o *Org) OnRequest(f func(n int, r *http.Request)) {
	o.hook.mu.Lock()
	defer o.hook.mu.Unlock()
	o.hook.f = f
}

type hook struct {
	mu sync.Mutex
	n  int
	f  func(int, *http.Request)
}

func (h *hook) call(r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	if h.f != nil {
		h.f(h.n, r)
	}
}

// ServeHTTP answers a request: first everything is checked and the answer made,
// then the fault that is due, if one is, spoils it.
func (o *Org) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !private(r) {
		http.Error(w, "the sandbox speaks plain HTTP on loopback only", http.StatusForbidden)
		return
	}
	if o.cfg.Control && strings.HasPrefix(r.URL.Path, controlPath) {
		o.serveControl(w, r)
		return
	}
	fault := o.faults.pick(r.URL.Path)
	if isAPI(r) {
		o.hook.call(r)
	}
	busy := o.stats.enter(r)
	defer o.stats.leave()
	if !pause(r.Context(), o.cfg.Latency) || !o.before(r, fault) {
		panic(http.ErrAbortHandler)
	}
	a := newAnswer()
	defer a.free()
	r = r.WithContext(context.WithValue(r.Context(), faultKey{}, fault))
	o.route(a, r, busy > o.cfg.Concurrency)
	o.spoil(a, r, fault)
	body := a.encode(r)
	a.header.Set("Date", o.now().UTC().Format(http.TimeFormat))
	o.stats.answered(a)
	o.send(w, r, a, body, fault)
}

// private says whether nobody on the way can read the request: it came over TLS,
// or never left this machine.
func private(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && net.ParseIP(host).IsLoopback()
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// pause waits, for ever if d is negative. It is false where whoever asks goes
// away first.
func pause(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	if d < 0 {
		<-ctx.Done()
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

const tokenPath = "/oauth2/v1/token"

// route finds who answers.
func (o *Org) route(a *answer, r *http.Request, busy bool) {
	path := r.URL.Path
	if r.Header.Get("Authorization") != "" && !isAPI(r) && path != tokenPath {
		o.stats.violate("credentials at a path that needs none: " + path)
	}
	custom := strings.HasPrefix(path, "/oauth2/") && strings.HasSuffix(path, "/v1/token")
	switch {
	case path == tokenPath:
		o.serveToken(a, r)
	case custom: // a custom authorization server, which needs a licence of its own
		a.fail(newError("E0000015"))
	case isAPI(r):
		o.serveAPI(a, r, busy)
	case o.serveMetadata(a, path):
	default:
		a.fail(newError("E0000008"))
	}
}

// serveMetadata answers what is public: who the org is and how to get a token (RFC 8414).
func (o *Org) serveMetadata(a *answer, path string) bool {
	switch path {
	case "/.well-known/okta-organization":
		a.json(http.StatusOK, map[string]any{"id": o.ID(), "pipeline": "idx",
			"_links": map[string]any{"organization": map[string]string{"href": o.URL()}}})
	case "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration":
		a.json(http.StatusOK, map[string]any{
			"issuer": o.URL(), "token_endpoint": o.URL() + tokenPath, "jwks_uri": o.URL() + "/oauth2/v1/keys",
			"grant_types_supported":                            []string{"client_credentials"},
			"token_endpoint_auth_methods_supported":            []string{"private_key_jwt"},
			"token_endpoint_auth_signing_alg_values_supported": algorithms,
			"dpop_signing_alg_values_supported":                algorithms,
		})
	case "/oauth2/v1/keys":
		a.json(http.StatusOK, o.jwks())
	default:
		return false
	}
	return true
}

// ID is the org's own id.
func (o *Org) ID() string {
	if o.cfg.ID != "" {
		return o.cfg.ID
	}
	return "00o" + o.store.people.id(0)[3:]
}

// resource is one endpoint of the API.
type resource struct {
	scope string
	serve func(a *answer, r *http.Request, g *grant) error
}

// find returns the resource at path; nil: there is none.
func (o *Org) find(path string) *resource {
	id, one := strings.CutPrefix(path, "/api/v1/users/")
	switch {
	case path == "/api/v1/users":
		return &resource{"okta.users.read", o.listUsers}
	case one && id != "" && !strings.Contains(id, "/"):
		return &resource{"okta.users.read", func(a *answer, r *http.Request, g *grant) error { return o.getUser(a, r, g, id) }}
	case path == "/api/v1/logs":
		return &resource{"okta.logs.read", o.listEvents}
	case path == "/api/v1/iam/assignees/users":
		return &resource{"okta.roles.read", o.listAssignees}
	}
	return nil
}

// serveAPI answers a request at the API: who asks, whether there is room, then what.
func (o *Org) serveAPI(a *answer, r *http.Request, busy bool) {
	if busy {
		o.stats.limited(true)
		setRateHeaders(a, 0, 0, o.now().Add(time.Minute), o.cfg.DuplicateRateHeaders)
		a.fail(newError("E0000047"))
		return
	}
	found := o.find(r.URL.Path)
	g, err := o.authorize(r, found)
	if g != nil {
		a.client = g.client
	}
	room := o.limits.take(r.URL.Path, a.client, o.now())
	setRateHeaders(a, room.limit, room.remaining, room.reset, o.cfg.DuplicateRateHeaders)
	switch {
	case room.over:
		o.stats.limited(false)
		err = newError("E0000047")
	case err != nil:
	case r.Method != http.MethodGet && o.cfg.ReadOnly:
		err = newError("E0000010")
	case found == nil:
		err = newError("E0000008")
	case r.Method != http.MethodGet:
		err = newError("E0000022")
	case g.role == RoleForbidden:
		err = newError("E0000006")
	case g.role == RoleNone && r.URL.Path == "/api/v1/users":
		a.header.Set("Content-Type", "application/json")
		a.body.WriteString("[]")
		o.link(a, "self", o.self(r))
	case g.role == RoleNone:
		err = newError("E0000006")
	default:
		err = found.serve(a, r, g)
	}
	if r.Method != http.MethodGet {
		o.stats.violate("a request at the API that is no GET: " + r.Method)
	}
	var refused *refusal
	var failed *oktaError
	switch {
	case errors.As(err, &refused):
		o.refuse(a, r, refused)
	case errors.As(err, &failed):
		a.fail(failed)
	}
}

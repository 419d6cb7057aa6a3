package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
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
	offset atomic.Int64  // of the clock
	store  *store        // users
	groups func() *store // created at the first use, when the URL is known
	limits limiter
	faults faults
	stats  stats
	events events
	hook   hook

	secret   []byte // seals cursors
	tokens   tokens
	apiNonce *nonces // of the API; nil where none is demanded
	clients  *verify.Clients
	apiProof *verify.Verifier

	servers   []*authServer // its own and the custom ones
	endpoints map[string]func(*answer, *http.Request)

	mu   sync.Mutex
	apps map[string]ClientApp
}

// NewOrg returns an org as described. It panics where cfg makes no sense: an
// [AuthServer] without an audience, for one.
func NewOrg(cfg Config) *Org {
	cfg.setDefaults()
	o := &Org{cfg: cfg, apps: map[string]ClientApp{}, secret: make([]byte, 32),
		endpoints: map[string]func(*answer, *http.Request){}}
	rand.Read(o.secret) // never fails
	o.SetURL(cfg.URL)
	o.SetClockOffset(cfg.ClockOffset)
	o.store = newStore(userResource(), people{seed: uint64(cfg.Seed), n: cfg.Users, deprovisioned: cfg.Deprovisioned,
		epoch: cfg.Epoch.UnixMilli(), imported: cfg.Imported}, cfg.IndexLag, o.URL, slices.Concat(baseAttributes, customAttributes))
	o.groups = sync.OnceValue(o.newGroups)
	o.limits = newLimiter(cfg.RateLimit, cfg.ClientShare)
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

// tokenPath is the token endpoint of the org's own authorization server.
const tokenPath = ownPath + "/v1/token"

// isToken says whether path is that of a token endpoint, also of a custom server.
func isToken(path string) bool {
	return strings.HasPrefix(path, ownPath+"/") && strings.HasSuffix(path, "/v1/token")
}

// route finds who answers.
func (o *Org) route(a *answer, r *http.Request, busy bool) {
	path := r.URL.Path
	if r.Header.Get("Authorization") != "" && !isAPI(r) && !isToken(path) {
		o.stats.violate("credentials at a path that needs none: " + path)
	}
	switch {
	case isAPI(r):
		o.serveAPI(a, r, busy)
	case o.endpoints[path] != nil:
		o.endpoints[path](a, r)
	case path == "/.well-known/okta-organization":
		a.json(http.StatusOK, map[string]any{"id": o.ID(), "pipeline": "idx",
			"_links": map[string]any{"organization": map[string]string{"href": o.URL()}}})
	case len(o.cfg.AuthServers) == 0 && strings.HasPrefix(path, ownPath+"/") && !strings.HasPrefix(path, ownPath+"/v1/"):
		a.fail(newError("E0000015")) // custom authorization servers need a licence of their own
	default:
		a.fail(newError("E0000008"))
	}
}

// ID is the org's own id.
func (o *Org) ID() string {
	if o.cfg.ID != "" {
		return o.cfg.ID
	}
	return "00o" + o.store.people.id(0)[3:]
}

// handler answers a request that is authorized. The error is an [oktaError].
type handler func(a *answer, r *http.Request, g *grant) error

// endpoint is one endpoint of the API.
type endpoint struct {
	scope string
	serve handler
	list  bool // of objects that a role can leave out
}

// find returns the endpoint at path; nil: there is none.
func (o *Org) find(path string) *endpoint {
	pattern, id := pathPattern(path)
	switch pattern {
	case "/api/v1/users":
		return &endpoint{"okta.users.read", o.list(o.store), true}
	case "/api/v1/users/{id}":
		return &endpoint{scope: "okta.users.read", serve: func(a *answer, r *http.Request, g *grant) error { return o.getUser(a, r, g, id) }}
	case "/api/v1/groups":
		return &endpoint{"okta.groups.read", o.list(o.groups()), true}
	case "/api/v1/groups/{id}":
		return &endpoint{scope: "okta.groups.read", serve: func(a *answer, r *http.Request, g *grant) error { return o.getGroup(a, r, g, id) }}
	case "/api/v1/logs":
		return &endpoint{scope: "okta.logs.read", serve: o.listEvents}
	case "/api/v1/iam/assignees/users":
		return &endpoint{scope: "okta.roles.read", serve: o.listAssignees}
	}
	return nil
}

// pathPattern returns path with {id} instead of the id of a user or a group.
func pathPattern(path string) (pattern, id string) {
	for _, parent := range []string{"/api/v1/users/", "/api/v1/groups/"} {
		if rest, ok := strings.CutPrefix(path, parent); ok && rest != "" {
			id, _, _ = strings.Cut(rest, "/")
			return parent + "{id}" + rest[len(id):], id
		}
	}
	return path, ""
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
	case g.role == RoleNone && found.list:
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

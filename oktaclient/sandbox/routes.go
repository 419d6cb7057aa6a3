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
	"time"

	"oktasync/oktaclient/sandbox/internal/ratelimit"
)

// NewOrg returns an org. It panics if cfg is invalid, such as an [AuthServer]
// without an audience.
func NewOrg(cfg Config) *Org {
	cfg.setDefaults()
	o := &Org{cfg: cfg, clientApps: map[string]ClientApp{}, cursorKey: make([]byte, 32),
		endpoints: map[string]func(*response, *http.Request){}}
	rand.Read(o.cursorKey) // never fails
	o.SetURL(cfg.URL)
	o.SetClockOffset(cfg.ClockOffset)
	o.users = newStore(userResource(), generator{seed: uint64(cfg.Seed), n: cfg.Users, deprovisioned: cfg.Deprovisioned,
		epoch: cfg.Epoch.UnixMilli(), imported: cfg.Imported}, cfg.IndexLag, o.URL)
	o.lazy = lazyStores{groups: sync.OnceValue(o.newGroups), rules: sync.OnceValue(o.newRules), apps: sync.OnceValue(o.newApps),
		apiTokens: sync.OnceValue(o.newAPITokens), roles: sync.OnceValue(o.newRoles)}
	o.limits = ratelimit.New(cfg.RateLimit, cfg.ClientShare)
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

// ServeHTTP serves a request: it checks the request completely and builds the
// response. Then a fault that is due changes the response.
func (o *Org) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isPrivate(r) {
		http.Error(w, "the sandbox accepts plain HTTP on loopback only", http.StatusForbidden)
		return
	}
	if o.cfg.Control && strings.HasPrefix(r.URL.Path, controlPath) {
		o.serveControl(w, r)
		return
	}
	fault := o.faults.pick(r.URL.Path)
	if isAPIRequest(r) {
		o.hook.call(r)
	}
	inFlight := o.stats.begin(r)
	defer o.stats.end()
	if !sleep(r.Context(), o.cfg.Latency) || !o.beforeServing(r, fault) {
		panic(http.ErrAbortHandler)
	}
	resp := newResponse()
	defer resp.release()
	r = r.WithContext(context.WithValue(r.Context(), faultKey{}, fault))
	o.route(resp, r, inFlight > o.cfg.Concurrency)
	o.applyFault(resp, r, fault)
	body := resp.encode(r)
	resp.header.Set("Date", o.now().UTC().Format(http.TimeFormat))
	o.stats.addStatus(resp.status)
	o.send(w, r, resp, body, fault)
}

// isPrivate reports whether the request came over TLS or from this machine.
func isPrivate(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && net.ParseIP(host).IsLoopback()
}

// route calls the handler for the request's path.
func (o *Org) route(resp *response, r *http.Request, busy bool) {
	path := r.URL.Path
	if r.Header.Get("Authorization") != "" && !isAPIRequest(r) && !isTokenPath(path) {
		o.stats.addViolation("credentials at a path that needs none: " + path)
	}
	switch {
	case isAPIRequest(r):
		o.serveAPI(resp, r, busy)
	case o.endpoints[path] != nil:
		o.endpoints[path](resp, r)
	case path == "/.well-known/okta-organization":
		resp.writeJSON(http.StatusOK, map[string]any{"id": o.ID(), "pipeline": "idx",
			"_links": map[string]any{"organization": map[string]string{"href": o.URL()}}})
	case len(o.cfg.AuthServers) == 0 && strings.HasPrefix(path, ownPath+"/") && !strings.HasPrefix(path, ownPath+"/v1/"):
		resp.writeError(newError("E0000015")) // custom authorization servers require another license
	default:
		resp.writeError(newError("E0000008"))
	}
}

// endpoint returns the endpoint at path, or nil.
func (o *Org) endpoint(path string) *endpoint {
	const users, groups, apps = "okta.users.read", "okta.groups.read", "okta.apps.read"
	pattern, ids := pathPattern(path)
	if e := o.rolesEndpoint(pattern, ids); e != nil {
		return e
	}
	switch pattern {
	case "/api/v1/users":
		return &endpoint{scope: users, serve: o.list(o.users), list: true}
	case "/api/v1/users/{id}":
		return &endpoint{scope: users, serve: o.get(o.users, ids[0])}
	case "/api/v1/users/{id}/groups":
		return &endpoint{scope: users, serve: o.listGroupsOf(ids[0]), list: true}
	case "/api/v1/groups":
		return &endpoint{scope: groups, serve: o.list(o.groups()), list: true}
	case "/api/v1/groups/{id}":
		return &endpoint{scope: groups, serve: o.get(o.groups(), ids[0])}
	case "/api/v1/groups/{id}/users":
		return &endpoint{scope: groups, serve: o.listEdges(o.members(), ids[0]), list: true}
	case "/api/v1/groups/rules":
		return &endpoint{scope: groups, serve: o.list(o.rules()), list: true}
	case "/api/v1/groups/rules/{id}":
		return &endpoint{scope: groups, serve: o.get(o.rules(), ids[0])}
	case "/api/v1/apps":
		return &endpoint{scope: apps, serve: o.list(o.apps()), list: true}
	case "/api/v1/apps/{id}":
		return &endpoint{scope: apps, serve: o.get(o.apps(), ids[0])}
	case "/api/v1/apps/{id}/users":
		return &endpoint{scope: apps, serve: o.listEdges(o.appUsers(), ids[0]), list: true}
	case "/api/v1/apps/{id}/users/{id}":
		return &endpoint{scope: apps, serve: o.getEdge(o.appUsers(), ids[0], ids[1])}
	case "/api/v1/apps/{id}/groups":
		return &endpoint{scope: apps, serve: o.listEdges(o.appGroups(), ids[0]), list: true}
	case "/api/v1/apps/{id}/groups/{id}":
		return &endpoint{scope: apps, serve: o.getEdge(o.appGroups(), ids[0], ids[1])}
	case "/api/v1/apps/{id}/credentials/secrets":
		return &endpoint{scope: apps, serve: o.showSecret}
	case "/api/v1/logs":
		return &endpoint{scope: "okta.logs.read", serve: o.listEvents}
	case "/api/v1/users/{id}/factors":
		return &endpoint{scope: users, serve: o.listFactors(ids[0]), list: true}
	case "/api/v1/api-tokens":
		return &endpoint{scope: "okta.apiTokens.read", serve: o.listAPITokens, permission: readAPITokens}
	case "/api/v1/api-tokens/{id}":
		return &endpoint{scope: "okta.apiTokens.read", serve: o.get(o.apiTokens(), ids[0]), permission: readAPITokens}
	}
	return nil
}

// serveAPI serves a request of the API. It checks the number of concurrent
// requests, the token, the rate limit, the method and the role, in this order.
func (o *Org) serveAPI(resp *response, r *http.Request, busy bool) {
	if r.Method != http.MethodGet {
		o.stats.addViolation("an API request other than GET: " + r.Method)
	}
	if busy {
		o.stats.add(func(s *Stats) { s.TooMany++ })
		o.setRateHeaders(resp, ratelimit.Quota{Reset: o.now().Add(time.Minute)})
		resp.writeError(newError("E0000047"))
		return
	}
	endpoint := o.endpoint(r.URL.Path)
	token, err := o.authorize(r, endpoint)
	if token != nil {
		resp.client = token.client
	}
	pattern, _ := pathPattern(r.URL.Path)
	quota := o.limits.Take(r.URL.Path, pattern, resp.client, o.now())
	o.setRateHeaders(resp, quota)
	switch {
	case quota.Exceeded:
		o.stats.add(func(s *Stats) { s.RateLimited++ })
		err = newError("E0000047")
	case err != nil:
	case r.Method != http.MethodGet && o.cfg.ReadOnly:
		err = newError("E0000010")
	case endpoint != nil && slices.Contains(o.cfg.Unlicensed, pattern):
		err = newError("E0000015")
	case endpoint == nil:
		err = newError("E0000008")
	case r.Method != http.MethodGet:
		err = newError("E0000022")
	case token.role == RoleNone && endpoint.list:
		resp.writeRaw([]byte("[]"))
		o.link(resp, "self", o.self(r))
	case endpoint.permission != "" && !slices.Contains(token.permissions, endpoint.permission):
		err = newError("E0000006")
	case endpoint.permission == "" && (token.role == RoleForbidden || token.role == RoleNone):
		err = newError("E0000006")
	default:
		err = endpoint.serve(resp, r, token)
	}
	var challenge *challengeError
	var failed *oktaError
	switch {
	case errors.As(err, &challenge):
		o.writeChallenge(resp, r, challenge)
	case errors.As(err, &failed):
		resp.writeError(failed)
	}
}

// writeChallenge writes the response to an API request that OAuth rejects.
func (o *Org) writeChallenge(resp *response, r *http.Request, e *challengeError) {
	if e.nonce != "" {
		resp.header.Set("DPoP-Nonce", e.nonce)
		resp.header.Set("Cache-Control", "no-store")
		if o.cfg.APINonceBody {
			resp.writeJSON(e.status, &oauthError{0, e.code, e.description})
			return
		}
	}
	resp.status = e.status
	resp.header.Set("WWW-Authenticate", e.challenge(o.URL(), r))
}

package sandbox

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"oktasync/dpopauth/verify"
	"oktasync/oktaclient/sandbox/internal/edges"
	"oktasync/oktaclient/sandbox/internal/ratelimit"
	"oktasync/oktaclient/sandbox/internal/roles"
)

// Org is an Okta org. It is safe for concurrent use.
type Org struct {
	cfg     Config
	url     atomic.Pointer[string]
	offset  atomic.Int64 // of the clock
	users   *store
	lazy    lazyStores
	access  access
	factors factors
	stamps  stamps
	limits  *ratelimit.Limiter
	faults  faults
	stats   stats
	log     systemLog
	hook    hook

	cursorKey []byte // of the HMAC of cursors
	tokens    tokens
	apiNonce  *nonces // of the API; nil: the API requires none
	clients   *verify.Clients
	apiProof  *verify.Verifier

	servers   []*authServer // the org's own and the custom ones
	endpoints map[string]func(*response, *http.Request)

	mu         sync.Mutex
	clientApps map[string]ClientApp
}

// URL returns the org's URL for clients, without a slash at the end.
func (o *Org) URL() string { return *o.url.Load() }

// SetURL sets the org's URL for clients, which proofs, audiences and links
// contain. Call it before the first request; [NewServer] does.
func (o *Org) SetURL(url string) {
	url = strings.TrimSuffix(url, "/")
	o.url.Store(&url)
}

// ID returns the org's id.
func (o *Org) ID() string {
	if o.cfg.ID != "" {
		return o.cfg.ID
	}
	return "00o" + o.users.originals.id(0)[3:]
}

// now is the org's time.
func (o *Org) now() time.Time { return time.Now().Add(time.Duration(o.offset.Load())) }

// SetClockOffset sets how far the org's clock is ahead of this machine's.
func (o *Org) SetClockOffset(d time.Duration) { o.offset.Store(int64(d)) }

// OnRequest makes the org call f before it serves a request of the API, with the
// request's number, from 1. Calls don't overlap. f may change the org, but must not
// send requests to it.
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

// lazyStores are created at their first use, when the URL is known.
type lazyStores struct {
	groups, rules, apps, apiTokens func() *store
	roles                          func() *roles.Registry
}

// groups returns the groups, with the times that they show now. Don't call it with a
// lock, except that of users or edges.
func (o *Org) groups() *store {
	s := o.lazy.groups()
	o.applyStamps(s, o.now())
	return s
}

func (o *Org) rules() *store { return o.lazy.rules() }

func (o *Org) apps() *store { return o.lazy.apps() }

func (o *Org) apiTokens() *store { return o.lazy.apiTokens() }

// access contains the edges, which are generated at their first use. Locks are
// taken in this order: users, edges, then another store.
type access struct {
	mu    sync.Mutex
	graph atomic.Pointer[edges.Graph]
	cache pageCache

	numbers map[string]int           // of the original users, by id
	json    []atomic.Pointer[[]byte] // of the original users, by number; see prebuilt

	covered        map[string]bool // see coveredUsers
	coveredVersion uint64
}

// factor is an enrollment of a user. Times are milliseconds since 1970.
type factor struct {
	id, status       string
	kind             int // in factorKinds
	created, updated int64
}

// factors are the factors of users that were changed, and the types that a policy
// hides.
type factors struct {
	mu        sync.Mutex
	changed   map[string][]factor // by user
	hidden    map[string]bool     // types
	additions int
}

// stamps are changes of lastMembershipUpdated that the groups don't show yet.
type stamps struct {
	mu      sync.Mutex
	n       int
	pending []stamp
}

type stamp struct {
	group            string
	changed, visible time.Time
}

// faults are the faults that can still occur.
type faults struct {
	mu     sync.Mutex
	active []*activeFault
}

type activeFault struct {
	Fault
	seen int // requests under its path
}

// pick counts a request against all faults and returns the first that is due.
func (f *faults) pick(path string) (due Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := false
	pattern, _ := pathPattern(path)
	kept := f.active[:0]
	for _, a := range f.active {
		if !strings.HasPrefix(path+"$", a.Path) && !strings.HasPrefix(pattern+"$", a.Path) {
			kept = append(kept, a)
			continue
		}
		a.seen++
		after := a.seen - a.Nth
		if !found && (after == 0 || after > 0 && (a.Forever || a.Every > 0 && after%a.Every == 0)) {
			due, found = a.Fault, true
		}
		if after < 0 || a.Forever || a.Every > 0 {
			kept = append(kept, a)
		}
	}
	f.active = kept
	return due
}

// systemLog contains the events in the order in which they were stored.
type systemLog struct {
	mu     sync.Mutex
	first  int // number of events[0] since the org's start
	events []event
}

// event is one event of the System Log.
type event struct {
	uuid, eventType string
	published       time.Time
	targets         []target
}

// target is the object that an event is about: a user with a login, or another
// with a name.
type target struct{ kind, id, login, name string }

const maxEvents = 100_000

func (l *systemLog) add(now time.Time, eventType string, objects ...*object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := event{uuid: rand.Text(), eventType: eventType, published: now}
	for _, obj := range objects {
		json := obj.text()
		e.targets = append(e.targets, target{obj.store.kind, obj.id(), text(json, "profile.login"),
			cmp.Or(text(json, "profile.name"), text(json, "label"), text(json, "name"))})
	}
	l.events = append(l.events, e)
	if len(l.events) > maxEvents {
		drop := len(l.events) / 2
		l.first += drop
		l.events = slices.Clone(l.events[drop:])
	}
}

// accessToken is an issued access token.
type accessToken struct {
	value       string
	client      string
	role        string
	permissions []string // of [ClientApp]
	scopes      []string
	thumbprint  string // "": not bound
	expires     time.Time
	revoked     bool
}

// tokens are the access tokens for the org's API, until an hour after they expire.
type tokens struct {
	mu     sync.Mutex
	issued map[string]*accessToken // by value
}

func (t *tokens) add(token *accessToken, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.issued == nil {
		t.issued = map[string]*accessToken{}
	}
	maps.DeleteFunc(t.issued, func(_ string, old *accessToken) bool { return now.Sub(old.expires) > time.Hour })
	t.issued[token.value] = token
}

// lookup returns a copy of the token with a value.
func (t *tokens) lookup(value string) (accessToken, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	token, ok := t.issued[value]
	if !ok {
		return accessToken{}, false
	}
	return *token, true
}

// revoke revokes the token with a value, or all for "". It returns their number.
func (t *tokens) revoke(value string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, token := range t.issued {
		if !token.revoked && (value == "" || value == token.value) {
			token.revoked = true
			n++
		}
	}
	return n
}

// authServer is a running authorization server: the org's own, whose tokens the
// org's API accepts, or a custom one.
type authServer struct {
	AuthServer
	org    *Org
	own    bool
	path   string // of its endpoints
	nonces *nonces
	proofs *verify.Verifier

	mu        sync.Mutex
	rotations int          // number of keys so far
	keys      []signingKey // newest first; the newest one signs, and all are published
}

type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

// nonces is a source of nonces that can also change after a number of uses. Okta
// renews its nonce every 24 hours and accepts the old one for three days from its
// creation ("Configure DPoP: nonce").
type nonces struct {
	*verify.Nonces
	every int

	mu   sync.Mutex
	uses int
}

func newNonces(life time.Duration, every int, now func() time.Time) *nonces {
	return &nonces{every: every, Nonces: verify.NewNonces(verify.NonceConfig{Every: life, Valid: 3 * life, Now: now})}
}

// Check makes nonces a [verify.NonceSource].
func (n *nonces) Check(nonce string) error {
	if err := n.Nonces.Check(nonce); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.uses++; n.every > 0 && n.uses%n.every == 0 {
		n.Rotate() // the one before stays valid
	}
	return nil
}

// invalidate makes all nonces stale.
func (n *nonces) invalidate() {
	n.Rotate()
	n.Rotate()
}

// link adds a Link header. Each is a line of its own, unless [Config.JoinLinks].
func (o *Org) link(resp *response, rel, target string) {
	value := "<" + target + `>; rel="` + rel + `"`
	name := "Link"
	if o.cfg.LowerCaseLinks {
		name = "link"
	}
	if have := resp.header[name]; o.cfg.JoinLinks && len(have) > 0 {
		resp.header[name] = []string{have[0] + ", " + value}
		return
	}
	resp.header[name] = append(resp.header[name], value)
}

// self returns the URL of the request, with the origin of the org's URL.
func (o *Org) self(r *http.Request) string {
	self := o.URL() + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		self += "?" + r.URL.RawQuery
	}
	return self
}

// TakeRateLimit counts n requests of another client against the current window
// of the bucket of path.
func (o *Org) TakeRateLimit(path string, n int) {
	pattern, _ := pathPattern(path)
	o.limits.TakeOther(path, pattern, n, o.now())
}

// setRateHeaders sets Okta's headers. Reset is in epoch seconds.
func (o *Org) setRateHeaders(resp *response, q ratelimit.Quota) {
	for name, value := range map[string]int64{"Limit": int64(q.Limit), "Remaining": int64(q.Remaining), "Reset": q.Reset.Unix()} {
		values := []string{strconv.FormatInt(value, 10)}
		if o.cfg.DuplicateRateHeaders {
			values = append(values, values[0])
		}
		resp.header["X-Rate-Limit-"+name] = values
	}
}

// handler serves a request of the API that is authorized. The error is an [oktaError].
type handler func(resp *response, r *http.Request, token *accessToken) error

type endpoint struct {
	scope      string
	serve      handler
	list       bool   // without a role, it is empty
	permission string // that the client's custom role needs; "": its standard role is enough
}

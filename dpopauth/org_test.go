package dpopauth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
)

// An org is an authorization server and a resource server at one origin. It checks
// requests with go-jose. An error that a correct client never makes fails the test.
type org struct {
	t testing.TB
	*httptest.Server
	dial func(context.Context, string, string) (net.Conn, error) // nil: TCP

	// Set before the first request. If a hook returns true, it has sent the response.
	token   func(w http.ResponseWriter, s *seen) bool
	api     func(w http.ResponseWriter, s *seen) bool
	now     func() time.Time // the org's clock
	past    time.Duration    // maximum age of a proof
	life    time.Duration    // of tokens
	members map[string]any   // replace members of the token response
	unbound bool             // the app does not require DPoP
	lax     bool             // faults are expected
	noDate  bool
	algs    []jose.SignatureAlgorithm
	decoded bool      // htu contains the decoded path
	client  *keys.Key // the client's key

	mu     sync.Mutex
	nonces map[string][]string // by "token" and "api": the accepted ones, newest last; empty: none is required
	tokens []*seen             // the requests
	apis   []*seen
	jtis   map[string]bool
	live   map[string]string // valid tokens, with their jkt
	issued int
	faults []string
}

// newOrg starts an org with TLS over TCP.
func newOrg(t testing.TB, set ...func(*org)) *org { return startOrg(t, true, nil, set...) }

// newPipeOrg starts an org in memory, for a synctest bubble. It has no TLS, which
// would take most of the time.
func newPipeOrg(t testing.TB, set ...func(*org)) *org {
	return startOrg(t, false, newPipeListener(), set...)
}

func startOrg(t testing.TB, overTLS bool, pipe *pipeListener, set ...func(*org)) *org {
	t.Helper()
	o := &org{
		t: t, now: time.Now, past: time.Minute, life: time.Hour,
		algs:   []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA},
		client: clientKey(),
		nonces: map[string][]string{}, jtis: map[string]bool{}, live: map[string]string{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/oauth2/v1/token", o.serveToken)
	mux.HandleFunc("/", o.serveAPI)
	o.Server = httptest.NewUnstartedServer(mux)
	o.Config.ErrorLog = log.New(io.Discard, "", 0)
	if pipe != nil {
		o.Listener.Close()
		o.Listener, o.dial = pipe, pipe.dial
	}
	for _, f := range set {
		f(o)
	}
	if overTLS {
		o.StartTLS()
	} else {
		o.Start()
	}
	t.Cleanup(func() {
		if pipe != nil {
			time.Sleep(2 * time.Hour) // in the bubble, until every handler has returned
		}
		o.Close()
		if !o.lax {
			for _, f := range o.faults {
				t.Errorf("the org reports: %s", f)
			}
		}
	})
	return o
}

// clientKey signs the assertions of all tests.
var clientKey = sync.OnceValue(func() *keys.Key {
	k, err := keys.Generate()
	if err != nil {
		panic(err)
	}
	return k.WithID("client-1")
})

// base returns a transport that trusts the org, with its own connections.
func (o *org) base() *http.Transport {
	base := o.Server.Client().Transport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = 100
	if o.dial != nil {
		base.DialContext = o.dial
	}
	o.t.Cleanup(base.CloseIdleConnections)
	return base
}

func (o *org) config() dpopauth.Config {
	return dpopauth.Config{
		TokenURL:  o.URL + "/oauth2/v1/token",
		ClientID:  "0oa1",
		Scopes:    []string{"okta.users.read"},
		ClientKey: o.client,
		Origins:   []string{o.URL},
		Base:      o.base(),
	}
}

// transport returns a transport for the org, with the changes of set.
func (o *org) transport(set ...func(*dpopauth.Config)) *dpopauth.Transport {
	o.t.Helper()
	cfg := o.config()
	for _, f := range set {
		f(&cfg)
	}
	t, err := dpopauth.New(cfg)
	if err != nil {
		o.t.Fatal(err)
	}
	return t
}

// get sends a GET, and returns status and body, or the error of RoundTrip.
func get(t testing.TB, tr *dpopauth.Transport, url string) (int, string, error) {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// mustGet sends a GET that must return 200.
func mustGet(t testing.TB, tr *dpopauth.Transport, url string) {
	t.Helper()
	if status, body, err := get(t, tr, url); err != nil || status != http.StatusOK {
		t.Errorf("GET = %d %q, %v, want 200", status, body, err)
	}
}

func (o *org) serveToken(w http.ResponseWriter, r *http.Request) {
	s := o.see(w, r, &o.tokens)
	s.form, _ = url.ParseQuery(string(s.body))
	o.checkAssertion(s)
	if o.token != nil && o.token(w, s) {
		return
	}
	if o.unbound {
		o.grant(w, s, "Bearer")
		return
	}
	code, about := o.verdict("token", s, "")
	if code != "" {
		o.oauthError(w, http.StatusBadRequest, code, about)
		return
	}
	o.grant(w, s, "DPoP")
}

// oauthError sends an error (RFC 6749, section 5.2) with the newest nonce.
func (o *org) oauthError(w http.ResponseWriter, status int, code, about string) {
	if n := o.newest("token"); n != "" && w.Header().Get("DPoP-Nonce") == "" {
		w.Header().Set("DPoP-Nonce", n)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":%q,"error_description":%q}`, code, about)
}

func (o *org) grant(w http.ResponseWriter, s *seen, kind string) {
	o.mu.Lock()
	o.issued++
	value := fmt.Sprintf("tok-%d-~._+/=", o.issued)
	o.live[value] = s.jkt
	m := map[string]any{"token_type": kind, "access_token": value, "expires_in": int(o.life.Seconds()), "scope": s.form.Get("scope")}
	for k, v := range o.members {
		m[k] = v
	}
	o.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(m)
}

func (o *org) serveAPI(w http.ResponseWriter, r *http.Request) {
	s := o.see(w, r, &o.apis)
	if o.api != nil && o.api(w, s) {
		return
	}
	scheme, value, _ := strings.Cut(s.header.Get("Authorization"), " ")
	o.mu.Lock()
	jkt, live := o.live[value]
	o.mu.Unlock()
	code, about := "", ""
	switch {
	case !live:
		code, about = "invalid_token", "The access token has been revoked."
	case o.unbound && scheme != "Bearer":
		code, about = "invalid_token", "The presented access_token is not DPoP bound."
	case o.unbound:
	default:
		if scheme != "DPoP" {
			o.fault("token under scheme %s", scheme)
		}
		code, about = o.verdict("api", s, value)
		if jkt != s.jkt {
			o.fault("token and proof are of different keys")
		}
	}
	if code != "" {
		o.challenge(w, http.StatusUnauthorized, code, about)
		return
	}
	fmt.Fprintf(w, "users %s", r.URL.Path)
}

// challenge sends a challenge (RFC 9449, sections 7.1 and 9).
func (o *org) challenge(w http.ResponseWriter, status int, code, about string) {
	if n := o.newest("api"); n != "" && w.Header().Get("DPoP-Nonce") == "" {
		w.Header().Set("DPoP-Nonce", n)
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`DPoP algs="ES256 RS256", error=%q, error_description=%q`, code, about))
	w.WriteHeader(status)
}

// demand sets the accepted nonces of a role. The org sends the last one.
func (o *org) demand(role string, nonces ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nonces[role] = nonces
}

func (o *org) newest(role string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := o.nonces[role]; len(n) > 0 {
		return n[len(n)-1]
	}
	return ""
}

func (o *org) revoke() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.live)
}

// tokenRequests and apiRequests return the requests so far.
func (o *org) tokenRequests() []*seen { return o.list(&o.tokens) }
func (o *org) apiRequests() []*seen   { return o.list(&o.apis) }

func (o *org) list(l *[]*seen) []*seen {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]*seen(nil), *l...)
}

// wantRequests checks the numbers of token requests and API requests.
func (o *org) wantRequests(tokens, apis int) {
	o.t.Helper()
	if n := len(o.tokenRequests()); n != tokens {
		o.t.Errorf("token requests = %d, want %d", n, tokens)
	}
	if n := len(o.apiRequests()); n != apis {
		o.t.Errorf("API requests = %d, want %d", n, apis)
	}
}

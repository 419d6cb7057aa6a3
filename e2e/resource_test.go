package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
	"oktasync/dpopauth/verify"
	"oktasync/oktaclient/sandbox"
)

// These tests go through the last section of Okta's walk-through: an API of one's
// own, a custom authorization server that gives tokens for it, and a client.

// ordersAPI is the API, and what stands before it.
type ordersAPI struct {
	http.Handler
	nonces *verify.Nonces

	mu      sync.Mutex
	refused []verify.Reason
}

const ordersAudience = "api://orders"

// newOrdersAPI protects an API at origin by tokens of the issuer: reading takes
// one scope, writing another.
func newOrdersAPI(t *testing.T, origin, issuerURL string, client *http.Client) *ordersAPI {
	t.Helper()
	issuer, err := verify.NewIssuer(verify.IssuerConfig{URL: issuerURL, Audience: ordersAudience, HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	api := &ordersAPI{nonces: verify.NewNonces(verify.NonceConfig{})}
	proofs, err := verify.New(verify.Config{Origin: origin, Nonces: api.nonces})
	if err != nil {
		t.Fatal(err)
	}
	resource := verify.Resource{Proofs: proofs, Tokens: issuer.Token, Refused: func(_ *http.Request, err *verify.Error) {
		api.mu.Lock()
		defer api.mu.Unlock()
		api.refused = append(api.refused, err.Reason)
	}}
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := verify.TokenFrom(r.Context())
		fmt.Fprintf(w, "%s %s", r.Method, token.ClientID)
	})
	mux := http.NewServeMux()
	mux.Handle("GET /orders", resource.Protect(orders, "orders.read"))
	mux.Handle("POST /orders", resource.Protect(orders, "orders.write"))
	api.Handler = mux
	return api
}

// refusals returns why requests were refused since it was last called.
func (a *ordersAPI) refusals() []verify.Reason {
	a.mu.Lock()
	defer a.mu.Unlock()
	refused := a.refused
	a.refused = nil
	return refused
}

// wantRefusals fails a test where requests were refused for other reasons.
func (a *ordersAPI) wantRefusals(t *testing.T, want ...verify.Reason) {
	t.Helper()
	if got := a.refusals(); !slices.Equal(got, want) {
		t.Errorf("the API refused for %q, want %q", got, want)
	}
}

// newOrg is an org with a custom authorization server, and the key of the client
// that is registered there.
func newOrg(t *testing.T, cfg sandbox.Config) (*sandbox.Org, *keys.Key) {
	t.Helper()
	key, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Clients = []sandbox.ClientApp{{
		ID: clientID, RequireDPoP: true, Scopes: []string{"okta.users.read"},
		Keys: []sandbox.PublicKey{{KID: key.ID(), Key: key.Public()}},
	}}
	cfg.AuthServers = []sandbox.AuthServer{{ID: "default", Audience: ordersAudience, Scopes: []string{"orders.read", "orders.write"}}}
	return sandbox.NewOrg(cfg), key
}

// newCaller is a client of the API that gets its tokens from the authorization
// server at path.
func newCaller(t *testing.T, org *sandbox.Org, path string, key *keys.Key, api string, base http.RoundTripper, scopes ...string) *http.Client {
	t.Helper()
	transport, err := dpopauth.New(dpopauth.Config{
		TokenURL: org.URL() + path + "/v1/token", ClientID: clientID, ClientKey: key,
		Scopes: scopes, Origins: []string{api}, Base: base,
	})
	if err != nil {
		t.Fatal(err)
	}
	return transport.Client()
}

// A wire sends requests and keeps the last one to the API, as somebody does who
// reads along.
type wire struct {
	http.RoundTripper
	api  string
	last *http.Request
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.String(), w.api) {
		w.last = r.Clone(r.Context())
	}
	return w.RoundTripper.RoundTrip(r)
}

// again sends the last request with something changed, and no more care.
func (w *wire) again(t *testing.T, change func(*http.Request)) *http.Response {
	t.Helper()
	r := w.last.Clone(t.Context())
	if change != nil {
		change(r)
	}
	resp, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// ask reads the orders.
func ask(t *testing.T, c *http.Client, api string) error {
	t.Helper()
	resp, err := c.Get(api + "/orders")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != 200 || string(body) != "GET "+clientID) {
		return fmt.Errorf("status %d, %q", resp.StatusCode, body)
	}
	return err
}

// wantRefused fails a test where err is not the API's refusal.
func wantRefused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var refused *dpopauth.Error
	if !errors.As(err, &refused) || refused.Status != status || refused.Code != code {
		t.Errorf("error = %v, want %d %s", err, status, code)
	}
}

// A protectedSite is an org and an API, each at its own port and with TLS, and a
// wire to both.
type protectedSite struct {
	org  *sandbox.Org
	key  *keys.Key
	api  *ordersAPI
	url  string // of the API
	wire *wire
}

func newProtectedSite(t *testing.T) *protectedSite {
	t.Helper()
	s := &protectedSite{}
	s.org, s.key = newOrg(t, sandbox.Config{Users: 3})
	orgServer, err := sandbox.NewServer(s.org, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { orgServer.Close() })
	apiServer := httptest.NewUnstartedServer(nil)
	s.url = "https://" + apiServer.Listener.Addr().String()
	s.api = newOrdersAPI(t, s.url, s.org.URL()+"/oauth2/default", orgServer.Client())
	apiServer.Config.Handler = s.api
	apiServer.StartTLS()
	t.Cleanup(apiServer.Close)

	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(orgServer.CAPEM())
	trusted.AddCert(apiServer.Certificate())
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	t.Cleanup(base.CloseIdleConnections)
	s.wire = &wire{RoundTripper: base, api: s.url}
	return s
}

// caller is a client whose tokens are by the custom server.
func (s *protectedSite) caller(t *testing.T, scopes ...string) *http.Client {
	t.Helper()
	return newCaller(t, s.org, "/oauth2/default", s.key, s.url, s.wire, scopes...)
}

func (s *protectedSite) noViolations(t *testing.T) {
	t.Helper()
	if v := s.org.Stats().Violations; len(v) > 0 {
		t.Errorf("violations = %q, want none", v)
	}
}

func TestResourceAccess(t *testing.T) {
	s := newProtectedSite(t)
	caller := s.caller(t, "orders.read")
	for range 10 {
		if err := ask(t, caller, s.url); err != nil {
			t.Fatal(err)
		}
	}
	s.api.wantRefusals(t, verify.NonceMissing) // the first time, which the caller has not noticed
	if stats := s.org.Stats(); stats.Grants != 1 || stats.Challenges != 1 {
		t.Errorf("grants = %d, challenges = %d at the authorization server, want one each", stats.Grants, stats.Challenges)
	}

	s.api.nonces.Rotate() // the old one is good for a while, and the answer has the new one
	for range 2 {
		if err := ask(t, caller, s.url); err != nil {
			t.Error(err)
		}
	}
	s.api.wantRefusals(t)
	s.api.nonces.Rotate()
	s.api.nonces.Rotate()
	if err := ask(t, caller, s.url); err != nil {
		t.Error(err)
	}
	s.api.wantRefusals(t, verify.NonceExpired)

	resp, err := caller.Post(s.url+"/orders", "text/plain", strings.NewReader("one more"))
	if err == nil {
		resp.Body.Close()
	}
	wantRefused(t, err, 403, verify.InsufficientScope)
	s.api.wantRefusals(t, verify.TokenScope)
	both := s.caller(t, "orders.read", "orders.write")
	if resp, err = both.Post(s.url+"/orders", "text/plain", strings.NewReader("one more")); err != nil || resp.StatusCode != 200 {
		t.Errorf("with the scope: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	s.noViolations(t)
}

// Whoever has read along has a token and a proof, and can do nothing with them.
func TestResourceAgainstThieves(t *testing.T) {
	s := newProtectedSite(t)
	if err := ask(t, s.caller(t, "orders.read"), s.url); err != nil {
		t.Fatal(err)
	}
	s.api.refusals()
	_, token, _ := strings.Cut(s.wire.last.Header.Get("Authorization"), " ")
	for _, theft := range []struct {
		name   string
		change func(*http.Request)
		status int
		reason verify.Reason
	}{
		{"replay", nil, 401, verify.ProofReplayed},
		{"with another method", func(r *http.Request) { r.Method = "POST" }, 401, verify.ProofMethod},
		{"as a bearer's, with the proof", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, 401, verify.TokenScheme},
		{"as a bearer's", func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Del("DPoP")
		}, 401, verify.TokenScheme},
		{"without the proof", func(r *http.Request) { r.Header.Del("DPoP") }, 401, verify.ProofMissing},
		{"the proof without the token", func(r *http.Request) { r.Header.Del("Authorization") }, 401, verify.TokenMissing},
	} {
		resp := s.wire.again(t, theft.change)
		if challenge := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != theft.status || !strings.HasPrefix(challenge, "DPoP ") {
			t.Errorf("%s: %d %s, want %d and a challenge", theft.name, resp.StatusCode, challenge, theft.status)
		}
		s.api.wantRefusals(t, theft.reason)
	}
	s.noViolations(t)
}

// Tokens of the org's own server are for Okta's API, those of the custom one for ours.
func TestResourceTakesTokensOfItsServerOnly(t *testing.T) {
	s := newProtectedSite(t)
	err := ask(t, newCaller(t, s.org, "/oauth2", s.key, s.url, s.wire, "okta.users.read"), s.url)
	wantRefused(t, err, 401, verify.InvalidToken)
	s.api.wantRefusals(t, verify.TokenType, verify.TokenType) // once more with a new token
	s.noViolations(t)

	custom := newCaller(t, s.org, "/oauth2/default", s.key, s.org.URL(), s.wire, "orders.read")
	resp, err := custom.Get(s.org.URL() + "/api/v1/users")
	if err == nil {
		resp.Body.Close()
	}
	wantRefused(t, err, 401, verify.InvalidToken)

	s.org.Inject(sandbox.Fault{Path: "/oauth2/default/v1/token", Bearer: true, Forever: true})
	if err := ask(t, s.caller(t, "orders.read"), s.url); !errors.Is(err, dpopauth.ErrTokenType) {
		t.Errorf("with a server that gives bearer tokens: %v, want %v", err, dpopauth.ErrTokenType)
	}
	s.api.wantRefusals(t) // it never came that far
}

// inProcess is an org and an API in a bubble, where there is no network.
type inProcess struct {
	org http.RoundTripper
	url string
	api http.Handler
}

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.String(), p.url) {
		return p.org.RoundTrip(r)
	}
	w := httptest.NewRecorder()
	p.api.ServeHTTP(w, r)
	return w.Result(), nil
}

// A day with ten-minute tokens, on which the authorization server changes its
// keys twice: nobody who is entitled notices.
func TestResourceForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "https://orders.example.com"
		org, key := newOrg(t, sandbox.Config{TokenLife: 10 * time.Minute, NonceLife: time.Hour})
		api := newOrdersAPI(t, url, org.URL()+"/oauth2/default", org.Client())
		caller := newCaller(t, org, "/oauth2/default", key, url, inProcess{org.Transport(), url, api}, "orders.read")
		for minute := range 24 * 60 {
			if minute == 8*60 || minute == 16*60 {
				org.RotateKeys()
			}
			if err := ask(t, caller, url); err != nil {
				t.Fatalf("minute %d: %v", minute, err)
			}
			time.Sleep(time.Minute)
		}
		for _, reason := range api.refusals() {
			if reason.Code() != verify.UseNonce {
				t.Errorf("refused for %q", reason)
			}
		}
		stats := org.Stats()
		if stats.Grants < 144 || stats.Grants > 200 || len(stats.Violations) > 0 {
			t.Errorf("grants = %d, violations = %q, want a grant for each 8 or 9 minutes and none", stats.Grants, stats.Violations)
		}
		if n := stats.ByPath["/oauth2/default/v1/keys"]; n < 24 || n > 30 { // hourly, and for a new kid
			t.Errorf("the API asked for the keys %d times, want about once an hour", n)
		}
	})
}

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

// These tests cover the last section of Okta's walkthrough: an API of your own, a
// custom authorization server that issues tokens for it, and a client. They check
// dpopauth against dpopauth/verify and the sandbox; the program isn't involved.

// ordersAPI is an API that requires DPoP-bound tokens.
type ordersAPI struct {
	http.Handler
	nonces *verify.Nonces

	mu       sync.Mutex
	rejected []verify.Reason
}

const ordersAudience = "api://orders"

// newOrdersAPI returns an API at origin that accepts tokens of an issuer: GET
// requires one scope, POST another.
func newOrdersAPI(t *testing.T, origin, issuerURL string, client *http.Client) *ordersAPI {
	t.Helper()
	issuer, err := verify.NewIssuer(verify.IssuerConfig{URL: issuerURL, Audience: ordersAudience, HTTPClient: client})
	check(t, err)
	api := &ordersAPI{nonces: verify.NewNonces(verify.NonceConfig{})}
	proofs, err := verify.New(verify.Config{Origin: origin, Nonces: api.nonces})
	check(t, err)
	resource := verify.Resource{Proofs: proofs, Tokens: issuer.Token, Refused: func(_ *http.Request, err *verify.Error) {
		api.mu.Lock()
		defer api.mu.Unlock()
		api.rejected = append(api.rejected, err.Reason)
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

// rejections returns the reasons of all rejections since its last call.
func (a *ordersAPI) rejections() []verify.Reason {
	a.mu.Lock()
	defer a.mu.Unlock()
	rejected := a.rejected
	a.rejected = nil
	return rejected
}

// wantRejections checks the reasons of all rejections since the last call.
func (a *ordersAPI) wantRejections(t *testing.T, want ...verify.Reason) {
	t.Helper()
	if got := a.rejections(); !slices.Equal(got, want) {
		t.Errorf("the API rejected requests for %q, want %q", got, want)
	}
}

// newOrg returns an org with a custom authorization server, and the key of its
// client.
func newOrg(t *testing.T, cfg sandbox.Config) (*sandbox.Org, *keys.Key) {
	t.Helper()
	key, err := keys.Generate()
	check(t, err)
	cfg.Clients = []sandbox.ClientApp{{
		ID: clientID, RequireDPoP: true, Scopes: []string{"okta.users.read"},
		Keys: []sandbox.PublicKey{{KID: key.ID(), Key: key.Public()}},
	}}
	cfg.AuthServers = []sandbox.AuthServer{{ID: "default", Audience: ordersAudience, Scopes: []string{"orders.read", "orders.write"}}}
	return sandbox.NewOrg(cfg), key
}

// newCaller returns a client of the API. The authorization server at path issues
// its tokens.
func newCaller(t *testing.T, org *sandbox.Org, path string, key *keys.Key, api string, base http.RoundTripper, scopes ...string) *http.Client {
	t.Helper()
	transport, err := dpopauth.New(dpopauth.Config{
		TokenURL: org.URL() + path + "/v1/token", ClientID: clientID, ClientKey: key,
		Scopes: scopes, Origins: []string{api}, Base: base,
	})
	check(t, err)
	return transport.Client()
}

// ask sends GET /orders.
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

// wantRejected checks that err is a rejection by the API.
func wantRejected(t *testing.T, err error, status int, code string) {
	t.Helper()
	var rejected *dpopauth.Error
	if !errors.As(err, &rejected) || rejected.Status != status || rejected.Code != code {
		t.Errorf("error = %v, want %d %s", err, status, code)
	}
}

// protectedSite is an org and an API with TLS, and a transport to both.
type protectedSite struct {
	org  *sandbox.Org
	key  *keys.Key
	api  *ordersAPI
	url  string // of the API
	base http.RoundTripper
}

func newProtectedSite(t *testing.T) *protectedSite {
	t.Helper()
	s := &protectedSite{}
	s.org, s.key = newOrg(t, sandbox.Config{Users: 3})
	orgServer, err := sandbox.NewServer(s.org, "127.0.0.1:0")
	check(t, err)
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
	s.base = base
	return s
}

// caller returns a client of the custom authorization server.
func (s *protectedSite) caller(t *testing.T, scopes ...string) *http.Client {
	t.Helper()
	return newCaller(t, s.org, "/oauth2/default", s.key, s.url, s.base, scopes...)
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
	s.api.wantRejections(t, verify.NonceMissing) // the first request, which the transport sent again
	if stats := s.org.Stats(); stats.Grants != 1 || stats.Challenges != 1 {
		t.Errorf("grants = %d, challenges = %d at the authorization server, want one each", stats.Grants, stats.Challenges)
	}

	s.api.nonces.Rotate() // the old nonce stays valid, and the response contains the new one
	for range 2 {
		if err := ask(t, caller, s.url); err != nil {
			t.Error(err)
		}
	}
	s.api.wantRejections(t)
	s.api.nonces.Rotate()
	s.api.nonces.Rotate()
	if err := ask(t, caller, s.url); err != nil {
		t.Error(err)
	}
	s.api.wantRejections(t, verify.NonceExpired)

	resp, err := caller.Post(s.url+"/orders", "text/plain", strings.NewReader("one more"))
	if err == nil {
		resp.Body.Close()
	}
	wantRejected(t, err, 403, verify.InsufficientScope)
	s.api.wantRejections(t, verify.TokenScope)
	both := s.caller(t, "orders.read", "orders.write")
	if resp, err = both.Post(s.url+"/orders", "text/plain", strings.NewReader("one more")); err != nil || resp.StatusCode != 200 {
		t.Errorf("with the scope: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	s.noViolations(t)
}

// The API rejects tokens of the org's authorization server. Okta's API rejects
// tokens of the custom one.
func TestResourceOfOtherServer(t *testing.T) {
	s := newProtectedSite(t)
	err := ask(t, newCaller(t, s.org, "/oauth2", s.key, s.url, s.base, "okta.users.read"), s.url)
	wantRejected(t, err, 401, verify.InvalidToken)
	s.api.wantRejections(t, verify.TokenType, verify.TokenType) // and again with a new token
	s.noViolations(t)

	custom := newCaller(t, s.org, "/oauth2/default", s.key, s.org.URL(), s.base, "orders.read")
	resp, err := custom.Get(s.org.URL() + "/api/v1/users")
	if err == nil {
		resp.Body.Close()
	}
	wantRejected(t, err, 401, verify.InvalidToken)

	s.org.Inject(sandbox.Fault{Path: "/oauth2/default/v1/token", Bearer: true, Forever: true})
	if err := ask(t, s.caller(t, "orders.read"), s.url); !errors.Is(err, dpopauth.ErrTokenType) {
		t.Errorf("with a server that issues Bearer tokens: %v, want %v", err, dpopauth.ErrTokenType)
	}
	s.api.wantRejections(t) // the client sent no request
}

// inProcess is a transport to an org and an API without a network.
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

// A day with tokens that last ten minutes and two key rotations: the API rejects
// only requests without its current nonce.
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
		for _, reason := range api.rejections() {
			if reason.Code() != verify.UseNonce {
				t.Errorf("rejected for %q", reason)
			}
		}
		stats := org.Stats()
		if stats.Grants < 144 || stats.Grants > 200 || len(stats.Violations) > 0 {
			t.Errorf("grants = %d, violations = %q, want a grant for each 8 or 9 minutes and none", stats.Grants, stats.Violations)
		}
		if n := stats.ByPath["/oauth2/default/v1/keys"]; n < 24 || n > 30 { // every hour, and for each new key
			t.Errorf("the API requested the keys %d times, want about once an hour", n)
		}
	})
}

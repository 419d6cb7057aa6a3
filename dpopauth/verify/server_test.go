package verify_test

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"oktasync/dpopauth/verify"
)

// An authServer is an authorization server with the client 0oa1 and the scope
// orders.read. Like a custom authorization server of Okta, its issuer has a path.
type authServer struct {
	*httptest.Server
	issuer      string
	key         signer // signs access tokens
	client      signer // the key that is registered for 0oa1
	proofs      *verify.Verifier
	clients     *verify.Clients
	requireDPoP atomic.Bool

	mu   sync.Mutex
	keys m // its JWKS
	hits map[string]int
}

const audience = "https://api.example.com/orders"

// newAuthServer starts an authorization server.
func newAuthServer(nonces verify.NonceSource) *authServer {
	as := &authServer{
		key: newSigner("RS256"), client: newSigner("ES256"),
		hits: map[string]int{},
	}
	as.requireDPoP.Store(true)
	as.Server = httptest.NewTLSServer(as)
	as.issuer = as.URL + "/oauth2/default"
	as.keys = m{"keys": []m{as.key.jwk().with(m{"kid": "k1", "use": "sig", "alg": "RS256"})}}
	var err error
	as.proofs, err = verify.New(verify.Config{Origin: as.URL, Nonces: nonces})
	if err != nil {
		panic(err)
	}
	as.clients, err = verify.NewClients(verify.ClientsConfig{
		Keys: func(_ context.Context, client string) ([]verify.Key, error) {
			if client != "0oa1" {
				return nil, verify.ErrUnknownClient
			}
			return []verify.Key{{ID: "1", Public: as.client.key.Public()}}, nil
		},
	})
	if err != nil {
		panic(err)
	}
	return as
}

func (as *authServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	as.mu.Lock()
	as.hits[r.URL.Path]++
	keys := as.keys
	as.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server/oauth2/default":
		json.NewEncoder(w).Encode(m{"issuer": as.issuer, "jwks_uri": as.issuer + "/v1/keys"})
	case "/oauth2/default/v1/keys":
		json.NewEncoder(w).Encode(keys)
	case "/oauth2/default/v1/token":
		as.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (as *authServer) token(w http.ResponseWriter, r *http.Request) {
	client, err := as.clients.Assertion(r.Context(), r.PostFormValue("client_assertion"), as.issuer+"/v1/token")
	if err != nil {
		verify.WriteTokenError(w, err)
		return
	}
	claims := as.claims().with(m{"sub": client.ClientID, "cid": client.ClientID})
	claims["cnf"] = absent
	answer := m{"token_type": "Bearer", "expires_in": 3600, "scope": "orders.read"}
	if as.requireDPoP.Load() {
		proof, err := as.proofs.Proof(r)
		if err != nil {
			verify.WriteTokenError(w, err)
			return
		}
		as.proofs.OfferNonce(w.Header(), proof)
		claims["cnf"] = m{"jkt": proof.Thumbprint}
		answer["token_type"] = "DPoP"
	}
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(answer.with(m{"access_token": as.mint(nil, claims)}))
}

// claims returns the claims of an access token as Okta issues it.
func (as *authServer) claims() m {
	now := time.Now()
	return m{
		"ver": 1, "jti": "AT." + newID(), "iss": as.issuer, "aud": audience, "sub": "0oa1", "cid": "0oa1",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "scp": []string{"orders.read"},
	}
}

// mint returns an access token that is valid except for edits. By default it is
// bound to proofKey.
func (as *authServer) mint(header, edits m) string {
	claims := as.claims().with(m{"cnf": m{"jkt": proofKey.thumbprint()}}).with(edits)
	return as.key.sign(m{"alg": as.key.alg, "kid": "k1"}.with(header).json(), claims.json())
}

// tokenFor returns an access token that is bound to a key.
func (as *authServer) tokenFor(key crypto.PublicKey) string {
	thumbprint, err := verify.Thumbprint(key)
	if err != nil {
		panic(err)
	}
	return as.mint(nil, m{"cnf": m{"jkt": thumbprint}})
}

// count returns the number of requests for a path.
func (as *authServer) count(path string) int {
	as.mu.Lock()
	defer as.mu.Unlock()
	return as.hits[path]
}

// publish replaces the JWKS.
func (as *authServer) publish(keys ...m) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.keys = m{"keys": keys}
}

// proofKey is the DPoP key of the client.
var proofKey = newSigner("ES384")

// proveNow returns a proof for a request at the current time.
func proveNow(method, url, token, nonce string) string {
	edits := m{"htm": method, "htu": url, "iat": time.Now().Unix()}
	if token != "" {
		edits["ath"] = verify.AccessTokenHash(token)
	}
	if nonce != "" {
		edits["nonce"] = nonce
	}
	return proofKey.proof(nil, edits)
}

// newAPI starts a resource server that trusts as, and returns data of the token.
func newAPI(as *authServer, nonces verify.NonceSource, scopes ...string) *httptest.Server {
	server := httptest.NewUnstartedServer(nil)
	proofs, err := verify.New(verify.Config{Origin: "https://" + server.Listener.Addr().String(), Nonces: nonces})
	if err != nil {
		panic(err)
	}
	issuer, err := verify.NewIssuer(verify.IssuerConfig{URL: as.issuer, Audience: audience, HTTPClient: as.Client()})
	if err != nil {
		panic(err)
	}
	api := verify.Resource{Proofs: proofs, Tokens: issuer.Token}
	server.Config.Handler = api.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := verify.TokenFrom(r.Context())
		r.ParseForm()
		fmt.Fprintf(w, "%s %s %s", token.ClientID, strings.Join(token.Scopes, ","), r.Form.Get("note"))
	}), scopes...)
	server.StartTLS()
	return server
}

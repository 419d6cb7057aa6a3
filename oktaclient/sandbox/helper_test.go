package sandbox_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// The client of these tests uses only the standard library. It can therefore send
// every incorrect request, and shares no code with the clients of oktasync.

type m = map[string]any

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func mustKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// jwt signs header and claims with an EC P-256 or RSA key. It ignores the alg of
// the header.
func jwt(key crypto.Signer, header, claims m) string {
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	signed := encode(h) + "." + encode(c)
	digest := sha256.Sum256([]byte(signed))
	var signature []byte
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, _ := ecdsa.Sign(rand.Reader, key, digest[:])
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case *rsa.PrivateKey:
		signature, _ = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	}
	return signed + "." + encode(signature)
}

func jwk(key crypto.Signer) m {
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey:
		point, _ := pub.Bytes()
		return m{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
	case *rsa.PublicKey:
		return m{"kty": "RSA", "n": encode(pub.N.Bytes()), "e": encode(big.NewInt(int64(pub.E)).Bytes())}
	}
	return nil
}

// client sends correct and incorrect requests to an org.
type client struct {
	t         testing.TB
	org       *sandbox.Org
	http      *http.Client
	id, kid   string
	server    string // path of the authorization server
	scope     string // in token requests
	key, dpop crypto.Signer
	nonce     string // for the token endpoint
	token     string
	bound     bool
}

const (
	clientID = "0oa1client"
	kid      = "key-1"

	apiScopes = "okta.users.read okta.groups.read okta.apps.read okta.logs.read okta.roles.read"
)

// newClient returns the client of the only app in a new org.
func newClient(t testing.TB, cfg sandbox.Config) *client {
	t.Helper()
	key := mustKey()
	app := sandbox.ClientApp{ID: clientID, RequireDPoP: true, Scopes: strings.Fields(apiScopes), Permissions: []string{"okta.iam.read"},
		Keys: []sandbox.PublicKey{{KID: kid, Key: key.Public()}}}
	if len(cfg.Clients) == 1 { // only the key differs
		keys := app.Keys
		app = cfg.Clients[0]
		app.ID, app.Keys = clientID, keys
	}
	cfg.Clients = []sandbox.ClientApp{app}
	if cfg.RateLimit == nil {
		cfg.RateLimit = sandbox.Limits(1_000_000)
	}
	org := sandbox.NewOrg(cfg)
	return &client{t: t, org: org, http: org.Client(), id: clientID, kid: kid, server: "/oauth2",
		scope: apiScopes, key: key, dpop: mustKey()}
}

// authServers are the paths of the org's own authorization server and of a custom
// one. Most rules are the same for both.
var authServers = []string{"/oauth2", "/oauth2/default"}

// newClientAt returns a client of one of the authServers.
func newClientAt(t testing.TB, server string, cfg sandbox.Config) *client {
	t.Helper()
	cfg.AuthServers = []sandbox.AuthServer{{ID: "default", Audience: "api://orders", Scopes: []string{"orders.read", "orders.write"}}}
	c := newClient(t, cfg)
	if c.server = server; server != "/oauth2" {
		c.scope = "orders.read"
	}
	return c
}

func (c *client) tokenURL() string { return c.org.URL() + c.server + "/v1/token" }

// assertionClaims returns the claims of a valid assertion.
func (c *client) assertionClaims() m {
	return m{"iss": c.id, "sub": c.id, "aud": c.tokenURL(), "exp": time.Now().Add(5 * time.Minute).Unix(), "jti": rand.Text()}
}

func (c *client) assertion(change m) string {
	claims := c.assertionClaims()
	apply(claims, change)
	return jwt(c.key, m{"alg": "ES256", "kid": c.kid}, claims)
}

// apply changes members; nil removes one.
func apply(claims, change m) {
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
}

// proof returns a DPoP proof. header and claims change a valid one.
func (c *client) proof(method, u string, header, claims m) string {
	h := m{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(c.dpop)}
	apply(h, header)
	target, _, _ := strings.Cut(u, "?")
	p := m{"jti": rand.Text(), "htm": method, "htu": target, "iat": time.Now().Unix()}
	apply(p, claims)
	return jwt(c.dpop, h, p)
}

func (c *client) form(change url.Values) url.Values {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {c.scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {c.assertion(nil)}}
	for name, values := range change {
		if form[name] = values; values == nil {
			form.Del(name)
		}
	}
	return form
}

func (c *client) tokenProof(header, claims m) string {
	if c.nonce != "" && !hasKey(claims, "nonce") {
		claims = maps.Clone(claims)
		if claims == nil {
			claims = m{}
		}
		claims["nonce"] = c.nonce
	}
	return c.proof("POST", c.tokenURL(), header, claims)
}

func hasKey(claims m, name string) bool { _, ok := claims[name]; return ok }

type result struct {
	status int
	header http.Header
	body   string
	json   m
}

func (r result) code() string {
	for _, name := range []string{"error", "errorCode"} {
		if s, ok := r.json[name].(string); ok {
			return s
		}
	}
	return attribute(r.header.Get("WWW-Authenticate"), "error")
}

func (r result) description() string {
	for _, name := range []string{"error_description", "errorSummary"} {
		if s, ok := r.json[name].(string); ok {
			return s
		}
	}
	return attribute(r.header.Get("WWW-Authenticate"), "error_description")
}

func attribute(challenge, name string) string {
	if found := regexp.MustCompile(`[ ,]` + name + `="([^"]*)"`).FindStringSubmatch(challenge); found != nil {
		return found[1]
	}
	return ""
}

func (c *client) do(req *http.Request) (result, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return result{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	r := result{status: resp.StatusCode, header: resp.Header, body: string(body)}
	_ = json.Unmarshal(body, &r.json)
	return r, err
}

func (c *client) must(req *http.Request) result {
	c.t.Helper()
	r, err := c.do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	return r
}

// postToken sends a token request with these proofs.
func (c *client) postToken(form url.Values, proofs ...string) result {
	c.t.Helper()
	return c.must(c.tokenRequest(form, proofs...))
}

func (c *client) tokenRequest(form url.Values, proofs ...string) *http.Request {
	req, _ := http.NewRequestWithContext(c.t.Context(), "POST", c.tokenURL(), strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, proof := range proofs {
		req.Header.Add("DPoP", proof)
	}
	return req
}

// login requests a token like a correct client.
func (c *client) login() {
	c.t.Helper()
	r := c.postToken(c.form(nil), c.tokenProof(nil, nil))
	if r.code() == "use_dpop_nonce" {
		c.nonce = r.header.Get("DPoP-Nonce")
		r = c.postToken(c.form(nil), c.tokenProof(nil, nil))
	}
	if r.status != 200 {
		c.t.Fatalf("token request: %d %s", r.status, r.body)
	}
	c.token, _ = r.json["access_token"].(string)
	c.bound = r.json["token_type"] == "DPoP"
}

// request returns a GET request of the API with a valid proof.
func (c *client) request(target string, claims m) *http.Request {
	if !strings.Contains(target, "://") {
		target = c.org.URL() + target
	}
	req, err := http.NewRequestWithContext(c.t.Context(), "GET", target, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token == "" {
		c.login()
	}
	if !c.bound {
		req.Header.Set("Authorization", "Bearer "+c.token)
		return req
	}
	hash := sha256.Sum256([]byte(c.token))
	all := m{"ath": encode(hash[:])}
	apply(all, claims)
	req.Header.Set("Authorization", "DPoP "+c.token)
	req.Header.Set("DPoP", c.proof("GET", target, nil, all))
	return req
}

func (c *client) get(target string) result {
	c.t.Helper()
	return c.must(c.request(target, nil))
}

// next returns the target of the next link; "": there is none.
func (r result) next() string {
	for _, line := range r.header.Values("Link") {
		for _, link := range strings.Split(line, ", <") {
			if target, ok := strings.CutSuffix(link, `>; rel="next"`); ok {
				return strings.TrimPrefix(target, "<")
			}
		}
	}
	return ""
}

var errEndless = errors.New("endless list")

// all follows next links and returns the ids of all rows and the rows.
func (c *client) all(target string) (ids []string, rows []json.RawMessage, err error) {
	for pages := 0; target != ""; pages++ {
		if pages == 100 {
			return ids, rows, errEndless
		}
		r, err := c.do(c.request(target, nil))
		if err != nil {
			return ids, rows, err
		}
		var page []json.RawMessage
		if err := json.Unmarshal([]byte(r.body), &page); err != nil || r.status != 200 {
			return ids, rows, errors.New(r.body)
		}
		for _, row := range page {
			var user struct{ ID string }
			_ = json.Unmarshal(row, &user)
			ids, rows = append(ids, user.ID), append(rows, row)
		}
		target = r.next()
	}
	return ids, rows, nil
}

func (c *client) mustAll(target string) []string {
	c.t.Helper()
	ids, _, err := c.all(target)
	if err != nil {
		c.t.Fatalf("list %s: %v", target, err)
	}
	return ids
}

// noViolations fails the test if the org has counted violations.
func (c *client) noViolations() {
	c.t.Helper()
	if v := c.org.Stats().Violations; len(v) > 0 {
		c.t.Errorf("violations = %q, want none", v)
	}
}

// oneViolation fails the test unless the org has counted one violation.
func (c *client) oneViolation() {
	c.t.Helper()
	if v := c.org.Stats().Violations; len(v) != 1 {
		c.t.Errorf("violations = %q, want one", v)
	}
}

// list is the path of a list of users with a query of these pairs.
func list(pairs ...string) string { return "/api/v1/users?" + query(pairs...) }

// groups is the path of a list of groups with a query of these pairs.
func groups(pairs ...string) string { return "/api/v1/groups?" + query(pairs...) }

func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q.Encode()
}

// want checks status, error code and description; code "" is a response without an error.
func (r result) want(t testing.TB, status int, code, description string) {
	t.Helper()
	if r.status != status || r.code() != code || !strings.Contains(r.description(), description) {
		t.Errorf("response = %d %s %q, want %d %s %q: %s", r.status, r.code(), r.description(), status, code, description, r.body)
	}
}

// inject adds a fault in the syntax of ParseFault.
func (c *client) inject(fault string) {
	c.t.Helper()
	f, err := sandbox.ParseFault(fault)
	if err != nil {
		c.t.Fatal(err)
	}
	c.org.Inject(f)
}

// thumbprint returns the thumbprint of the DPoP key (RFC 7638, section 3.2).
func (c *client) thumbprint() string {
	key := jwk(c.dpop)
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + key["x"].(string) + `","y":"` + key["y"].(string) + `"}`))
	return encode(sum[:])
}

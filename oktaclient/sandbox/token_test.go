package sandbox_test

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// Rules 1, 2 and 5: the token request itself.
func TestTokenRequest(t *testing.T) {
	for _, test := range []struct {
		name              string
		method, kind      string
		query             string
		form              url.Values
		basic, dpop       bool
		status            int
		code, description string
	}{
		{name: "GET", method: "GET", status: 405, code: "E0000022"},
		{name: "JSON", kind: "application/json", status: 400, code: "invalid_request"},
		{name: "no grant type", form: url.Values{"grant_type": nil}, status: 400, code: "invalid_request", description: "must specify a 'grant_type'"},
		{name: "unknown grant type", form: url.Values{"grant_type": {"magic"}}, status: 400, code: "unsupported_grant_type"},
		{name: "grant type of a user", form: url.Values{"grant_type": {"authorization_code"}}, status: 400, code: "unauthorized_client"},
		{name: "assertion twice", query: "?client_assertion=x", status: 400, code: "invalid_request", description: "'client_assertion' must not be repeated"},
		{name: "scope in query", form: url.Values{"scope": nil}, query: "?scope=okta.users.read", status: 200},
		{name: "secret in query", query: "?client_secret=x", status: 400, code: "invalid_request"},
		{name: "secret", form: url.Values{"client_assertion": nil, "client_assertion_type": nil, "client_secret": {"s"}}, status: 401, code: "invalid_client", description: "must use the private_key_jwt"},
		{name: "basic", form: url.Values{"client_assertion": nil}, basic: true, status: 401, code: "invalid_client", description: "must use the private_key_jwt"},
		{name: "client_id", form: url.Values{"client_id": {clientID}}, dpop: true, status: 400, code: "invalid_dpop_proof", description: "header is missing"}, // the correct one is accepted
		{name: "two credentials", basic: true, status: 401, code: "invalid_request", description: "Cannot supply multiple client credentials."},
		{name: "no credentials", form: url.Values{"client_assertion": nil}, status: 401, code: "invalid_client", description: "No client credentials found."},
		{name: "assertion type", form: url.Values{"client_assertion_type": {"jwt"}}, status: 400, code: "invalid_request", description: "The client_assertion_type is invalid."},
		{name: "other client_id", form: url.Values{"client_id": {"0oaOther"}}, status: 401, code: "invalid_client", description: "issuer claim"},
		{name: "no scope", form: url.Values{"scope": nil}, status: 400, code: "invalid_scope", description: "No scopes were requested."},
		{name: "openid", form: url.Values{"scope": {"openid okta.users.read"}}, status: 400, code: "invalid_scope", description: "Cannot request 'openid' scopes"},
		{name: "foreign scope", form: url.Values{"scope": {"mail.read"}}, status: 400, code: "invalid_scope", description: "not configured"},
		{name: "none granted", form: url.Values{"scope": {"okta.devices.read"}}, status: 400, code: "consent_required", description: "You are not allowed any of the requested scopes."},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, sandbox.Config{Clients: []sandbox.ClientApp{{Scopes: []string{"okta.users.read"}, RequireDPoP: test.dpop}}})
			req := c.tokenRequest(c.form(test.form))
			if test.method != "" {
				req.Method = test.method
			}
			if test.kind != "" {
				req.Header.Set("Content-Type", test.kind)
			}
			if test.basic {
				req.SetBasicAuth(clientID, "secret")
			}
			req.URL.RawQuery = strings.TrimPrefix(test.query, "?")
			c.must(req).want(t, test.status, test.code, test.description)
		})
	}
}

// assertionCase is a changed assertion.
type assertionCase struct {
	name           string
	header, claims m
	raw            string
	description    string // "": the org grants a token
}

func assertionCases(now time.Time, server string) []assertionCase {
	const alg = "The client_assertion JWT signature algorithm is invalid."
	const aud = "The audience claim for client_assertion must be the endpoint invoked for the request."
	const org = "https://acme.okta.example"
	tokenURL := org + server + "/v1/token"
	return []assertionCase{
		{name: "valid"},
		{name: "with iat", claims: m{"iat": now.Add(-30 * time.Second).Unix()}},
		{name: "without jti", claims: m{"jti": nil}},
		{name: "aud as a list of one", claims: m{"aud": []string{tokenURL}}},
		{name: "garbage", raw: "x.y.z", description: "The parsing of the client_assertion failed."},
		{name: "alg none", header: m{"alg": "none"}, description: alg},
		{name: "alg HS256", header: m{"alg": "HS256"}, description: alg},
		{name: "alg PS256", header: m{"alg": "PS256"}, description: alg},
		{name: "alg EdDSA", header: m{"alg": "EdDSA"}, description: alg},
		{name: "unknown kid", header: m{"kid": "other"}, description: "The client_assertion JWT kid is invalid."},
		{name: "other key", raw: jwt(mustKey(), m{"alg": "ES256", "kid": kid}, m{"iss": clientID, "sub": clientID}), description: "The client_assertion signature is invalid."},
		{name: "no iss", claims: m{"iss": nil}, description: "The issuer claim for client_assertion is not a valid client_id."},
		{name: "other sub", claims: m{"sub": "0oaOther"}, description: "The subject claim for client_assertion is not a valid client_id."},
		{name: "aud is the org", claims: m{"aud": org}, description: aud},
		{name: "aud is the server", claims: m{"aud": org + server}, description: aud},
		{name: "aud is another server", claims: m{"aud": org + "/oauth2/aus1/v1/token"}, description: aud},
		{name: "aud http", claims: m{"aud": "http" + strings.TrimPrefix(tokenURL, "https")}, description: aud},
		{name: "two aud", claims: m{"aud": []string{tokenURL, "https://evil.example"}}, description: aud},
		{name: "no exp", claims: m{"exp": nil}, description: "The client_assertion must contain the 'exp' claim as seconds since epoch."},
		{name: "exp as text", claims: m{"exp": "soon"}, description: "The client_assertion must contain the 'exp' claim as seconds since epoch."},
		{name: "expired", claims: m{"exp": now.Add(-time.Second).Unix()}, description: "The client_assertion token is expired."},
		{name: "exp too far", claims: m{"exp": now.Add(61 * time.Minute).Unix()}, description: "The client_assertion token has an expiration too far into the future."},
		{name: "iat ahead", claims: m{"iat": now.Add(20 * time.Second).Unix()}, description: "The client_assertion token must be issued before the current time."},
	}
}

// Rule 3: assertions, claim by claim.
func TestAssertion(t *testing.T) {
	for _, server := range authServers {
		for _, test := range assertionCases(time.Now(), server) {
			t.Run(server[1:]+" "+test.name, func(t *testing.T) { test.run(t, server) })
		}
	}
	t.Run("used twice", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		form := c.form(nil)
		c.postToken(form, c.tokenProof(nil, nil)).want(t, 400, "use_dpop_nonce", "") // a rejected request uses the assertion, too
		c.postToken(form, c.tokenProof(nil, nil)).want(t, 401, "invalid_client", "The client_assertion token has already been used.")
		c.oneViolation()
	})
}

func (test assertionCase) run(t *testing.T, server string) {
	c := newClientAt(t, server, sandbox.Config{Clients: []sandbox.ClientApp{{Scopes: []string{"okta.users.read"}}}})
	header, claims := m{"alg": "ES256", "kid": kid}, c.assertionClaims()
	apply(header, test.header)
	apply(claims, test.claims)
	assertion := jwt(c.key, header, claims)
	if test.raw != "" {
		assertion = test.raw
	}
	r := c.postToken(c.form(url.Values{"client_assertion": {assertion}}))
	if test.description == "" {
		if r.status != 200 {
			t.Errorf("response = %d %s, want a token", r.status, r.body)
		}
		c.noViolations()
		return
	}
	r.want(t, 401, "invalid_client", test.description)
	c.oneViolation()
}

// Rule 4: clients and their keys.
func TestClientKeys(t *testing.T) {
	t.Run("unknown client", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.id = "0oaNobody"
		r := c.postToken(c.form(nil))
		r.want(t, 401, "invalid_client", "Invalid value for 'client_id' parameter.")
		if r.json["errorCode"] != "invalid_client" || r.json["errorCauses"] == nil || r.json["error"] != nil {
			t.Errorf("response = %s, want the JSON of the API", r.body)
		}
	})
	t.Run("no keys", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.org.Register(sandbox.ClientApp{ID: clientID})
		c.postToken(c.form(nil)).want(t, 401, "invalid_client", "does not have a JWKSet configured")
	})
	t.Run("several keys", func(t *testing.T) {
		rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, sandbox.Config{})
		c.org.Register(sandbox.ClientApp{ID: clientID, Scopes: []string{"okta.users.read"}, Keys: []sandbox.PublicKey{
			{KID: "rsa", Key: rsaKey.Public()}, {KID: kid, Key: c.key.Public()}}})
		c.postToken(c.form(nil)).want(t, 200, "", "")
		r := c.postToken(c.form(url.Values{"client_assertion": {jwt(rsaKey, m{"alg": "RS256", "kid": "rsa"}, c.assertionClaims())}}))
		if r.status != 200 {
			t.Errorf("response by the RSA key = %d %s, want a token", r.status, r.body)
		}
		r = c.postToken(c.form(url.Values{"client_assertion": {jwt(c.key, m{"alg": "ES256"}, c.assertionClaims())}}))
		r.want(t, 401, "invalid_client", "kid is invalid")
	})
	t.Run("key rotation", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.org.Register(sandbox.ClientApp{ID: clientID, Scopes: []string{"okta.users.read"}, Keys: []sandbox.PublicKey{{KID: kid, Key: c.key.Public()}}})
		next := mustKey()
		if err := c.org.AddKey(clientID, sandbox.PublicKey{KID: "next", Key: next.Public()}); err != nil {
			t.Fatal(err)
		}
		signedByNext := func() result {
			return c.postToken(c.form(url.Values{"client_assertion": {jwt(next, m{"alg": "ES256", "kid": "next"}, c.assertionClaims())}}))
		}
		if old, new := c.postToken(c.form(nil)), signedByNext(); old.status != 200 || new.status != 200 {
			t.Errorf("old and new key = %d and %d, want both to be accepted", old.status, new.status)
		}
		if err := c.org.RemoveKey(clientID, kid); err != nil {
			t.Fatal(err)
		}
		c.postToken(c.form(nil)).want(t, 401, "invalid_client", "kid is invalid")
		signedByNext().want(t, 200, "", "")
		if c.org.RemoveKey(clientID, kid) == nil || c.org.RemoveKey("0oa9", "next") == nil || c.org.AddKey(clientID, sandbox.PublicKey{KID: "next"}) == nil {
			t.Error("a key was removed twice, removed from an unknown app, or added twice; want errors")
		}
	})
}

// Rules 6, 7 and 11: the granted token.
func TestGrant(t *testing.T) {
	c := newClient(t, sandbox.Config{TokenLife: 90 * time.Second})
	c.postToken(c.form(nil), c.tokenProof(nil, nil)).want(t, 400, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof.")
	c.login()
	r := c.postToken(c.form(url.Values{"scope": {"okta.users.read okta.devices.read"}}), c.tokenProof(nil, nil))
	if r.status != 200 || r.json["scope"] != "okta.users.read" || r.json["token_type"] != "DPoP" || r.json["expires_in"] != 90.0 {
		t.Errorf("grant = %d %s, want the one scope that is granted, DPoP, 90 s", r.status, r.body)
	}
	if cache := r.header.Get("Cache-Control"); !strings.Contains(cache, "no-store") {
		t.Errorf("Cache-Control = %q, want no-store", cache)
	}
	_, claims := parts(t, r.json["access_token"].(string))
	if claims["cid"] != clientID || claims["cnf"].(m)["jkt"] != c.thumbprint() || len(claims["scp"].([]any)) != 1 {
		t.Errorf("claims = %v, want cid %s and jkt %s", claims, clientID, c.thumbprint())
	}
	c.noViolations()
}

// Rule 9: an app that does not require DPoP gets a bearer token, also with a proof.
func TestNoDPoP(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 3, Clients: []sandbox.ClientApp{{Scopes: []string{"okta.users.read"}}}})
	for _, proofs := range [][]string{nil, {c.tokenProof(nil, nil)}} {
		if r := c.postToken(c.form(nil), proofs...); r.status != 200 || r.json["token_type"] != "Bearer" {
			t.Errorf("grant = %d %s, want Bearer", r.status, r.body)
		}
	}
	c.get("/api/v1/users").want(t, 200, "", "")
	c.noViolations()
}

// Rule 10: a nonce can be used many times. It changes every day, and stays valid
// for three days from its creation.
func TestNonceLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.login()
		first := c.nonce
		request := func(wantStatus int, when string) {
			t.Helper()
			r := c.postToken(c.form(nil), c.tokenProof(nil, m{"nonce": first}))
			if r.status != wantStatus {
				t.Errorf("%s: %d %s, want %d", when, r.status, r.code(), wantStatus)
			}
			if r.status == 400 && r.header.Get("DPoP-Nonce") == first {
				t.Errorf("%s: the nonce is still the first", when)
			}
		}
		request(200, "again")
		time.Sleep(71 * time.Hour)
		request(200, "after 71 h")
		time.Sleep(2 * time.Hour)
		request(400, "after 73 h")
	})
}

func TestNonceEvery(t *testing.T) {
	c := newClient(t, sandbox.Config{NonceEvery: 3, NonceOnGrant: true})
	c.login()
	for range 30 { // the nonce of each response avoids the challenge
		r := c.postToken(c.form(nil), c.tokenProof(nil, nil))
		if r.status != 200 {
			t.Fatalf("response = %d %s, want a token", r.status, r.body)
		}
		c.nonce = r.header.Get("DPoP-Nonce")
	}
	stale := c.nonce
	c.org.RotateNonces()
	c.postToken(c.form(nil), c.tokenProof(nil, m{"nonce": stale})).want(t, 400, "use_dpop_nonce", "")
	c.noViolations()
}

// Custom servers require a license. Metadata requires no token.
func TestOtherEndpoints(t *testing.T) {
	c := newClient(t, sandbox.Config{})
	for path, status := range map[string]int{
		"/oauth2/default/v1/token": 401, "/nowhere": 404, "/oauth2/v1/keys": 200,
		"/.well-known/oauth-authorization-server": 200, "/.well-known/okta-organization": 200,
	} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", c.org.URL()+path, nil)
		if r := c.must(req); r.status != status {
			t.Errorf("GET %s = %d %s, want %d", path, r.status, r.body, status)
		}
	}
}

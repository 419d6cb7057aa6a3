package sandbox_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// want checks status, code and description of a refused request.
func (r result) want(t *testing.T, status int, code, description string) {
	t.Helper()
	if r.status != status || r.code() != code || !strings.Contains(r.description(), description) {
		t.Errorf("answer = %d %s %q, want %d %s %q", r.status, r.code(), r.description(), status, code, description)
	}
}

// Facts §9.1, 9.2, 9.5: the token request itself.
func TestTokenRequest(t *testing.T) {
	for _, test := range []struct {
		name              string
		method, kind      string
		query             string
		form              url.Values
		basic             bool
		status            int
		code, description string
	}{
		{name: "GET", method: "GET", status: 405, code: "E0000022"},
		{name: "JSON", kind: "application/json", status: 400, code: "invalid_request"},
		{name: "no grant type", form: url.Values{"grant_type": nil}, status: 400, code: "invalid_request", description: "must specify a 'grant_type'"},
		{name: "unknown grant type", form: url.Values{"grant_type": {"magic"}}, status: 400, code: "unsupported_grant_type"},
		{name: "grant type for people", form: url.Values{"grant_type": {"authorization_code"}}, status: 400, code: "unauthorized_client"},
		{name: "assertion in query", query: "?client_assertion=x", status: 400, code: "invalid_request"},
		{name: "secret in query", query: "?client_secret=x", status: 400, code: "invalid_request"},
		{name: "secret", form: url.Values{"client_assertion": nil, "client_assertion_type": nil, "client_secret": {"s"}}, status: 401, code: "invalid_client", description: "must use the private_key_jwt"},
		{name: "basic", form: url.Values{"client_assertion": nil}, basic: true, status: 401, code: "invalid_client", description: "must use the private_key_jwt"},
		{name: "two credentials", basic: true, status: 401, code: "invalid_request", description: "Cannot supply multiple client credentials."},
		{name: "no credentials", form: url.Values{"client_assertion": nil}, status: 401, code: "invalid_client", description: "No client credentials found."},
		{name: "assertion type", form: url.Values{"client_assertion_type": {"jwt"}}, status: 400, code: "invalid_request", description: "The client_assertion_type is invalid."},
		{name: "other client_id", form: url.Values{"client_id": {"0oaOther"}}, status: 401, code: "invalid_client", description: "issuer claim"},
		{name: "no scope", form: url.Values{"scope": nil}, status: 400, code: "invalid_scope", description: "No scopes were requested."},
		{name: "openid", form: url.Values{"scope": {"openid okta.users.read"}}, status: 400, code: "invalid_scope", description: "Cannot request 'openid' scopes"},
		{name: "foreign scope", form: url.Values{"scope": {"mail.read"}}, status: 400, code: "invalid_scope", description: "not configured"},
		{name: "none granted", form: url.Values{"scope": {"okta.apps.read"}}, status: 400, code: "consent_required", description: "You are not allowed any of the requested scopes."},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, sandbox.Config{Clients: []sandbox.ClientApp{{Scopes: []string{"okta.users.read"}}}})
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

// Facts §9.3 and 9.4: every way in which an assertion can be wrong.
func TestAssertion(t *testing.T) {
	now := time.Now()
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name        string
		header      m
		claims      m
		raw         string
		description string // "": a token is granted
	}{
		{name: "right"},
		{name: "with iat", claims: m{"iat": now.Add(-30 * time.Second).Unix()}},
		{name: "without jti", claims: m{"jti": nil}},
		{name: "aud as a list of one", claims: m{"aud": []string{"https://acme.okta.example/oauth2/v1/token"}}},
		{name: "garbage", raw: "x.y.z", description: "The parsing of the client_assertion failed."},
		{name: "alg none", header: m{"alg": "none"}, description: "The client_assertion JWT signature algorithm is invalid."},
		{name: "alg HS256", header: m{"alg": "HS256"}, description: "The client_assertion JWT signature algorithm is invalid."},
		{name: "alg PS256", header: m{"alg": "PS256"}, description: "The client_assertion JWT signature algorithm is invalid."},
		{name: "alg EdDSA", header: m{"alg": "EdDSA"}, description: "The client_assertion JWT signature algorithm is invalid."},
		{name: "unknown kid", header: m{"kid": "other"}, description: "The client_assertion JWT kid is invalid."},
		{name: "other key", raw: jwt(mustKey(), m{"alg": "ES256", "kid": kid}, m{"iss": clientID, "sub": clientID}), description: "The client_assertion signature is invalid."},
		{name: "no iss", claims: m{"iss": nil}, description: "The issuer claim for client_assertion is not a valid client_id."},
		{name: "other sub", claims: m{"sub": "0oaOther"}, description: "The subject claim for client_assertion is not a valid client_id."},
		{name: "aud is the issuer", claims: m{"aud": "https://acme.okta.example"}, description: "The audience claim for client_assertion must be the endpoint invoked for the request."},
		{name: "aud http", claims: m{"aud": "http://acme.okta.example/oauth2/v1/token"}, description: "The audience claim"},
		{name: "two aud", claims: m{"aud": []string{"https://acme.okta.example/oauth2/v1/token", "https://evil.example"}}, description: "The audience claim"},
		{name: "no exp", claims: m{"exp": nil}, description: "The client_assertion must contain the 'exp' claim as seconds since epoch."},
		{name: "exp as text", claims: m{"exp": "soon"}, description: "must contain the 'exp' claim"},
		{name: "expired", claims: m{"exp": now.Add(-time.Second).Unix()}, description: "The client_assertion token is expired."},
		{name: "exp too far", claims: m{"exp": now.Add(61 * time.Minute).Unix()}, description: "The client_assertion token has an expiration too far into the future."},
		{name: "iat ahead", claims: m{"iat": now.Add(20 * time.Second).Unix()}, description: "The client_assertion token must be issued before the current time."},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, sandbox.Config{Clients: []sandbox.ClientApp{{Scopes: []string{"okta.users.read"}}}})
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
					t.Errorf("answer = %d %s, want a token", r.status, r.body)
				}
				c.noViolations()
				return
			}
			r.want(t, 401, "invalid_client", test.description)
			if len(c.org.Stats().Violations) != 1 {
				t.Errorf("violations = %q, want one", c.org.Stats().Violations)
			}
		})
	}
	t.Run("used twice", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		form := c.form(nil)
		c.postToken(form, c.tokenProof(nil, nil)).want(t, 400, "use_dpop_nonce", "") // also an answer that grants nothing spends it
		c.postToken(form, c.tokenProof(nil, nil)).want(t, 401, "invalid_client", "The client_assertion token has already been used.")
	})
	t.Run("unknown client", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.id = "0oaNobody"
		r := c.postToken(c.form(nil))
		r.want(t, 401, "invalid_client", "Invalid value for 'client_id' parameter.")
		if r.json["errorCode"] != "invalid_client" || r.json["errorCauses"] == nil || r.json["error"] != nil {
			t.Errorf("answer = %s, want the shape of the API", r.body)
		}
	})
	t.Run("no keys", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.org.Register(sandbox.ClientApp{ID: clientID})
		c.postToken(c.form(nil)).want(t, 401, "invalid_client", "does not have a JWKSet configured")
	})
	t.Run("several keys", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.org.Register(sandbox.ClientApp{ID: clientID, Scopes: []string{"okta.users.read"}, Keys: []sandbox.PublicKey{
			{KID: "rsa", Key: weak.Public()}, {KID: kid, Key: c.key.Public()}}})
		if r := c.postToken(c.form(nil)); r.status != 200 {
			t.Errorf("answer with a kid = %d %s, want a token", r.status, r.body)
		}
		r := c.postToken(c.form(url.Values{"client_assertion": {jwt(weak, m{"alg": "RS256", "kid": "rsa"}, c.assertionClaims())}}))
		if r.status != 200 {
			t.Errorf("answer by the RSA key = %d %s, want a token", r.status, r.body)
		}
		r = c.postToken(c.form(url.Values{"client_assertion": {jwt(c.key, m{"alg": "ES256"}, c.assertionClaims())}}))
		r.want(t, 401, "invalid_client", "kid is invalid")
	})
}

// Facts §9.6, 9.7, 9.11: what is granted.
func TestGrant(t *testing.T) {
	c := newClient(t, sandbox.Config{TokenLife: 90 * time.Second})
	c.postToken(c.form(nil), c.tokenProof(nil, nil)).want(t, 400, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof.")
	c.login()
	r := c.postToken(c.form(url.Values{"scope": {"okta.users.read okta.apps.read"}}), c.tokenProof(nil, nil))
	if r.status != 200 || r.json["scope"] != "okta.users.read" || r.json["token_type"] != "DPoP" || r.json["expires_in"] != 90.0 {
		t.Errorf("grant = %d %s, want the one scope that is granted, DPoP, 90 s", r.status, r.body)
	}
	if cache := r.header.Get("Cache-Control"); !strings.Contains(cache, "no-store") {
		t.Errorf("Cache-Control = %q, want no-store", cache)
	}
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(r.json["access_token"].(string), ".")[1])
	var claims struct {
		Cid, Iss string
		Scp      []string
		Cnf      struct{ Jkt string }
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	key := jwk(c.dpop) // RFC 7638, section 3.2
	thumbprint := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + key["x"].(string) + `","y":"` + key["y"].(string) + `"}`))
	if claims.Cid != clientID || claims.Cnf.Jkt != encode(thumbprint[:]) || len(claims.Scp) != 1 {
		t.Errorf("claims = %s, want cid %s and jkt %s", payload, clientID, encode(thumbprint[:]))
	}
	c.noViolations()
}

// Facts §9.8: DPoP at the token endpoint.
func TestProofForToken(t *testing.T) {
	now := time.Now()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := jwk(mustKey())
	private["d"] = "AAAA"
	tokenURL := "https://acme.okta.example/oauth2/v1/token"
	for _, test := range []struct {
		name           string
		header, claims m
		raw            []string // proofs instead
		description    string
	}{
		{name: "missing", raw: []string{}, description: "The DPoP proof JWT header is missing."},
		{name: "two", raw: []string{"a", "b"}, description: "Multiple DPoP proof JWT headers are not allowed."},
		{name: "garbage", raw: []string{"x"}, description: "DPoP proof JWT cannot be parsed."},
		{name: "typ", header: m{"typ": "JWT"}, description: "'typ' must be 'dpop+jwt' in the DPoP proof JWT."},
		{name: "no typ", header: m{"typ": nil}, description: "'typ' must be 'dpop+jwt' in the DPoP proof JWT."},
		{name: "alg none", header: m{"alg": "none"}, description: "The DPoP proof JWT signature algorithm is invalid."},
		{name: "alg PS256", header: m{"alg": "PS256"}, description: "The DPoP proof JWT signature algorithm is invalid."},
		{name: "alg HS256", header: m{"alg": "HS256"}, description: "The DPoP proof JWT signature algorithm is invalid."},
		{name: "private key", header: m{"jwk": private}, description: "cannot be parsed"},
		{name: "no key", header: m{"jwk": nil}, description: "cannot be parsed"},
		{name: "other key's signature", header: m{"jwk": jwk(mustKey())}, description: "The DPoP proof JWT signature is invalid."},
		{name: "key of another curve", header: m{"jwk": m{"kty": "EC", "crv": "P-384", "x": encode(p384.X.Bytes()), "y": encode(p384.Y.Bytes())}}, description: "cannot be parsed"},
		{name: "htm", claims: m{"htm": "GET"}, description: "'htm' claim in the DPoP proof JWT is invalid."},
		{name: "htm in lower case", claims: m{"htm": "post"}, description: "'htm' claim in the DPoP proof JWT is invalid."},
		{name: "no htm", claims: m{"htm": nil}, description: "'htm' claim in the DPoP proof JWT is invalid."},
		{name: "htu", claims: m{"htu": "https://acme.okta.example/"}, description: "'htu' claim in the DPoP proof JWT is invalid."},
		{name: "htu with a query", claims: m{"htu": tokenURL + "?x=1"}, description: "'htu' claim in the DPoP proof JWT is invalid."},
		{name: "no htu", claims: m{"htu": nil}, description: "'htu' claim in the DPoP proof JWT is invalid."},
		{name: "no iat", claims: m{"iat": nil}, description: "'iat' claim in the DPoP proof JWT is invalid."},
		{name: "iat as text", claims: m{"iat": "now"}, description: "'iat' claim in the DPoP proof JWT is invalid."},
		{name: "no jti", claims: m{"jti": nil}, description: "'jti' claim in the DPoP proof JWT is invalid."},
		{name: "old", claims: m{"iat": now.Add(-301 * time.Second).Unix()}, description: "The DPoP proof JWT is issued more than five minutes in the past."},
		{name: "early", claims: m{"iat": now.Add(time.Minute).Unix()}, description: "The DPoP proof JWT is issued in the future."},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, sandbox.Config{})
			c.login()
			proofs := test.raw
			if proofs == nil {
				proofs = []string{c.tokenProof(test.header, test.claims)}
			}
			r := c.postToken(c.form(nil), proofs...)
			r.want(t, 400, "invalid_dpop_proof", test.description)
			if len(c.org.Stats().Violations) != 1 {
				t.Errorf("violations = %q, want one", c.org.Stats().Violations)
			}
		})
	}
	t.Run("used twice", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.login()
		proof := c.tokenProof(nil, nil)
		if r := c.postToken(c.form(nil), proof); r.status != 200 {
			t.Fatalf("first use = %d %s, want a token", r.status, r.body)
		}
		c.postToken(c.form(nil), proof).want(t, 400, "invalid_dpop_proof", "The DPoP proof JWT has already been used.")
	})
	t.Run("wrong nonce", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.login()
		r := c.postToken(c.form(nil), c.tokenProof(nil, m{"nonce": "made-up"}))
		r.want(t, 400, "use_dpop_nonce", "")
		if r.header.Get("DPoP-Nonce") != c.nonce {
			t.Errorf("DPoP-Nonce = %q, want the present one, %q", r.header.Get("DPoP-Nonce"), c.nonce)
		}
		c.noViolations()
	})
	t.Run("tolerated members of jwk", func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.login()
		key := jwk(c.dpop)
		key["kid"], key["use"], key["alg"] = "k", "sig", "ES256"
		if r := c.postToken(c.form(nil), c.tokenProof(m{"jwk": key}, nil)); r.status != 200 {
			t.Errorf("answer = %d %s, want a token", r.status, r.body)
		}
	})
}

// Facts §9.9: an app that does not require DPoP gets a bearer's token, proof or not.
func TestNoDPoP(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 3, Clients: []sandbox.ClientApp{{Scopes: []string{"okta.users.read"}}}})
	for _, proofs := range [][]string{nil, {c.tokenProof(nil, nil)}} {
		if r := c.postToken(c.form(nil), proofs...); r.status != 200 || r.json["token_type"] != "Bearer" {
			t.Errorf("grant = %d %s, want Bearer", r.status, r.body)
		}
	}
	if r := c.get("/api/v1/users"); r.status != 200 {
		t.Errorf("list by bearer = %d %s, want 200", r.status, r.body)
	}
	c.noViolations()
}

// Facts §9.10: a nonce is good for many uses, new every day, and the old one is
// taken for three days from its creation.
func TestNonceLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{})
		c.login()
		first := c.nonce
		ask := func(wantStatus int, when string) {
			t.Helper()
			r := c.postToken(c.form(nil), c.tokenProof(nil, m{"nonce": first}))
			if r.status != wantStatus {
				t.Errorf("%s: %d %s, want %d", when, r.status, r.code(), wantStatus)
			}
			if r.status == 400 && r.header.Get("DPoP-Nonce") == first {
				t.Errorf("%s: the nonce is still the first", when)
			}
		}
		ask(200, "again")
		time.Sleep(71 * time.Hour)
		ask(200, "after 71 h")
		time.Sleep(2 * time.Hour)
		ask(400, "after 73 h")
	})
}

func TestNonceEvery(t *testing.T) {
	c := newClient(t, sandbox.Config{NonceEvery: 3, NonceOnGrant: true})
	c.login()
	for range 30 { // the nonce on each answer spares the challenge
		r := c.postToken(c.form(nil), c.tokenProof(nil, nil))
		if r.status != 200 {
			t.Fatalf("answer = %d %s, want a token", r.status, r.body)
		}
		c.nonce = r.header.Get("DPoP-Nonce")
	}
	stale := c.nonce
	c.org.RotateNonces()
	c.postToken(c.form(nil), c.tokenProof(nil, m{"nonce": stale})).want(t, 400, "use_dpop_nonce", "")
	c.noViolations()
}

// Facts §1: custom servers need a licence, metadata need nothing.
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

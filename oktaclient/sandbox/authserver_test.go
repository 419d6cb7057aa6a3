package sandbox_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// read requests a public document.
func (c *client) read(path string) result {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), "GET", c.org.URL()+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.must(req)
}

// parts returns the header and the claims of a token.
func parts(t *testing.T, token string) (header, claims m) {
	t.Helper()
	for i, part := range strings.Split(token, ".")[:2] {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, []*m{&header, &claims}[i]); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// signedBy returns the kid of the key at path that signed the token, or "".
func (c *client) signedBy(path, token string) string {
	c.t.Helper()
	header, _ := parts(c.t.(*testing.T), token)
	signed, signature := token[:strings.LastIndex(token, ".")], token[strings.LastIndex(token, ".")+1:]
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(raw) != 64 {
		c.t.Fatalf("signature = %q, %v", signature, err)
	}
	digest := sha256.Sum256([]byte(signed))
	for _, entry := range c.read(path).json["keys"].([]any) {
		jwk := entry.(m)
		x, _ := base64.RawURLEncoding.DecodeString(jwk["x"].(string))
		y, _ := base64.RawURLEncoding.DecodeString(jwk["y"].(string))
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil {
			c.t.Fatal(err)
		}
		if jwk["kid"] == header["kid"] && ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])) {
			return jwk["kid"].(string)
		}
	}
	return ""
}

// Rules 44 and 46: the same handshake as at the org's own server, but a token for
// another audience.
func TestCustomServer(t *testing.T) {
	c := newClientAt(t, "/oauth2/default", sandbox.Config{TokenLife: 90 * time.Second})
	c.postToken(c.form(nil)).want(t, 400, "invalid_dpop_proof", "The DPoP proof JWT header is missing.")
	c.org.ResetStats()
	c.postToken(c.form(nil), c.tokenProof(nil, nil)).want(t, 400, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof.")
	c.login()
	r := c.postToken(c.form(nil), c.tokenProof(nil, nil))
	if r.status != 200 || r.json["token_type"] != "DPoP" || r.json["scope"] != "orders.read" || r.json["expires_in"] != 90.0 {
		t.Errorf("grant = %d %s, want DPoP, orders.read, 90 s", r.status, r.body)
	}
	header, claims := parts(t, c.token)
	if header["typ"] != nil || header["alg"] != "ES256" {
		t.Errorf("header = %v, want an alg and no typ", header)
	}
	wanted := m{"iss": c.org.URL() + "/oauth2/default", "aud": "api://orders", "cid": clientID, "sub": clientID, "ver": 1.0}
	for name, want := range wanted {
		if claims[name] != want {
			t.Errorf("%s = %v, want %v", name, claims[name], want)
		}
	}
	if scp := claims["scp"].([]any); len(scp) != 1 || scp[0] != "orders.read" || claims["cnf"].(m)["jkt"] != c.thumbprint() ||
		claims["exp"].(float64)-claims["iat"].(float64) != 90 {
		t.Errorf("claims = %v, want scp orders.read, jkt %s, 90 s", claims, c.thumbprint())
	}
	if c.signedBy("/oauth2/default/v1/keys", c.token) == "" || c.signedBy("/oauth2/v1/keys", c.token) != "" {
		t.Error("the token is not signed by a key of only this server")
	}
	c.noViolations()

	nonce := c.nonce
	c.server, c.scope, c.nonce = "/oauth2", "okta.users.read", ""
	c.postToken(c.form(nil), c.tokenProof(nil, m{"nonce": nonce})).want(t, 400, "use_dpop_nonce", "") // each server has its own nonces
	c.noViolations()
	c.get("/api/v1/users").wantChallenge(t, 401, "DPoP", "invalid_token", "The access token provided has an invalid issuer.")
	c.oneViolation()
}

// Rule 45: a custom server grants no scopes of Okta's, and a scope that a policy
// denies is an error.
func TestCustomScopes(t *testing.T) {
	server := sandbox.AuthServer{ID: "aus1", Audience: "api://orders", Scopes: []string{"orders.read", "orders.write", "orders.delete"}}
	for _, test := range []struct {
		name, scope       string
		policies          map[string][]string
		status            int
		code, description string // with status 200: the scopes granted
	}{
		{"no policies", "orders.write orders.read orders.read", nil, 200, "", "orders.read orders.write"},
		{"allowed", "orders.read", map[string][]string{clientID: {"orders.read"}}, 200, "", "orders.read"},
		{"no policy for the client", "orders.read", map[string][]string{"0oaOther": {"orders.read"}}, 401, "access_denied", "Policy evaluation failed for this request, please check the policy configurations."},
		{"all denied", "orders.write", map[string][]string{clientID: {"orders.read"}}, 400, "access_denied", "Policy evaluation succeeded, but all the requested scopes were rejected."},
		{"some denied", "orders.read orders.write orders.delete", map[string][]string{clientID: {"orders.read"}}, 400, "access_denied", "Some of the requested scopes were denied by the policy. Denied scopes: [orders.write, orders.delete]."},
		{"none requested", "", nil, 400, "invalid_scope", "does not have any configured default scopes, 'scope' must be provided."},
		{"Okta's", "okta.users.read", nil, 400, "invalid_scope", "One or more scopes are not configured for the authorization server resource."},
		{"one unknown", "orders.read orders.print", nil, 400, "invalid_scope", "not configured"},
		{"openid", "openid", nil, 400, "invalid_scope", "Cannot request 'openid' scopes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server.Policies = test.policies
			c := newClient(t, sandbox.Config{AuthServers: []sandbox.AuthServer{server}, Clients: []sandbox.ClientApp{{}}})
			c.server, c.scope = "/oauth2/aus1", test.scope
			r := c.postToken(c.form(nil))
			if test.status != 200 {
				r.want(t, test.status, test.code, test.description)
				return
			}
			if r.status != 200 || r.json["scope"] != test.description {
				t.Errorf("grant = %d %s, want %s", r.status, r.body, test.description)
			}
		})
	}
	c := newClientAt(t, "/oauth2/default", sandbox.Config{})
	c.postToken(c.form(url.Values{"client_assertion": nil, "client_assertion_type": nil, "client_id": {clientID}, "client_secret": {"s"}})).
		want(t, 401, "invalid_client", "The client secret supplied for a confidential client is invalid.")
}

func TestMetadata(t *testing.T) {
	c := newClientAt(t, "/oauth2/default", sandbox.Config{})
	for _, server := range []struct{ path, issuer string }{{"/oauth2", ""}, {"/oauth2/default", "/oauth2/default"}} {
		for _, name := range []string{"oauth-authorization-server", "openid-configuration"} {
			r := c.read(server.issuer + "/.well-known/" + name)
			wanted := m{
				"issuer":         c.org.URL() + server.issuer,
				"token_endpoint": c.org.URL() + server.path + "/v1/token",
				"jwks_uri":       c.org.URL() + server.path + "/v1/keys",
			}
			for member, want := range wanted {
				if r.status != 200 || r.json[member] != want {
					t.Errorf("%s: %d, %s = %v, want %v", name, r.status, member, r.json[member], want)
				}
			}
			if custom := server.issuer != ""; (r.json["scopes_supported"] != nil) != custom || r.json["dpop_signing_alg_values_supported"] == nil {
				t.Errorf("%s of %s = %s", name, server.path, r.body)
			}
		}
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server/oauth2/default", "/oauth2/aus1/v1/token", "/oauth2/default/v1/other"} {
		c.read(path).want(t, 404, "E0000008", "")
	}
	c.noViolations()
}

// Rule 46: after two rotations, a key is no longer published.
func TestRotateKeys(t *testing.T) {
	for _, server := range authServers {
		c := newClientAt(t, server, sandbox.Config{})
		c.login()
		first := c.token
		before := c.signedBy(server+"/v1/keys", first)
		c.org.RotateKeys()
		c.login()
		after := c.signedBy(server+"/v1/keys", c.token)
		if before == "" || after == "" || after == before || c.signedBy(server+"/v1/keys", first) != before {
			t.Errorf("%s: key = %q and then %q, want two keys, both published", server, before, after)
		}
		c.org.RotateKeys()
		if by := c.signedBy(server+"/v1/keys", first); by != "" {
			t.Errorf("%s: %q is still published after two rotations", server, by)
		}
	}
}

func TestInvalidAuthServers(t *testing.T) {
	valid := sandbox.AuthServer{ID: "default", Audience: "api://orders"}
	for _, servers := range [][]sandbox.AuthServer{
		{{Audience: "api://orders"}},
		{{ID: "v1", Audience: "api://orders"}},
		{{ID: "a/b", Audience: "api://orders"}},
		{{ID: "default"}},
		{{ID: "default", Audience: "api://orders", Scopes: []string{"okta.users.read"}}},
		{valid, valid},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewOrg accepted %+v", servers)
				}
			}()
			sandbox.NewOrg(sandbox.Config{AuthServers: servers})
		}()
	}
}

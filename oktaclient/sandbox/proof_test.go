package sandbox_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// wrongProof is a changed proof, and Okta's text for it.
type wrongProof struct {
	name           string
	header, claims m
	description    string
}

// wrongProofs are wrong anywhere.
func wrongProofs(t *testing.T) []wrongProof {
	t.Helper()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, _ := p384.PublicKey.Bytes()
	curve := m{"kty": "EC", "crv": "P-384", "x": encode(point[1:49]), "y": encode(point[49:])}
	private := jwk(mustKey())
	private["d"] = ""
	const (
		typ   = "'typ' must be 'dpop+jwt' in the DPoP proof JWT."
		alg   = "The DPoP proof JWT signature algorithm is invalid."
		parse = "The DPoP proof JWT cannot be parsed."
		htm   = "'htm' claim in the DPoP proof JWT is invalid."
		htu   = "'htu' claim in the DPoP proof JWT is invalid."
		iat   = "'iat' claim in the DPoP proof JWT is invalid."
		jti   = "'jti' claim in the DPoP proof JWT is invalid."
	)
	now := time.Now()
	return []wrongProof{
		{"typ", m{"typ": "JWT"}, nil, typ},
		{"no typ", m{"typ": nil}, nil, typ},
		{"alg none", m{"alg": "none"}, nil, alg},
		{"alg PS256", m{"alg": "PS256"}, nil, alg},
		{"alg HS256", m{"alg": "HS256"}, nil, alg},
		{"alg EdDSA", m{"alg": "EdDSA"}, nil, alg},
		{"private key", m{"jwk": private}, nil, parse},
		{"no key", m{"jwk": nil}, nil, parse},
		{"key of another curve", m{"jwk": curve}, nil, parse},
		{"signature of another key", m{"jwk": jwk(mustKey())}, nil, "The DPoP proof JWT signature is invalid."},
		{"htm", nil, m{"htm": "PUT"}, htm},
		{"htm in lower case", nil, m{"htm": "get"}, htm},
		{"no htm", nil, m{"htm": nil}, htm},
		{"htu of another path", nil, m{"htu": "https://acme.okta.example/api/v1/groups"}, htu},
		{"htu of another host", nil, m{"htu": "https://other.okta.example/api/v1/users"}, htu},
		{"htu http", nil, m{"htu": "http://acme.okta.example/api/v1/users"}, htu},
		{"htu with a query", nil, m{"htu": "https://acme.okta.example/api/v1/users?limit=200"}, htu},
		{"no htu", nil, m{"htu": nil}, htu},
		{"no iat", nil, m{"iat": nil}, iat},
		{"iat as text", nil, m{"iat": "now"}, iat},
		{"no jti", nil, m{"jti": nil}, jti},
		{"old", nil, m{"iat": now.Add(-310 * time.Second).Unix()}, "The DPoP proof JWT is issued more than five minutes in the past."},
		{"early", nil, m{"iat": now.Add(time.Minute).Unix()}, "The DPoP proof JWT is issued in the future."},
	}
}

// Rule 8: wrong proofs of token requests.
func TestProofForToken(t *testing.T) {
	for _, server := range authServers {
		t.Run(server[1:], func(t *testing.T) { testProofForToken(t, server) })
	}
}

func testProofForToken(t *testing.T, server string) {
	rejected := func(t *testing.T, description string, proofs func(*client) []string) {
		t.Helper()
		c := newClientAt(t, server, sandbox.Config{})
		c.login()
		c.postToken(c.form(nil), proofs(c)...).want(t, 400, "invalid_dpop_proof", description)
		c.oneViolation()
	}
	for _, test := range wrongProofs(t) {
		t.Run(test.name, func(t *testing.T) {
			rejected(t, test.description, func(c *client) []string { return []string{c.tokenProof(test.header, test.claims)} })
		})
	}
	rejected(t, "'htu' claim in the DPoP proof JWT is invalid.", func(c *client) []string { // at another server of this org
		return []string{c.tokenProof(nil, m{"htu": c.org.URL() + "/oauth2/aus1/v1/token"})}
	})
	rejected(t, "The DPoP proof JWT header is missing.", func(*client) []string { return nil })
	rejected(t, "Multiple DPoP proof JWT headers are not allowed.", func(*client) []string { return []string{"a", "b"} })
	rejected(t, "The DPoP proof JWT cannot be parsed.", func(*client) []string { return []string{"x"} })
	rejected(t, "The DPoP proof JWT has already been used.", func(c *client) []string {
		proof := c.tokenProof(nil, nil)
		c.postToken(c.form(nil), proof).want(t, 200, "", "")
		return []string{proof}
	})

	c := newClientAt(t, server, sandbox.Config{})
	c.login()
	r := c.postToken(c.form(nil), c.tokenProof(nil, m{"nonce": "unknown"}))
	r.want(t, 400, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof.")
	if r.header.Get("DPoP-Nonce") != c.nonce {
		t.Errorf("DPoP-Nonce = %q, want the current one, %q", r.header.Get("DPoP-Nonce"), c.nonce)
	}
	key := jwk(c.dpop) // these members of a key are allowed
	key["kid"], key["use"], key["alg"] = "k", "sig", "ES256"
	c.postToken(c.form(nil), c.tokenProof(m{"jwk": key}, nil)).want(t, 200, "", "")
	c.noViolations()
}

// Rule 12: wrong proofs of API requests.
func TestProofAtAPI(t *testing.T) {
	const ath = "'ath' claim in the DPoP proof does not match the presented access_token."
	other := sha256.Sum256([]byte("other token"))
	for _, test := range append(wrongProofs(t),
		wrongProof{"no ath", nil, m{"ath": nil}, ath},
		wrongProof{"other ath", nil, m{"ath": encode(other[:])}, ath},
	) {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, sandbox.Config{Users: 5})
			req := c.request("/api/v1/users", nil)
			hash := sha256.Sum256([]byte(c.token))
			claims := m{"ath": encode(hash[:])}
			maps.Copy(claims, test.claims)
			req.Header.Set("DPoP", c.proof("GET", c.org.URL()+"/api/v1/users", test.header, claims))
			c.must(req).wantChallenge(t, 400, "DPoP", "invalid_dpop_proof", test.description)
			c.oneViolation()
		})
	}
	t.Run("used twice", func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 5})
		req := c.request("/api/v1/users", nil)
		c.must(req)
		c.must(req).wantChallenge(t, 400, "DPoP", "invalid_dpop_proof", "The DPoP proof JWT has already been used.")
	})
	t.Run("other key", func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 5})
		c.login()
		c.dpop = mustKey()
		c.get("/api/v1/users").wantChallenge(t, 400, "DPoP", "invalid_dpop_proof", "The access_token is not bound to the provided DPoP proof.")
	})
	t.Run("two proofs", func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 5})
		req := c.request("/api/v1/users", nil)
		req.Header.Add("DPoP", req.Header.Get("DPoP"))
		c.must(req).wantChallenge(t, 400, "DPoP", "invalid_dpop_proof", "Multiple DPoP proof JWT headers are not allowed.")
	})
}

// Rules 12 and 13: valid proofs of API requests, also with a decoded path.
func TestValidProofAtAPI(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 5})
	for _, claims := range []m{nil, {"nonce": "ignored"}, {"iat": time.Now().Add(-290 * time.Second).Unix()}} {
		for _, target := range []string{"/api/v1/users", list("limit", "2")} {
			c.must(c.request(target, claims)).want(t, 200, "", "")
		}
	}
	escaped := "/api/v1/users/a%40b.example"
	c.must(c.request(escaped, m{"htu": c.org.URL() + "/api/v1/users/a@b.example"})).want(t, 404, "E0000007", "a@b.example (User)")
	c.noViolations()
	c.get(escaped).wantChallenge(t, 400, "DPoP", "invalid_dpop_proof", "'htu' claim")
}

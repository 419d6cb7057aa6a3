package sandbox_test

import (
	"cmp"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// wantChallenge checks an OAuth error of the API: it is in WWW-Authenticate, and
// the body is empty.
func (r result) wantChallenge(t *testing.T, status int, scheme, code, description string) {
	t.Helper()
	r.want(t, status, code, description)
	challenge := r.header.Get("WWW-Authenticate")
	if !strings.HasPrefix(challenge, scheme+" ") || r.body != "" {
		t.Errorf("challenge = %q, body = %q, want %s and no body", challenge, r.body, scheme)
	}
	for _, part := range []string{`authorization_uri="http://acme.okta.example/oauth2/v1/authorize"`, `realm="http://acme.okta.example"`, `scope="okta.`, `resource="/api/v1/`} {
		if !strings.Contains(challenge, part) {
			t.Errorf("challenge = %q, want %s", challenge, part)
		}
	}
	if algs := `algs="RS256 RS384 RS512 ES256 ES384 ES512"`; (scheme == "DPoP") != strings.Contains(challenge, algs) {
		t.Errorf("challenge = %q, want %s only for DPoP", challenge, algs)
	}
	if r.header.Get("X-Okta-Request-Id") == "" || r.header.Get("X-Rate-Limit-Limit") == "" {
		t.Errorf("header = %v, want a request id and rate limits", r.header)
	}
}

// Rule 13: the API can require nonces.
func TestNonceAtAPI(t *testing.T) {
	for _, cfg := range []sandbox.Config{
		{Users: 5, APINonceEvery: 3},
		{Users: 5, APINonceEvery: 3, APINonceCode: 400},
		{Users: 5, APINonceEvery: 3, APINonceBody: true},
	} {
		c := newClient(t, cfg)
		r := c.get("/api/v1/users")
		wanted := cmp.Or(cfg.APINonceCode, 401)
		r.want(t, wanted, "use_dpop_nonce", "")
		nonce := r.header.Get("DPoP-Nonce")
		if (r.body != "") != cfg.APINonceBody || nonce == "" {
			t.Errorf("response = %q with nonce %q", r.body, nonce)
		}
		accepted := 0
		for range 20 {
			r := c.must(c.request("/api/v1/users", m{"nonce": nonce}))
			if r.status == 200 {
				accepted++
			} else {
				nonce = r.header.Get("DPoP-Nonce")
			}
		}
		if accepted < 12 || accepted == 20 {
			t.Errorf("accepted = %d of 20, want most, but not all", accepted)
		}
		r = c.must(c.request("/api/v1/users", m{"nonce": c.nonce}))
		r.want(t, wanted, "use_dpop_nonce", "") // the token endpoint has other nonces
		c.noViolations()
	}
}

// Rules 14 to 16: scheme and token.
func TestTokenAtAPI(t *testing.T) {
	foreign := jwt(mustKey(), m{"alg": "ES256"}, m{"iss": "https://acme.okta.example/oauth2/default"})
	for _, test := range []struct {
		name              string
		dpop              bool
		authorization     func(token string) []string
		noProof           bool
		target            string
		status            int
		scheme            string
		code, description string
	}{
		{name: "bound token as Bearer", dpop: true, noProof: true, authorization: func(s string) []string { return []string{"Bearer " + s} },
			status: 400, scheme: "Bearer", code: "invalid_request", description: "The resource request requires a DPoP proof."},
		{name: "bound token as Bearer with a proof", dpop: true, authorization: func(s string) []string { return []string{"Bearer " + s} },
			status: 400, scheme: "Bearer", code: "invalid_request", description: "must use the DPoP authentication scheme"},
		{name: "no proof", dpop: true, noProof: true, authorization: func(s string) []string { return []string{"DPoP " + s} },
			status: 400, scheme: "DPoP", code: "invalid_dpop_proof", description: "The DPoP proof JWT header is missing."},
		{name: "plain token as DPoP", authorization: func(s string) []string { return []string{"DPoP " + s} },
			status: 401, scheme: "DPoP", code: "invalid_token", description: "The presented access_token is not DPoP bound."},
		{name: "garbled", authorization: func(s string) []string { return []string{"Bearer x" + s} },
			status: 401, scheme: "Bearer", code: "invalid_token", description: "The access token is invalid."},
		{name: "of another issuer", authorization: func(string) []string { return []string{"Bearer " + foreign} },
			status: 401, scheme: "Bearer", code: "invalid_token", description: "The access token provided has an invalid issuer."},
		{name: "two", authorization: func(s string) []string { return []string{"Bearer " + s, "Bearer " + s} },
			status: 400, scheme: "Bearer", code: "invalid_request"},
		{name: "also in the query", target: "?access_token=x", authorization: func(s string) []string { return []string{"Bearer " + s} },
			status: 400, scheme: "Bearer", code: "invalid_request"},
		{name: "none", authorization: func(string) []string { return nil }, status: 403, code: "E0000005", description: "Invalid session"},
		{name: "another scheme", authorization: func(string) []string { return []string{"Basic eDp5"} }, status: 403, code: "E0000005"},
		{name: "API token", authorization: func(string) []string { return []string{"SSWS 00abc"} }, status: 401, code: "E0000011", description: "Invalid token provided"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, sandbox.Config{Users: 5, Clients: []sandbox.ClientApp{{RequireDPoP: test.dpop, Scopes: []string{"okta.users.read"}}}})
			req := c.request("/api/v1/users"+test.target, nil)
			req.Header["Authorization"] = test.authorization(c.token)
			if test.noProof {
				req.Header.Del("DPoP")
			}
			r := c.must(req)
			if test.scheme == "" {
				r.want(t, test.status, test.code, test.description)
			} else {
				r.wantChallenge(t, test.status, test.scheme, test.code, test.description)
			}
			c.oneViolation()
		})
	}
}

// Rule 15: tokens that are no longer valid.
func TestTokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 5, TokenLife: 3 * time.Second})
		c.get("/api/v1/users").want(t, 200, "", "")
		time.Sleep(3 * time.Second)
		c.get("/api/v1/users").wantChallenge(t, 401, "DPoP", "invalid_token", "The token has expired.")
		c.token = ""
		c.get("/api/v1/users").want(t, 200, "", "")
		c.org.RevokeTokens()
		c.get("/api/v1/users").wantChallenge(t, 401, "DPoP", "invalid_token", "The access token has been revoked.")
		c.noViolations()
	})
}

// Rules 17 to 19: scopes and roles.
func TestScopesAndRoles(t *testing.T) {
	with := func(role string, scopes ...string) *client {
		return newClient(t, sandbox.Config{Users: 600, Clients: []sandbox.ClientApp{{RequireDPoP: true, Role: role, Scopes: scopes}}})
	}
	c := with(sandbox.RoleReadOnly, "okta.logs.read")
	c.get("/api/v1/users").wantChallenge(t, 403, "Bearer", "insufficient_scope", "The access token provided does not contain the required scopes.")
	c.get("/api/v1/logs").want(t, 200, "", "")
	c.noViolations()

	if r := with(sandbox.RoleNone, "okta.users.read").get("/api/v1/users"); r.status != 200 || r.body != "[]" {
		t.Errorf("list without a role = %d %s, want 200 []", r.status, r.body)
	}
	with(sandbox.RoleForbidden, "okta.users.read").get("/api/v1/users").want(t, 403, "E0000006", "You do not have permission")

	c = with(sandbox.RoleGroup("Finance"), "okta.users.read")
	ids, rows, err := c.all("/api/v1/users")
	if err != nil || len(ids) == 0 || len(ids) > 200 {
		t.Fatalf("list = %d users, %v; want one department's", len(ids), err)
	}
	for _, row := range rows {
		if !strings.Contains(string(row), `"department":"Finance"`) {
			t.Errorf("user = %s, want only users in Finance", row)
		}
	}
	for id := range c.org.UsersJSON() {
		if user, _ := c.org.User(id); !strings.Contains(string(user), `"department":"Finance"`) {
			c.get("/api/v1/users/"+id).want(t, 403, "E0000006", "")
			break
		}
	}
}

// Rules 20 and 36: headers of all responses, and the org's clock.
func TestResponseHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 5, ClockOffset: 90 * time.Second})
		seen := map[string]bool{}
		for _, target := range []string{"/api/v1/users", "/api/v1/users/00uNobody", "/api/v1/nothing", "/api/v1/logs"} {
			r := c.get(target)
			for _, name := range []string{"X-Okta-Request-Id", "X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"} {
				if len(r.header.Values(name)) != 1 {
					t.Errorf("%s: %s = %q, want one", target, name, r.header.Values(name))
				}
			}
			id := r.header.Get("X-Okta-Request-Id")
			if seen[id] {
				t.Errorf("%s: duplicate request id %s", target, id)
			}
			seen[id] = true
			date, err := http.ParseTime(r.header.Get("Date"))
			if err != nil || time.Until(date).Round(time.Second) != 90*time.Second {
				t.Errorf("%s: Date = %s, want 90 s ahead of %s", target, r.header.Get("Date"), time.Now().UTC())
			}
		}
		// For the org, the proof is 90 s old, which it accepts. A proof that is older
		// than five minutes is rejected. It isn't a violation, because the org's clock
		// is wrong.
		c.org.SetClockOffset(10 * time.Minute)
		c.get("/api/v1/users").wantChallenge(t, 400, "DPoP", "invalid_dpop_proof", "more than five minutes in the past")
		c.noViolations()
	})
}

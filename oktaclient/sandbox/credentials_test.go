package sandbox_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// auditor returns a client with the scopes of these paths, and a custom role that can
// read API tokens.
func auditor(t *testing.T, cfg sandbox.Config) *client {
	cfg.Clients = []sandbox.ClientApp{{RequireDPoP: true, Scopes: []string{"okta.users.read", "okta.apiTokens.read"},
		Permissions: []string{"okta.users.apitokens.read"}}}
	c := newClient(t, cfg)
	c.scope = "okta.users.read okta.apiTokens.read"
	return c
}

// apiToken is a decoded API token.
type apiToken struct {
	ID, Name, UserID, ClientName    string
	TokenWindow                     *string
	Network                         struct{ Connection string }
	ExpiresAt, Created, LastUpdated string
	Link                            map[string]any `json:"_link"`
	Links                           map[string]any `json:"_links"`
}

func (c *client) apiTokens() map[string]apiToken {
	c.t.Helper()
	var list []apiToken
	if r := c.get("/api/v1/api-tokens?limit=1"); json.Unmarshal([]byte(r.body), &list) != nil || r.header.Get("Link") != "" {
		c.t.Fatalf("API tokens = %d %s, Link %q", r.status, r.body, r.header.Get("Link"))
	}
	all := map[string]apiToken{}
	for _, token := range list {
		all[token.ID] = token
	}
	return all
}

// Rule 66: forms of API tokens; limit is ignored, and there is no Link header.
func TestAPITokens(t *testing.T) {
	c := auditor(t, sandbox.Config{Users: 100})
	tokens := c.apiTokens()
	if len(tokens) != 5 {
		t.Errorf("%d API tokens with limit=1, want all 5", len(tokens))
	}
	link, links, noWindow, agents := 0, 0, 0, 0
	for id, token := range tokens {
		_, owned := c.org.User(token.UserID)
		if !owned || !strings.HasPrefix(id, "00T") || token.Name == "" || token.Created == "" || token.Network.Connection == "" {
			t.Errorf("API token = %+v", token)
		}
		if token.Link != nil {
			link++
		}
		if token.Links != nil {
			links++
		}
		if token.TokenWindow == nil {
			noWindow++
		}
		if strings.HasSuffix(token.ClientName, "Agent") {
			agents++
		}
	}
	if link != 3 || links != 2 || noWindow != 2 || agents != 2 {
		t.Errorf("%d tokens with _link, %d with _links, %d without tokenWindow, %d of agents", link, links, noWindow, agents)
	}
	c.noViolations()
}

// Rule 67: each use moves expiresAt and lastUpdated; revoked tokens are gone.
func TestAPITokenChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := auditor(t, sandbox.Config{Users: 100})
		var before apiToken
		for _, before = range c.apiTokens() {
		}
		time.Sleep(time.Minute)
		added := c.org.AddAPIToken("new", before.UserID)
		if err := c.org.UseAPIToken(before.ID); err != nil {
			t.Fatal(err)
		}
		tokens := c.apiTokens()
		after := tokens[before.ID]
		if len(tokens) != 6 || tokens[added].Name != "new" || after.ExpiresAt <= before.ExpiresAt || after.LastUpdated <= before.LastUpdated || after.Created != before.Created {
			t.Errorf("%d tokens; before the use %+v, after it %+v", len(tokens), before, after)
		}
		c.get("/api/v1/api-tokens/"+added).want(t, 200, "", "")
		if err := c.org.RevokeAPIToken(added); err != nil {
			t.Fatal(err)
		}
		c.get("/api/v1/api-tokens/"+added).want(t, 404, "E0000007", "")
		if tokens := c.apiTokens(); len(tokens) != 5 {
			t.Errorf("%d tokens after a revocation, want 5", len(tokens))
		}
	})
}

// Rule 68: API tokens need a scope and the permission of a custom role; factors need
// the scope and role of users.
func TestCredentialAccess(t *testing.T) {
	with := func(scopes string, role string, permissions ...string) *client {
		c := newClient(t, sandbox.Config{Users: 20, RateLimit: sandbox.WorkforceLimits(),
			Clients: []sandbox.ClientApp{{RequireDPoP: true, Scopes: strings.Fields(scopes), Role: role, Permissions: permissions}}})
		c.scope = scopes
		return c
	}
	factors := func(c *client) string {
		for id := range c.org.UsersJSON() {
			if len(slices.Collect(c.org.FactorsJSON(id))) > 0 {
				return "/api/v1/users/" + id + "/factors"
			}
		}
		return ""
	}
	c := with("okta.users.read", sandbox.RoleReadOnly)
	c.get("/api/v1/api-tokens").wantChallenge(t, 403, "Bearer", "insufficient_scope", "")
	c.get(factors(c)).want(t, 200, "", "")
	c = with("okta.users.read okta.apiTokens.read", sandbox.RoleReadOnly)
	c.get("/api/v1/api-tokens").want(t, 403, "E0000006", "")
	c = with("okta.apiTokens.read", sandbox.RoleForbidden, "okta.users.apitokens.read")
	if limit, _, _ := rate(t, c.get("/api/v1/api-tokens")); limit != 600 {
		t.Errorf("API tokens: limit %d, want 600: half of the limit of other paths", limit)
	}
	c.get(factors(c)).wantChallenge(t, 403, "Bearer", "insufficient_scope", "")
	c = with("okta.users.read", sandbox.RoleForbidden)
	c.get(factors(c)).want(t, 403, "E0000006", "")
	c.noViolations()
}

type factor struct {
	ID, FactorType, Provider, VendorName, Status, Created, LastUpdated string
	Profile                                                            map[string]any
	Embedded                                                           map[string]any `json:"_embedded"`
}

func (c *client) factors(user string) []factor {
	c.t.Helper()
	var list []factor
	if r := c.get("/api/v1/users/" + user + "/factors"); json.Unmarshal([]byte(r.body), &list) != nil || r.status != 200 || r.header.Get("Link") != "" {
		c.t.Fatalf("factors of %s = %d %s, Link %q", user, r.status, r.body, r.header.Get("Link"))
	}
	return list
}

// Rule 69: factors share the bucket of the list of users, and a DEPROVISIONED user
// has no list. Pending ones have secrets.
func TestFactors(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 200, RateLimit: sandbox.Limits(10_000)})
	_, left, _ := rate(t, c.get("/api/v1/users"))
	types, prefixes, statuses := map[string]int{}, map[string]bool{}, map[string]int{}
	requests := 0
	for id, user := range c.org.UsersJSON() {
		requests++
		if strings.Contains(string(user), `"status":"DEPROVISIONED"`) {
			c.get("/api/v1/users/"+id+"/factors").want(t, 404, "E0000007", "")
			c.get("/api/v1/users/"+id).want(t, 200, "", "")
			continue
		}
		for _, f := range c.factors(id) {
			types[f.FactorType]++
			prefixes[f.ID[:3]] = true
			statuses[f.Status]++
			if pending := f.Status == "PENDING_ACTIVATION"; f.Provider == "" || f.VendorName == "" || f.Created == "" || f.LastUpdated == "" ||
				(f.Embedded != nil) != pending || !strings.Contains(fmt.Sprint(f.Profile), sandbox.PlantedSecret) {
				t.Errorf("factor of %s = %+v", id, f)
			}
		}
	}
	if len(types) != 14 || len(prefixes) != 14 || len(statuses) != 7 {
		t.Errorf("types %v, prefixes %v, statuses %v", types, prefixes, statuses)
	}
	if _, now, _ := rate(t, c.get("/api/v1/users")); now != left-requests-1 {
		t.Errorf("%d requests are left after %d lists of factors, %d before: want one counter", now, requests, left)
	}
	c.noViolations()
}

// Rule 70: changes of factors change nothing of the user, and a policy hides a type for
// all users.
func TestFactorChanges(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 100})
	user := c.mustAll("/api/v1/users?" + query("filter", `status eq "ACTIVE"`))[0]
	before, account := c.factors(user), c.get("/api/v1/users/"+user).body
	id, err := c.org.EnrollFactor(user, "sms", "PENDING_ACTIVATION")
	if err == nil {
		err = c.org.SetFactorStatus(user, id, "ACTIVE")
	}
	if got := c.factors(user); err != nil || len(got) != len(before)+1 || got[len(before)].ID != id || got[len(before)].Status != "ACTIVE" {
		t.Errorf("factors after an enrollment: %+v, %v", got, err)
	}
	if got := c.get("/api/v1/users/" + user).body; got != account {
		t.Errorf("user after an enrollment = %s, want %s", got, account)
	}
	if err := c.org.ShowFactors("sms", false); err != nil {
		t.Fatal(err)
	}
	for _, user := range c.mustAll("/api/v1/users") {
		if slices.ContainsFunc(c.factors(user), func(f factor) bool { return f.FactorType == "sms" }) {
			t.Errorf("user %s shows a hidden factor", user)
		}
	}
	err = c.org.ShowFactors("sms", true)
	if got := c.factors(user); err != nil || len(got) != len(before)+1 {
		t.Errorf("%d factors after the policy shows them again, want %d: %v", len(got), len(before)+1, err)
	}
	if err := c.org.RemoveFactor(user, id); err != nil || len(c.factors(user)) != len(before) {
		t.Errorf("factors after a removal: %v, %v", c.factors(user), err)
	}
	for _, err := range []error{c.org.RemoveFactor(user, id), c.org.SetFactorStatus(user, id, "ACTIVE"), c.org.ShowFactors("teeth", false)} {
		if err == nil {
			t.Error("a change of a factor that doesn't exist: no error")
		}
	}
	c.inject("path=/api/v1/users/{id}/factors,status=500")
	c.get("/api/v1/users/"+user).want(t, 200, "", "")
	c.get("/api/v1/users/"+user+"/factors").want(t, 500, "E0000009", "")
}

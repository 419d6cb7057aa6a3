package oktaclient_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"oktasync/oktaclient"
)

func TestNewChecksItsConfig(t *testing.T) {
	valid := oktaclient.Config{OrgURL: "https://acme.okta.com", HTTPClient: http.DefaultClient}
	if _, err := oktaclient.New(valid); err != nil {
		t.Errorf("New(%v) = %v", valid.OrgURL, err)
	}
	for url, want := range map[string]string{
		"":                                "org URL must be an origin like https://acme.okta.com",
		"acme.okta.com":                   "org URL must be an origin like https://acme.okta.com",
		"https://acme.okta.com/api/v1":    "org URL must be an origin like https://acme.okta.com",
		"https://acme.okta.com?x=1":       "org URL must be an origin like https://acme.okta.com",
		"https://me:secret@acme.okta.com": "org URL must be an origin like https://acme.okta.com",
		"https://acme-admin.okta.com":     "org URL acme-admin.okta.com is the Admin Console; the org is acme.okta.com",
		"http://acme.okta.com":            "org URL acme.okta.com: plain http is for loopback hosts only",
		"ftp://acme.okta.com":             "org URL acme.okta.com: scheme must be https",
		"https://acme.okta.com:x":         `org URL: invalid port ":x" after host`,
	} {
		cfg := valid
		cfg.OrgURL = url
		if _, err := oktaclient.New(cfg); err == nil || err.Error() != want {
			t.Errorf("New(%q) = %v, want %s", url, err, want)
		}
	}
	for _, url := range []string{"http://localhost:8080", "http://127.0.0.1", "http://[::1]:80/"} {
		cfg := valid
		cfg.OrgURL = url
		if _, err := oktaclient.New(cfg); err != nil {
			t.Errorf("New(%q) = %v", url, err)
		}
	}
	for name, change := range map[string]func(*oktaclient.Config){
		"no client":   func(c *oktaclient.Config) { c.HTTPClient = nil },
		"share":       func(c *oktaclient.Config) { c.RateLimitShare = 1.1 },
		"page size":   func(c *oktaclient.Config) { c.PageSize = -1 },
		"concurrency": func(c *oktaclient.Config) { c.Concurrency = -1 },
	} {
		cfg := valid
		change(&cfg)
		if _, err := oktaclient.New(cfg); err == nil {
			t.Errorf("New() with a bad %s succeeded", name)
		}
	}
}

func TestGet(t *testing.T) {
	o := newOrg(25)
	o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 2 {
			fail(w, 500, "E0000009")
		}
		return n == 2
	}
	c := o.client(t, nil)
	pages, users := 0, 0
	for next := "/api/v1/users?limit=10"; next != ""; pages++ {
		resp, err := c.Get(t.Context(), next, http.Header{"X-Test": {"a"}})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		users += strings.Count(string(body), `"id"`)
		if next, err = oktaclient.NextPage(resp); err != nil {
			t.Fatal(err)
		}
	}
	if pages != 3 || users != 23 || o.count() != 4 {
		t.Errorf("%d pages with %d users in %d requests, want 3, 23, 4", pages, users, o.count())
	}
	if h := o.requests[0].Header; h.Get("X-Test") != "a" || h.Get("Accept") != "application/json" || h.Get("User-Agent") != "oktasync" {
		t.Errorf("header = %v", h)
	}
}

// Get returns the response to a rejected request.
func TestGetRejected(t *testing.T) {
	o := newOrg(25)
	c := o.client(t, nil)
	resp, err := c.Get(t.Context(), "/api/v1/users/00u99999", nil)
	if e, ok := errors.AsType[*oktaclient.Error](err); !ok || e.Code != "E0000007" {
		t.Errorf("Get() = %v, want E0000007", err)
	}
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 404 || !strings.Contains(string(body), "secret summary") {
		t.Errorf("response = %d %s", resp.StatusCode, body)
	}
}

func TestGetRejectsOtherOrigins(t *testing.T) {
	o := newOrg(25)
	c := o.client(t, nil)
	for _, path := range []string{"//evil.example/api/v1/users", "https://evil.example/", "http://127.0.0.1:1/", "http:opaque"} {
		if resp, err := c.Get(t.Context(), path, nil); err == nil || resp != nil || !strings.Contains(err.Error(), "another origin") {
			t.Errorf("Get(%q) = %v, want an error about another origin", path, err)
		}
	}
	if o.count() != 0 {
		t.Error("Get() sent a request")
	}
}

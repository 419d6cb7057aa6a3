package sandbox_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// faultCase is a fault and its effect on a client.
type faultCase struct {
	fault  string
	status int
	code   string
	broken error // of the body or of the request
	check  func(t *testing.T, r result)
}

var faultCases = []faultCase{
	{fault: "status=500", status: 500, code: "E0000009"},
	{fault: "status=503", status: 503, code: "E0000100"},
	{fault: "status=503,code=E0000010", status: 503, code: "E0000010"},
	{fault: "status=504", status: 504, code: "E0000067"},
	{fault: "status=409", status: 409, code: "E0000145"},
	{fault: "status=414", status: 414, code: "E0000256"},
	{fault: "status=429", status: 429, code: "E0000047", check: func(t *testing.T, r result) {
		if _, left, reset := rate(t, r); left != 0 || reset.Before(time.Now().Add(-time.Second)) || r.header.Get("Retry-After") != "" {
			t.Errorf("header = %v", r.header)
		}
	}},
	{fault: "status=429,retry-after=7s", status: 429, code: "E0000047", check: func(t *testing.T, r result) {
		if r.header.Get("Retry-After") != "7" {
			t.Errorf("header = %v, want Retry-After 7", r.header)
		}
	}},
	{fault: "busy", status: 429, code: "E0000047", check: func(t *testing.T, r result) {
		if limit, left, _ := rate(t, r); limit != 0 || left != 0 {
			t.Errorf("header = %v, want limit and remaining 0", r.header)
		}
	}},
	{fault: "html", status: 502, check: isHTML},
	{fault: "html,status=404", status: 404, check: isHTML},
	{fault: "redirect=https://elsewhere.invalid/", status: 302},
	{fault: "cut=1000", status: 200, broken: io.ErrUnexpectedEOF, check: func(t *testing.T, r result) {
		if len(r.body) != 1000 {
			t.Errorf("body = %d bytes, want 1000", len(r.body))
		}
	}},
	{fault: "broken-json", status: 200, check: func(t *testing.T, r result) {
		if json.Valid([]byte(r.body)) || len(r.body) < 10_000 {
			t.Errorf("body of %d bytes is JSON: %t", len(r.body), json.Valid([]byte(r.body)))
		}
	}},
	{fault: "reset", broken: syscall.ECONNRESET},
	{fault: "lose", broken: syscall.ECONNRESET},
	{fault: "revoke-token", status: 401, code: "invalid_token"},
}

// Rule 37: a fault occurs at the selected request only.
func TestFaults(t *testing.T) {
	for _, test := range faultCases {
		t.Run(test.fault, func(t *testing.T) {
			c := newClient(t, sandbox.Config{Users: 50})
			c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			c.inject("nth=2," + test.fault)
			for n := 1; n <= 3; n++ {
				req := c.request("/api/v1/users", nil)
				r, err := c.do(req)
				if n != 2 {
					if err != nil || r.status != 200 || !json.Valid([]byte(r.body)) {
						t.Errorf("request %d = %d %v, want 200", n, r.status, err)
					}
					continue
				}
				if !errors.Is(err, test.broken) || r.status != test.status || r.code() != test.code {
					t.Errorf("request %d = %d %s %v, want %d %s %v", n, r.status, r.code(), err, test.status, test.code, test.broken)
				}
				if test.check != nil {
					test.check(t, r)
				}
				if strings.Contains(test.fault, "lose") { // it was served, so its proof is used
					c.must(req).wantChallenge(t, 400, "DPoP", "invalid_dpop_proof", "already been used")
					return
				}
				if strings.Contains(test.fault, "revoke") {
					c.token = ""
				}
			}
			if s := c.org.Stats(); s.Faults != 1 {
				t.Errorf("faults = %d, want 1", s.Faults)
			}
			c.noViolations()
		})
	}
}

func isHTML(t *testing.T, r result) {
	t.Helper()
	if !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || !strings.Contains(r.body, "<html>") || r.header.Get("X-Okta-Request-Id") != "" {
		t.Errorf("response = %v %s, want a page of a proxy", r.header, r.body)
	}
}

// A fault occurs at the requests that Nth, Every, Forever and Path select.
func TestFaultCounts(t *testing.T) {
	for fault, want := range map[string]string{
		"status=500":                           "x.......",
		"nth=3,status=500":                     "..x.....",
		"nth=3,forever,status=500":             "..xxxxxx",
		"nth=2,every=3,status=500":             ".x..x..x",
		"path=/api/v1/users/,nth=2,status=500": "........",
		"path=token,status=500":                "........",
		"path=/api/v1/users,nth=8,status=500":  ".......x",
	} {
		c := newClient(t, sandbox.Config{Users: 5})
		c.login()
		c.inject(fault)
		got := ""
		for range 8 {
			if c.get("/api/v1/users").status == 500 {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != want {
			t.Errorf("%s: failed requests = %s, want %s", fault, got, want)
		}
		c.org.ClearFaults()
		c.get("/api/v1/users").want(t, 200, "", "")
	}
	for _, bad := range []string{"", "what", "nth=x", "status", "lose=yes", "stall=long"} {
		if f, err := sandbox.ParseFault(bad); err == nil {
			t.Errorf("ParseFault(%q) = %+v, want an error", bad, f)
		}
	}
}

func TestFaultsAtTokenEndpoint(t *testing.T) {
	c := newClient(t, sandbox.Config{})
	c.login()
	request := func() result { return c.postToken(c.form(nil), c.tokenProof(nil, nil)) }
	c.inject("path=token,status=500")
	request().want(t, 500, "E0000009", "")
	c.inject("path=token,bearer")
	if r := request(); r.json["token_type"] != "Bearer" {
		t.Errorf("token_type = %v, want Bearer", r.json["token_type"])
	}
	c.inject("path=token,rotate-nonce,no-nonce")
	r := request()
	r.want(t, 400, "use_dpop_nonce", "")
	if nonce := r.header.Get("DPoP-Nonce"); nonce != "" {
		t.Errorf("DPoP-Nonce = %q, want none", nonce)
	}
	c.noViolations()
}

// Rule 26: next links to wrong pages.
func TestNextFaults(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50, Deprovisioned: -1})
	c.org.Inject(sandbox.Fault{Next: sandbox.NextEmpty, Forever: true})
	if r := c.get(list("limit", "200")); r.next() == "" || c.get(r.next()).body != "[]" {
		t.Errorf("next of the last page = %q, want one to an empty page", r.next())
	}
	if n := len(c.mustAll(list("limit", "10"))); n != 50 {
		t.Errorf("users = %d, want 50", n)
	}
	c.org.ClearFaults()
	c.org.Inject(sandbox.Fault{Next: sandbox.NextShort, Nth: 2})
	if n := len(c.mustAll(list("limit", "10"))); n != 50 {
		t.Errorf("users in short pages = %d, want 50", n)
	}
	c.noViolations()

	c.org.Inject(sandbox.Fault{Next: sandbox.NextLoop, Nth: 2, Forever: true})
	if _, _, err := c.all(list("limit", "40")); !errors.Is(err, errEndless) {
		t.Errorf("list in a loop = %v, want an endless list", err)
	}
	c.org.ClearFaults()
	c.org.Inject(sandbox.Fault{Next: sandbox.NextOtherHost})
	next := c.get(list("limit", "10")).next()
	if !strings.HasPrefix(next, "https://"+sandbox.OtherHost+"/") {
		t.Errorf("next = %q, want another host", next)
	}
	if _, err := c.do(c.request(next, nil)); err == nil {
		t.Error("the other host responded")
	}
	if v := c.org.Stats().Violations; len(v) != 1 {
		t.Errorf("violations = %q, want one", v)
	}
}

// Stall delays a page at its start, in the middle, or forever.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 50, Latency: 100 * time.Millisecond})
		c.login()
		duration := func(fault string) time.Duration {
			t.Helper()
			c.inject(fault)
			start := time.Now()
			if r := c.get("/api/v1/users"); r.status != 200 || !json.Valid([]byte(r.body)) {
				t.Errorf("%s: %d", fault, r.status)
			}
			return time.Since(start)
		}
		if got := duration("stall=10s"); got != 10100*time.Millisecond {
			t.Errorf("took %v, want 10.1 s", got)
		}
		if got := duration("cut=1000,stall=20s"); got != 20100*time.Millisecond {
			t.Errorf("took %v, want 20.1 s", got)
		}
		c.org.Inject(sandbox.Fault{Stall: -1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.do(c.request("/api/v1/users", nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a page that never ends = %v, want the deadline", err)
		}
		c.noViolations()
	})
}

// Responses are compressed if the client accepts it, and a cached page is the same.
func TestGzip(t *testing.T) {
	for _, cached := range []bool{false, true} {
		c := newClient(t, sandbox.Config{Users: 450, CachePages: cached})
		read := func(accept string) (r result, plain string) {
			t.Helper()
			req := c.request("/api/v1/users", nil)
			req.Header.Set("Accept-Encoding", accept)
			r = c.must(req)
			if r.header.Get("Content-Encoding") == "" {
				return r, r.body
			}
			z, err := gzip.NewReader(strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			return r, string(text)
		}
		for name, change := range map[string]func(){"start": func() {}, "touch": func() { c.org.Touch(400) }} {
			change()
			for round := range 2 {
				want, _ := read("gzip;q=0")
				if r, plain := read("br, gzip"); plain != want.body || r.next() != want.next() || len(r.body)*4 > len(plain) {
					t.Errorf("cached %t, %s, round %d: %d bytes for %d, next %q, want %q", cached, name, round, len(r.body), len(plain), r.next(), want.next())
				}
			}
		}
		c.inject("broken-json")
		if _, plain := read("gzip"); json.Valid([]byte(plain)) || len(plain) < 10_000 {
			t.Errorf("cached %t: with broken-json, %d bytes are JSON: %t", cached, len(plain), json.Valid([]byte(plain)))
		}
		c.org.Wipe()
		if _, plain := read("gzip"); plain != "[]" {
			t.Errorf("cached %t: after a wipe, the page has %d bytes", cached, len(plain))
		}
	}
}

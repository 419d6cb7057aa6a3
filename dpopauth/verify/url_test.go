package verify_test

import (
	"crypto/tls"
	"net/http"
	"testing"

	"oktasync/dpopauth/verify"
)

// checkURL checks a proof with htu for a request to target, an absolute URL or a
// path, at a server of that origin.
func checkURL(t *testing.T, origin, target, htu string, want bool, edits ...func(*verify.Config)) {
	t.Helper()
	v := newVerifier(t, append(edits, func(c *verify.Config) { c.Origin = origin })...)
	_, err := v.Proof(requestTo("GET", target, newSigner("ES256").proof(nil, m{"htm": "GET", "htu": htu})))
	if got := err == nil; got != want {
		t.Errorf("at %s, GET %s with htu %s: %v, want pass %v", origin, target, htu, err, want)
	}
	if reason := reasonOf(err); err != nil && reason != verify.ProofURL && reason != verify.ProofURLMalformed {
		t.Errorf("at %s, GET %s with htu %s: %v", origin, target, htu, err)
	}
}

func TestD11_Origin(t *testing.T) {
	for _, tt := range []struct {
		origin, htu string
		want        bool
	}{
		{"https://acme.okta.com", "HTTPS://Acme.Okta.COM:443/API", true},
		{"HTTPS://Acme.Okta.COM:443/", "https://acme.okta.com/API", true},
		{"https://acme.okta.com", "https://acme.okta.com:/API", true},
		{"https://acme.okta.com", "https://acme.okta.com/api", false},
		{"https://acme.okta.com", "https://acme.okta.com:8443/API", false},
		{"https://acme.okta.com", "https://acme.okta.com:80/API", false},
		{"https://acme.okta.com:8443", "https://acme.okta.com:8443/API", true},
		{"https://acme.okta.com:8443", "https://acme.okta.com/API", false},
		{"http://127.0.0.1:80", "http://127.0.0.1/API", true},
		{"http://127.0.0.1", "https://127.0.0.1/API", false},
		{"https://[2001:DB8::1]", "https://[2001:db8::1]:443/API", true},
		{"https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443/API", true},
		{"https://[2001:db8::1]", "https://2001:db8::1/API", false},
		{"https://xn--bcher-kva.example", "https://xn--bcher-kva.example/API", true},
		{"https://xn--bcher-kva.example", "https://bücher.example/API", false},
		{"https://acme.okta.com", "https://me@acme.okta.com/API", false},
		{"https://acme.okta.com", "https://acme.okta.com@evil.example/API", false},
		{"https://acme.okta.com", "https://acme.okta.com.evil.example/API", false},
		{"https://acme.okta.com", "https://evil.example/API", false},
		{"https://acme.okta.com", "https://acme.okta.com\\@evil.example/API", false},
		{"https://acme.okta.com", "//acme.okta.com/API", false},
		{"https://acme.okta.com", "/API", false},
		{"https://acme.okta.com", "https:acme.okta.com/API", false},
		{"https://acme.okta.com", "https:///API", false},
		{"https://acme.okta.com", "https://:443/API", false},
		{"https://acme.okta.com", "ftp://acme.okta.com/API", false},
		{"https://acme.okta.com", " https://acme.okta.com/API", false},
		{"https://acme.okta.com", "", false},
	} {
		checkURL(t, tt.origin, "/API", tt.htu, tt.want)
	}
	checkURL(t, "", "/API", "https://bücher.example/API", false, func(c *verify.Config) {
		c.OriginOf = func(*http.Request) string { return "https://bücher.example" } // also if the server's own name is not ASCII
	})
}

func TestD12_EmptyPath(t *testing.T) {
	for _, tt := range []struct {
		target, htu string
		want        bool
	}{
		{"/", origin, true},
		{"/", origin + "/", true},
		{"/", origin + "//", false},
		{"//", origin + "//", true},
		{"//", origin + "/", false},
		{"/a", origin + "/a", true},
		{"/a", origin + "/a/", false},
		{"/a/", origin + "/a", false},
		{"/a/", origin + "/a/", true},
		{"//a", origin + "/a", false},
		{"/a//b", origin + "/a/b", false},
	} {
		checkURL(t, origin, tt.target, tt.htu, tt.want)
		checkURL(t, origin+"/", tt.target, tt.htu, tt.want)
	}
	// Behind a proxy that removes a prefix.
	checkURL(t, origin+"/v1", "/users", origin+"/v1/users", true)
	checkURL(t, origin+"/v1/", "/users", origin+"/v1/users", true)
	checkURL(t, origin+"/v1", "/users", origin+"/users", false)
}

func TestD13_Path(t *testing.T) {
	for _, tt := range []struct {
		target, htu string
		want        bool
	}{
		{"/a%2Fb", "/a%2Fb", true},
		{"/a%2Fb", "/a%2fb", true},
		{"/a%2fb", "/a%2Fb", true},
		{"/a%2Fb", "/a/b", false},
		{"/a/b", "/a%2Fb", false},
		{"/a%20b", "/a%20b", true},
		{"/a%20b", "/a+b", false},
		{"/a+b", "/a+b", true},
		{"/a;v=1", "/a;v=1", true},
		{"/a;v=1", "/a", false},
		{"/%C3%A9", "/%c3%a9", true},
		{"/%C3%A9", "/é", false},
		{"/%C3%A9", "/%25C3%25A9", false},
		{"/%7Euser", "/~user", true},
		{"/~user", "/%7euser", true},
		{"/%41", "/A", true},
		{"/A", "/a", false},
		{"/a%40b", "/a@b", false}, // reserved characters are not equivalent
		{"/a/./b", "/a/b", true},
		{"/a/b", "/a/c/../b", true},
		{"/a/b/..", "/a/", true},
		{"/a/b/.", "/a/b/", true},
		{"/a", "/../../a", true},
		{"/a", "/b/%2e%2E/a", true},
		{"/a/..", "/", true},
		{"/a%3Fb", "/a%3Fb", true},
		{"/a%3Fb", "/a?b", false},
		{"/a", "/a%zz", false},
		{"/a", "/a%2", false},
	} {
		checkURL(t, origin, tt.target, origin+tt.htu, tt.want)
	}
	// htu has no query (RFC 9449, section 4.2).
	checkURL(t, origin, "/a?after=00u&limit=200", origin+"/a", true)
	checkURL(t, origin, "/a?", origin+"/a", true)
	for _, htu := range []string{"/a?after=00u&limit=200", "/a?", "/a#", "/a#b"} {
		checkURL(t, origin, "/a?after=00u&limit=200", origin+htu, false)
	}
	// A router that shortens the path does not change the target.
	r := requestTo("GET", "/v1/users/a%2Fb", newSigner("ES256").proof(nil, m{"htm": "GET", "htu": origin + "/v1/users/a%2Fb"}))
	http.StripPrefix("/v1", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := newVerifier(t).Proof(r); err != nil {
			t.Errorf("behind http.StripPrefix: %v", err)
		}
	})).ServeHTTP(nil, r)
	r.RequestURI = "%" // net/http rejects it
	if _, err := newVerifier(t).Proof(r); reasonOf(err) != verify.ProofURL {
		t.Errorf("with a broken RequestURI: %v, want %q", err, verify.ProofURL)
	}
	// In-process, a request has no RequestURI.
	r = requestTo("GET", "/", newSigner("ES256").proof(nil, m{"htm": "GET", "htu": origin + "/"}))
	r.RequestURI, r.URL.Path = "", ""
	if _, err := newVerifier(t).Proof(r); err != nil {
		t.Errorf("with neither path nor RequestURI: %v", err)
	}
}

func TestD14_DecodedPath(t *testing.T) {
	okta := func(c *verify.Config) { c.DecodedPath = true }
	for _, tt := range []struct {
		target, htu string
		want        bool
	}{
		{"/users/00u1", "/users/00u1", true},
		{"/users/a@b.com", "/users/a@b.com", true},
		{"/users/a%40b.com", "/users/a@b.com", true},
		{"/users/a%40b.com", "/users/a%40b.com", false},
		{"/users/a@b.com", "/users/a%40b.com", false},
		{"/users/a%20b", "/users/a b", true},
		{"/users/a%20b", "/users/a%20b", true}, // as Okta's Java SDK sends it
		{"/users/a%25b", "/users/a%25b", true},
		{"/users/a%2Fb", "/users/a/b", true},
		{"/users/%C3%A9", "/users/é", true},
		{"/users/%C3%A9", "/users/%C3%A9", false},
		{"/users?limit=200", "/users", true},
		{"/users?limit=200", "/users?limit=200", false},
		{"/", "", true},
		{"/users", "/users/", false},
	} {
		checkURL(t, origin, tt.target, origin+tt.htu, tt.want, okta)
	}
}

func TestD94_Origin(t *testing.T) {
	s := newSigner("ES256")
	send := func(htu string, originOf func(*http.Request) string, edit func(*http.Request)) error {
		v := newVerifier(t, func(c *verify.Config) { c.OriginOf = originOf })
		r := requestTo("POST", "/token", s.proof(nil, m{"htu": htu}))
		edit(r)
		_, err := v.Proof(r)
		return err
	}
	spoof := func(r *http.Request) {
		r.Host = "evil.example"
		r.URL.Host, r.URL.Scheme = "evil.example", "http"
		r.Header.Set("X-Forwarded-Host", "evil.example")
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("Forwarded", "host=evil.example;proto=https")
	}
	secure := func(r *http.Request) { spoof(r); r.TLS = &tls.ConnectionState{} }
	for _, tt := range []struct {
		name     string
		htu      string
		originOf func(*http.Request) string
		edit     func(*http.Request)
		want     verify.Reason
	}{
		{"own origin, spoofed fields", origin + "/token", nil, spoof, ""},
		{"spoofed origin", "https://evil.example/token", nil, spoof, verify.ProofURL},
		{"Host trusted", "https://evil.example/token", verify.HostOrigin, secure, ""},
		{"Host trusted, no TLS", "http://evil.example/token", verify.HostOrigin, spoof, ""},
		{"Host trusted, not the scheme", "https://evil.example/token", verify.HostOrigin, spoof, verify.ProofURL},
		{"proxy trusted", "https://evil.example/token", verify.ForwardedOrigin, spoof, ""},
		{"proxy trusted, sends nothing", origin + "/token", verify.ForwardedOrigin, func(*http.Request) {}, verify.ProofURL},
	} {
		if err := send(tt.htu, tt.originOf, tt.edit); reasonOf(err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

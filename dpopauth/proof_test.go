package dpopauth_test

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth"
)

func TestD9_HTMIsTheMethod(t *testing.T) {
	for _, method := range []string{"", "GET", "POST", "PATCH", "get", "PuRgE"} {
		o := newOrg(t)
		o.demand("api", "n1") // the first request is challenged and retried
		tr := o.transport()
		req := must(http.NewRequest("GET", o.URL+"/api", nil))
		req.Method = method
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		resp.Body.Close()
		o.wantRequests(1, 2)
		for _, s := range o.apiRequests() { // the org compares both
			if want := cmp.Or(method, "GET"); s.proof.claims["htm"] != want || s.method != want {
				t.Errorf("method %q: htm = %v on the wire %s", method, s.proof.claims["htm"], s.method)
			}
		}
	}
}

func TestD10_HTUHasNoQueryAndNoFragment(t *testing.T) {
	o := newOrg(t)
	tr := o.transport()
	for target, path := range map[string]string{
		"/api/v1/users?after=00u1&limit=200":  "/api/v1/users",
		"/api/v1/users?":                      "/api/v1/users",
		"/api/v1/users#top":                   "/api/v1/users",
		"/a%3Fb?c=d":                          "/a%3Fb",
		"/a?search=id+eq+%22x%22&x=%23%3F?a?": "/a",
	} {
		mustGet(t, tr, o.URL+target)
		wantHtu(t, o, o.URL+path)
	}
}

func TestD11_NormalOrigin(t *testing.T) {
	for _, test := range []struct{ origin, url, htu string }{
		{"https://acme.okta.com", "HTTPS://Acme.Okta.COM:443/API", "https://acme.okta.com/API"},
		{"https://ACME.okta.com:443/", "https://acme.okta.com/API", "https://acme.okta.com/API"},
		{"https://acme.okta.com:8443", "https://Acme.okta.com:8443/API", "https://acme.okta.com:8443/API"},
		{"http://127.0.0.1:80", "http://127.0.0.1/a", "http://127.0.0.1/a"},
		{"http://localhost:443", "http://localhost:443/a", "http://localhost:443/a"},
		{"https://[2001:DB8::1]", "https://[2001:db8::1]:443/a", "https://[2001:db8::1]/a"},
		{"https://[::1]:8443", "https://[::1]:8443/a", "https://[::1]:8443/a"},
		{"https://xn--bcher-kva.example", "https://XN--bcher-kva.example/", "https://xn--bcher-kva.example/"},
	} {
		var jws string
		tr := capture(t, newKey(t, p256()), test.origin, func(r *http.Request) { jws = r.Header.Get("DPoP") })
		do(t, tr, test.url)
		if got := htuOf(t, jws); got != test.htu {
			t.Errorf("htu for %s = %s, want %s", test.url, got, test.htu)
		}
	}
	t.Run("an IDN has to be written as an A-label", func(t *testing.T) {
		cfg := newOrg(t).config()
		cfg.Origins = []string{"https://bücher.example"}
		_, err := dpopauth.New(cfg)
		wantError(t, err, "A-label")
	})
}

func TestD12_PathIsUnchanged(t *testing.T) {
	o := newOrg(t)
	tr := o.transport(func(c *dpopauth.Config) { c.Origins = []string{o.URL + "/"} })
	for url, path := range map[string]string{"": "/", "/": "/", "/a": "/a", "/a/": "/a/", "?q=1": "/"} {
		mustGet(t, tr, o.URL+url)
		wantHtu(t, o, o.URL+path)
	}
}

func TestD13_PathIsEscapedAsOnTheRequestLine(t *testing.T) {
	o := newOrg(t)
	tr := o.transport()
	for _, path := range []string{"/a%2Fb", "/a%20b", "/a+b", "/a;b=c", "/caf%C3%A9", "/caf%c3%a9", "/a%2fb", "/%7Euser", "/a@b", "/a%40b", "/a:b", "/a$b&c"} {
		mustGet(t, tr, o.URL+path)
		wantHtu(t, o, o.URL+path)
	}
	t.Run("made of parts", func(t *testing.T) {
		u := must(url.Parse(o.URL))
		for decoded, path := range map[string]string{"/a b": "/a%20b", "/café": "/caf%C3%A9", "/100%": "/100%25", "/a?b#c": "/a%3Fb%23c", `/"`: "/%22"} {
			u.Path = decoded
			mustGet(t, tr, u.String())
			wantHtu(t, o, o.URL+path)
		}
	})
}

func TestD14_DecodedPath(t *testing.T) {
	t.Run("what needs no escape has none", func(t *testing.T) {
		o := newOrg(t)
		u := must(url.Parse(o.URL))
		u.Path = "/users/a@b.com:1+2$3&4"
		mustGet(t, o.transport(), u.String())
		wantHtu(t, o, o.URL+"/users/a@b.com:1+2$3&4")
	})
	t.Run("option", func(t *testing.T) {
		o := newOrg(t, func(o *org) { o.decoded = true })
		tr := o.transport(func(c *dpopauth.Config) { c.DecodedPathHTU = true })
		for _, path := range []string{"/users/a%40b.com", "/a%20b", "/100%25", "/a%2Fb", "/caf%C3%A9", "/%22%23%3F", "/plain"} {
			mustGet(t, tr, o.URL+path) // the org compares as Okta does
		}
		_, claims, _ := parts(t, o.apiRequests()[0].proofs[0])
		if got := object(t, claims)["htu"]; got != o.URL+"/users/a@b.com" {
			t.Errorf("htu = %v, want the path decoded", got)
		}
	})
}

func TestD15_RejectedRequests(t *testing.T) {
	o := newOrg(t)
	tr := o.transport()
	host := strings.TrimPrefix(o.URL, "https://")
	for name, change := range map[string]func(*http.Request){
		"user information": func(r *http.Request) { r.URL.User = url.UserPassword("admin", "hunter2secret") },
		"the same in Host": func(r *http.Request) { r.URL.Host = "admin:hunter2secret@" + host },
		"opaque":           func(r *http.Request) { r.URL = &url.URL{Scheme: "https", Opaque: "//" + host + "/a"} },
		"no URL":           func(r *http.Request) { r.URL = nil },
		"other Host":       func(r *http.Request) { r.Host = "evil.example" },
		"other port":       func(r *http.Request) { r.Host = "127.0.0.1:1" },
		"relative path":    func(r *http.Request) { r.URL.Path = "a" },
	} {
		req := must(http.NewRequest("GET", o.URL+"/a", nil))
		change(req)
		_, err := tr.RoundTrip(req)
		wantError(t, err, "request can't be signed")
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password", name)
		}
	}
	o.wantRequests(0, 0)
	t.Run("the same Host, written otherwise, is none", func(t *testing.T) {
		var got string
		tr := capture(t, nil, "https://acme.okta.com", func(r *http.Request) { got = htuOf(t, r.Header.Get("DPoP")) })
		req := must(http.NewRequest("GET", "https://acme.okta.com/", nil))
		req.Host = "ACME.okta.com:443"
		resp, err := tr.RoundTrip(req)
		if err != nil || got != "https://acme.okta.com/" {
			t.Fatalf("htu = %s, %v", got, err)
		}
		resp.Body.Close()
	})
}

func TestD16_IATIsTheTimeOfSigning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newPipeOrg(t)
		o.past = 2 * time.Second // an older proof is rejected
		o.demand("api", "n1")
		o.token = func(http.ResponseWriter, *seen) bool { time.Sleep(20 * time.Second); return false }
		o.api = func(_ http.ResponseWriter, s *seen) bool {
			if s.n == 1 {
				time.Sleep(20 * time.Second) // before the challenge
			}
			return false
		}
		mustGet(t, o.transport(), o.URL+"/a") // waits for the token, and then for the nonce
		o.wantRequests(1, 2)
		for _, s := range o.apiRequests() { // the org checks that it is an integer
			if late := s.at.Unix() - s.iat(); late < 0 || late > 1 {
				t.Errorf("iat is %d s before the request came, want 0 or 1", late)
			}
		}
	})
}

func TestD17_ATHIsTheHashOfTheToken(t *testing.T) {
	o := newOrg(t) // its tokens contain ~ . - _ + / =
	tr := o.transport()
	mustGet(t, tr, o.URL+"/a")
	mustGet(t, tr, o.URL+"/b")
	for _, s := range o.apiRequests() {
		token := strings.TrimPrefix(s.header.Get("Authorization"), "DPoP ")
		if s.proof.claims["ath"] != hash(token) || !strings.Contains(token, "~._+/=") {
			t.Errorf("ath = %v for %q", s.proof.claims["ath"], token)
		}
	}
	if ath, ok := o.tokenRequests()[0].proof.claims["ath"]; ok {
		t.Errorf("ath = %v at the token endpoint, want none", ath)
	}
}

func TestD18_NonceIsUnchanged(t *testing.T) {
	o := newOrg(t)
	const odd = `!#$%&'()*+,-./:;<=>?@[]^_{|}~` + "`"
	tr := o.transport()
	mustGet(t, tr, o.URL+"/a")
	for _, s := range append(o.tokenRequests(), o.apiRequests()...) {
		if n, ok := s.proof.claims["nonce"]; ok {
			t.Errorf("nonce = %v before one was given, want no claim", n)
		}
	}
	o.demand("api", odd)
	mustGet(t, tr, o.URL+"/a")
	if last := o.apiRequests()[2]; last.nonce() != odd {
		t.Errorf("nonce = %q, want %q", last.nonce(), odd)
	}
}

func TestD19_NoOtherClaimsAndNoHTMLEscapes(t *testing.T) {
	o := newOrg(t)
	o.demand("api", "a<b>&c")
	mustGet(t, o.transport(), o.URL+"/a&b'c")
	_, claims, _ := parts(t, o.tokenRequests()[0].proofs[0])
	if got := names(t, claims); got != "jti htm htu iat" {
		t.Errorf("claims at the token endpoint = %s", got)
	}
	_, claims, _ = parts(t, o.apiRequests()[1].proofs[0])
	if got := names(t, claims); got != "jti htm htu iat ath nonce" {
		t.Errorf("claims at the API = %s", got)
	}
	for _, text := range []string{`/a&b'c"`, `"nonce":"a<b>&c"`} {
		if !strings.Contains(string(claims), text) {
			t.Errorf("claims = %s, want %s in them", claims, text)
		}
	}
}

func htuOf(t testing.TB, jws string) string {
	t.Helper()
	_, claims, _ := parts(t, jws)
	htu, _ := object(t, claims)["htu"].(string)
	return htu
}

// wantHtu checks the htu of the last API request.
func wantHtu(t *testing.T, o *org, want string) {
	t.Helper()
	list := o.apiRequests()
	if got := list[len(list)-1].proof.claims["htu"]; got != want {
		t.Errorf("htu = %v, want %s", got, want)
	}
}

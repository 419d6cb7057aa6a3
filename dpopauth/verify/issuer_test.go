package verify_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth/verify"
)

func newIssuer(t *testing.T, as *authServer, edits ...func(*verify.IssuerConfig)) *verify.Issuer {
	t.Helper()
	cfg := verify.IssuerConfig{URL: as.issuer, Audience: audience, HTTPClient: as.Client()}
	for _, edit := range edits {
		edit(&cfg)
	}
	issuer := must(verify.NewIssuer(cfg))
	return issuer
}

func TestIssuer_Token(t *testing.T) {
	as := newAuthServer(nil)
	defer as.Close()
	issuer := newIssuer(t, as)
	now := time.Now()
	ahead := func(d time.Duration) int64 { return now.Add(d).Unix() }
	signed, _ := cutSignature(as.mint(nil, nil))
	other := signer{"RS256", generate("RS256")}
	for _, tt := range []struct {
		name, token string
		want        verify.Reason
	}{
		{"valid", as.mint(nil, nil), ""},
		{"at+jwt", as.mint(m{"typ": "at+jwt"}, nil), ""},
		{"application/at+jwt", as.mint(m{"typ": "application/AT+jwt"}, nil), ""},
		{"JWT", as.mint(m{"typ": "JWT"}, nil), ""},
		{"only key, not named", as.mint(m{"kid": absent}, nil), ""},
		{"aud in a list", as.mint(nil, m{"aud": []string{"x", audience}}), ""},
		{"not bound", as.mint(nil, m{"cnf": absent}), ""},
		{"bound by certificate", as.mint(nil, m{"cnf": m{"x5t#S256": "x"}}), ""},
		{"expired within skew", as.mint(nil, m{"exp": ahead(-2 * time.Second)}), ""},
		{"not a JWT", "opaque", verify.TokenMalformed},
		{"too large", as.mint(nil, m{"a": strings.Repeat("x", 16<<10)}), verify.TokenMalformed},
		{"proof", as.mint(m{"typ": "dpop+jwt"}, nil), verify.TokenType},
		{"logout token", as.mint(m{"typ": "logout+jwt"}, nil), verify.TokenType},
		{"other issuer", as.mint(nil, m{"iss": as.URL}), verify.TokenIssuer},
		{"no issuer", as.mint(nil, m{"iss": absent}), verify.TokenIssuer},
		{"none", as.mint(m{"alg": "none"}, nil), verify.TokenAlgorithm},
		{"HS256", as.mint(m{"alg": "HS256"}, nil), verify.TokenAlgorithm},
		{"alg of another kind of key", as.mint(m{"alg": "ES256"}, nil), verify.TokenAlgorithm},
		{"alg that the key is not for", signer{"PS256", as.key.key}.sign(`{"alg":"PS256","kid":"k1"}`, as.claims().json()), verify.TokenAlgorithm},
		{"unknown kid", as.mint(m{"kid": "k2"}, nil), verify.TokenKeyID},
		{"signature by another key", other.sign(`{"alg":"RS256","kid":"k1"}`, as.claims().json()), verify.TokenSignature},
		{"not signed", signed + ".", verify.TokenSignature},
		{"other audience", as.mint(nil, m{"aud": "api://default"}), verify.TokenAudience},
		{"no audience", as.mint(nil, m{"aud": absent}), verify.TokenAudience},
		{"expired", as.mint(nil, m{"exp": ahead(-6 * time.Second)}), verify.TokenExpired},
		{"no expiry", as.mint(nil, m{"exp": absent}), verify.TokenExpired},
		{"not yet", as.mint(nil, m{"nbf": ahead(time.Minute)}), verify.TokenNotYet},
		{"nbf a string", as.mint(nil, m{"nbf": "now"}), verify.TokenNotYet},
		{"issued tomorrow", as.mint(nil, m{"iat": ahead(24 * time.Hour)}), verify.TokenNotYet},
		{"cnf a string", as.mint(nil, m{"cnf": "x"}), verify.TokenMalformed},
		{"jkt a number", as.mint(nil, m{"cnf": m{"jkt": 1}}), verify.TokenMalformed},
	} {
		got, err := issuer.Token(t.Context(), tt.token)
		if reasonOf(err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if (got == nil) != (err != nil) {
			t.Errorf("%s: Token() = %v and error %v", tt.name, got, err)
		}
	}
	got, err := issuer.Token(t.Context(), as.mint(nil, m{"client_id": "c1", "scope": "a  b", "exp": ahead(time.Hour), "x": "y"}))
	if err != nil || got.ClientID != "c1" || strings.Join(got.Scopes, ",") != "a,b" || got.Subject != "0oa1" ||
		got.Thumbprint != proofKey.thumbprint() || got.Expiry.Unix() != ahead(time.Hour) || got.Claims["x"] != "y" {
		t.Errorf("Token() = %+v, %v", got, err)
	}
	if n := as.count("/oauth2/default/v1/keys"); n != 1 {
		t.Errorf("keys were read %d times, want once", n)
	}
}

func TestIssuer_Config(t *testing.T) {
	for name, cfg := range map[string]verify.IssuerConfig{
		"no issuer":    {Audience: audience},
		"http":         {URL: "http://as.example.com", Audience: audience},
		"keys by http": {URL: "https://as.example.com", KeysURL: "http://as.example.com/keys", Audience: audience},
		"userinfo":     {URL: "https://me@as.example.com", Audience: audience},
		"no audience":  {URL: "https://as.example.com"},
		"no algorithm": {URL: "https://as.example.com", Audience: audience, Algorithms: []string{"HS256"}},
	} {
		if _, err := verify.NewIssuer(cfg); err == nil || !strings.HasPrefix(err.Error(), "configure issuer") {
			t.Errorf("%s: NewIssuer() = %v, want an error", name, err)
		}
	}
	for _, u := range []string{"http://localhost:8080", "http://127.0.0.1/x", "http://[::1]:1"} {
		if _, err := verify.NewIssuer(verify.IssuerConfig{URL: u, Audience: audience}); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// site serves documents by path.
func site(t *testing.T, documents func(url string) map[string]string) (url string, client *http.Client) {
	t.Helper()
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, ok := documents(server.URL)[r.URL.Path]
		switch {
		case !ok:
			http.NotFound(w, r)
		case strings.HasPrefix(document, "/"):
			http.Redirect(w, r, document, http.StatusFound)
		default:
			w.Write([]byte(document))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, server.Client()
}

func TestIssuer_Discovery(t *testing.T) {
	key := newSigner("ES256")
	jwks := m{"keys": []m{key.jwk().with(m{"kid": "1"})}}.json()
	const rfc, oidc = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	metadata := func(issuer, keys string) string { return m{"issuer": issuer, "jwks_uri": keys}.json() }
	for _, tt := range []struct {
		name, path string
		keysURL    string
		documents  func(url string) map[string]string
		want       string // in the error
	}{
		{"RFC 8414", "/a", "", func(u string) map[string]string {
			return map[string]string{rfc + "/a": metadata(u+"/a", u+"/k?app=1"), "/k": jwks}
		}, ""},
		{"RFC 8414, no path", "", "", func(u string) map[string]string {
			return map[string]string{rfc: metadata(u, u+"/k"), "/k": jwks}
		}, ""},
		{"RFC 8414, trailing slash", "/", "", func(u string) map[string]string {
			return map[string]string{rfc: metadata(u+"/", u+"/k"), "/k": jwks}
		}, ""},
		{"appended, as Okta has it", "/a", "", func(u string) map[string]string {
			return map[string]string{"/a" + rfc: metadata(u+"/a", u+"/k"), "/k": jwks}
		}, ""},
		{"OpenID only", "/a", "", func(u string) map[string]string {
			return map[string]string{"/a" + oidc: metadata(u+"/a", u+"/k"), "/k": jwks}
		}, ""},
		{"another issuer in the first place", "/a", "", func(u string) map[string]string {
			return map[string]string{rfc + "/a": metadata(u, u+"/x"), "/a" + oidc: metadata(u+"/a", u+"/k"), "/k": jwks}
		}, ""},
		{"by address of the keys", "/a", "/k", func(u string) map[string]string {
			return map[string]string{"/k": jwks}
		}, ""},
		{"unknown keys among others", "", "/k", func(u string) map[string]string {
			return map[string]string{"/k": m{"keys": []any{
				m{"kty": "OKP", "crv": "X25519", "x": "AA"}, m{"kty": "new"}, 1, nil,
				key.jwk().with(m{"kid": "1", "use": "enc"}), key.jwk().with(m{"kid": "1", "key_ops": []string{"sign"}}), key.jwk().with(m{"kid": "1", "d": "AA"}), key.jwk().with(m{"kid": "1"}),
			}}.json()}
		}, ""},
		{"nothing", "/a", "", func(string) map[string]string { return nil }, "status 404"},
		{"another issuer", "/a", "", func(u string) map[string]string {
			return map[string]string{rfc + "/a": metadata(u+"/b", u+"/k"), "/k": jwks}
		}, "belongs to another issuer"},
		{"jwks_uri by http", "", "", func(u string) map[string]string {
			return map[string]string{rfc: metadata(u, "http://as.example.com/k")}
		}, "is not an https URL"},
		{"jwks_uri by http on a loopback host", "", "", func(u string) map[string]string {
			return map[string]string{rfc: metadata(u, strings.Replace(u, "https", "http", 1)+"/k"), "/k": jwks}
		}, "is on another server than the issuer: configure KeysURL to accept"},
		{"jwks_uri on another port", "", "", func(u string) map[string]string {
			return map[string]string{rfc: metadata(u, "https://127.0.0.1:1/k"), "/k": jwks}
		}, "is on another server than the issuer"},
		{"jwks_uri relative", "", "", func(u string) map[string]string {
			return map[string]string{rfc: metadata(u, "/k"), "/k": jwks}
		}, "is not an absolute URL"},
		{"HTML", "", "/k", func(string) map[string]string { return map[string]string{"/k": "<html>"} }, "not a JSON object"},
		{"too large", "", "/k", func(string) map[string]string {
			return map[string]string{"/k": strings.Repeat(" ", 512<<10) + jwks}
		}, "more than 524288 bytes"},
		{"redirect", "", "/k", func(string) map[string]string {
			return map[string]string{"/k": "/other", "/other": jwks}
		}, "status 302"},
		{"too many keys", "", "/k", func(string) map[string]string {
			return map[string]string{"/k": `{"keys":[` + strings.Repeat("{},", 100) + "{}]}"}
		}, "more than 100 keys"},
		{"no keys", "", "/k", func(string) map[string]string { return map[string]string{"/k": `{"keys":[]}`} }, "no supported signing key"},
		{"keys an object", "", "/k", func(string) map[string]string { return map[string]string{"/k": `{"keys":{}}`} }, "no supported signing key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, client := site(t, tt.documents)
			cfg := verify.IssuerConfig{URL: url + tt.path, Audience: audience, HTTPClient: client}
			if tt.keysURL != "" {
				cfg.KeysURL = url + tt.keysURL
			}
			issuer := must(verify.NewIssuer(cfg))
			claims := m{"iss": cfg.URL, "aud": audience, "exp": time.Now().Add(time.Hour).Unix()}
			_, err := issuer.Token(t.Context(), key.sign(`{"alg":"ES256","kid":"1"}`, claims.json()))
			if tt.want == "" && err != nil {
				t.Error(err)
			}
			if tt.want != "" && (reasonOf(err) != verify.KeysUnavailable || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// inProcess is a transport that calls a handler without a network, for synctest.
type inProcess struct {
	handler func(http.ResponseWriter, *http.Request) error
}

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if err := p.handler(w, r); err != nil {
		return nil, err
	}
	return w.Result(), r.Context().Err()
}

func TestIssuer_KeyRotation(t *testing.T) {
	old, young := newSigner("ES256"), newSigner("EdDSA")
	jwk := func(s signer, kid string) m { return s.jwk().with(m{"kid": kid}) }
	synctest.Test(t, func(t *testing.T) {
		var asked int
		var fault error
		keys := []m{jwk(old, "old")}
		issuer, err := verify.NewIssuer(verify.IssuerConfig{
			URL: "https://as.example.com", KeysURL: "https://as.example.com/keys", Audience: audience,
			HTTPClient: &http.Client{Transport: inProcess{func(w http.ResponseWriter, r *http.Request) error {
				asked++
				if fault == nil {
					w.Write([]byte(m{"keys": keys}.json()))
				}
				return fault
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		check := func(s signer, kid string, want verify.Reason, wantAsked int) {
			t.Helper()
			claims := m{"iss": "https://as.example.com", "aud": audience, "exp": time.Now().Add(time.Hour).Unix()}
			_, err := issuer.Token(t.Context(), s.sign(m{"alg": s.alg, "kid": kid}.json(), claims.json()))
			if reasonOf(err) != want || asked != wantAsked {
				t.Errorf("kid %s: %v after asking %d times, want %q after %d", kid, err, asked, want, wantAsked)
			}
		}
		fault = errors.New("connection refused")
		check(old, "old", verify.KeysUnavailable, 1)
		check(old, "old", verify.KeysUnavailable, 1) // no second fetch at once
		fault = nil
		time.Sleep(30 * time.Second)
		check(old, "old", "", 2)
		for range 100 {
			check(young, "young", verify.TokenKeyID, 2) // within 30 s of the last fetch
		}
		keys = []m{jwk(old, "old"), jwk(young, "young")}
		time.Sleep(30 * time.Second)
		check(young, "young", "", 3)
		check(old, "old", "", 3)
		time.Sleep(time.Hour)
		check(old, "old", "", 3) // after exactly an hour
		keys = keys[1:]
		time.Sleep(time.Second)
		check(young, "young", "", 4)
		check(old, "old", verify.TokenKeyID, 4) // removed

		fault = errors.New("connection refused")
		time.Sleep(23 * time.Hour)
		check(young, "young", "", 5) // cached keys
		check(young, "young", "", 5)
		time.Sleep(time.Hour + time.Second)
		check(young, "young", verify.KeysUnavailable, 6) // cached keys have expired
		fault = nil
		time.Sleep(30 * time.Second)
		check(young, "young", "", 7)
	})
}

func TestIssuer_ManyAtOnce(t *testing.T) {
	key := newSigner("ES256")
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked int
		hang := false
		issuer, err := verify.NewIssuer(verify.IssuerConfig{
			URL: "https://as.example.com", KeysURL: "https://as.example.com/keys", Audience: audience,
			HTTPClient: &http.Client{Transport: inProcess{func(w http.ResponseWriter, r *http.Request) error {
				mu.Lock()
				asked++
				stall := hang
				mu.Unlock()
				if stall {
					<-r.Context().Done()
					return r.Context().Err()
				}
				w.Write([]byte(m{"keys": []m{key.jwk().with(m{"kid": "1"})}}.json()))
				return nil
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		token := key.sign(`{"alg":"ES256","kid":"1"}`, m{"iss": "https://as.example.com", "aud": audience, "exp": time.Now().Add(48 * time.Hour).Unix()}.json())
		check := func() time.Duration {
			began := time.Now()
			if _, err := issuer.Token(t.Context(), token); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		all := func() (longest time.Duration, waited int) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			for range 20 {
				wg.Go(func() {
					took := check()
					mu.Lock()
					defer mu.Unlock()
					longest = max(longest, took)
					if took > 0 {
						waited++
					}
				})
			}
			wg.Wait()
			return longest, waited
		}
		if all(); asked != 1 {
			t.Errorf("cold: asked %d times by 20 requests, want once", asked)
		}
		// A hanging issuer delays one request, for 10 s.
		hang = true
		time.Sleep(2 * time.Hour)
		longest, waited := all()
		if asked != 2 || waited != 1 || longest != 10*time.Second {
			t.Errorf("hanging: asked %d times, %d waited, %v at most; want 2, 1, 10s", asked, waited, longest)
		}
		// A cancelled caller does not cancel the fetch.
		hang = false
		time.Sleep(time.Minute)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := issuer.Token(gone, token); err != nil || asked != 3 {
			t.Errorf("with a caller gone: %v, asked %d times", err, asked)
		}
	})
}

func TestIssuer_WeakKeys(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip(err) // newer Go versions reject such keys
	}
	as := newAuthServer(nil)
	defer as.Close()
	as.publish(jwkOf(&weak.PublicKey).with(m{"kid": "k1"}), as.key.jwk().with(m{"kid": "k2"}))
	issuer := newIssuer(t, as)
	s := signer{"RS256", weak}
	if _, err := issuer.Token(t.Context(), s.sign(`{"alg":"RS256","kid":"k1"}`, as.claims().json())); reasonOf(err) != verify.TokenKeyID {
		t.Errorf("%v, want %q", err, verify.TokenKeyID)
	}
}

// The age of the keys is by the clock of the configuration.
func TestKeysAgeByTheConfiguredClock(t *testing.T) {
	key := newSigner("ES256")
	now, asked := time.Now(), 0
	issuer, err := verify.NewIssuer(verify.IssuerConfig{
		URL: "https://as.example.com", KeysURL: "https://as.example.com/keys", Audience: audience, Now: func() time.Time { return now },
		HTTPClient: &http.Client{Transport: inProcess{func(w http.ResponseWriter, _ *http.Request) error {
			asked++
			w.Write([]byte(m{"keys": []m{key.jwk().with(m{"kid": "1"})}}.json()))
			return nil
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	token := key.sign(`{"alg":"ES256","kid":"1"}`, m{"iss": "https://as.example.com", "aud": audience, "exp": now.Add(48 * time.Hour).Unix()}.json())
	for _, want := range []int{1, 1, 2} {
		if _, err := issuer.Token(t.Context(), token); err != nil || asked != want {
			t.Errorf("asked %d times, want %d; %v", asked, want, err)
		}
		now = now.Add(40 * time.Minute)
	}
}

package dpopauth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"oktasync/dpopauth"
)

func TestD74_Challenges(t *testing.T) {
	type c = dpopauth.Challenge
	dpop := func(kv ...string) c {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return c{Scheme: "dpop", Params: m}
	}
	none := map[string]string{}
	for _, test := range []struct {
		fields []string
		want   []c
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{`DPoP error="use_dpop_nonce"`}, []c{dpop("error", "use_dpop_nonce")}},
		{[]string{`dPoP ERROR=use_dpop_nonce`}, []c{dpop("error", "use_dpop_nonce")}},
		{[]string{`DPoP algs="ES256 RS256", error="use_dpop_nonce"`}, []c{dpop("algs", "ES256 RS256", "error", "use_dpop_nonce")}},
		{[]string{`Bearer realm="a, b", DPoP error="x"`}, []c{{Scheme: "bearer", Params: map[string]string{"realm": "a, b"}}, dpop("error", "x")}},
		{[]string{`Negotiate abc==, Basic realm="x", DPoP error="y"`}, []c{{Scheme: "negotiate", Params: none}, {Scheme: "basic", Params: map[string]string{"realm": "x"}}, dpop("error", "y")}},
		{[]string{`Basic`, `DPoP error="x"`}, []c{{Scheme: "basic", Params: none}, dpop("error", "x")}},
		{[]string{`Basic, , DPoP error="x" ,, algs="ES256",`}, []c{{Scheme: "basic", Params: none}, dpop("error", "x", "algs", "ES256")}},
		{[]string{`DPoP error_description="say \"no\", DPoP error=\\\"x\\\"", error="y"`}, []c{dpop("error_description", `say "no", DPoP error=\"x\"`, "error", "y")}},
		{[]string{"DPoP error = \"x\"\t, algs\t=\tES256"}, []c{dpop("error", "x", "algs", "ES256")}},
		{[]string{`DPoP error="x", error="y"`}, []c{dpop("error", "x")}},
		{[]string{`DPoP error="x`}, []c{dpop()}},
		{[]string{`DPoP error="x\`}, []c{dpop()}},
		{[]string{`error="x"`}, nil},
		{[]string{`DPoP error="x"`, `error="y"`}, []c{dpop("error", "x")}},
		{[]string{`"DPoP error=x`}, nil},
		{[]string{`DPoP/error="x"`}, nil},
		{[]string{`DPoP abc/def=`}, []c{dpop()}},
	} {
		if got := dpopauth.ParseChallenges(test.fields...); !reflect.DeepEqual(got, test.want) {
			t.Errorf("challenges of %q = %v, want %v", test.fields, got, test.want)
		}
	}
	// Only an error parameter of a DPoP challenge requires a nonce.
	for field, demand := range map[string]bool{
		`DPoP error="use_dpop_nonce"`:                                    true,
		`dpop algs="ES256", error=use_dpop_nonce`:                        true,
		`Bearer error="invalid_token", DPoP error="use_dpop_nonce"`:      true,
		`Basic realm="DPoP, error=\"x\"", DPoP error="use_dpop_nonce"`:   true,
		`Bearer error="use_dpop_nonce"`:                                  false,
		`DPoP error="invalid_token", error_description="use_dpop_nonce"`: false,
		`Basic realm="DPoP error=\"use_dpop_nonce\""`:                    false,
		`DPoP nonce="use_dpop_nonce"`:                                    false,
	} {
		for _, role := range []string{"api", "token"} {
			o := newOrg(t)
			hook := func(w http.ResponseWriter, s *seen) bool {
				if s.nonce() == "n1" {
					return false
				}
				w.Header().Set("DPoP-Nonce", "n1")
				w.Header().Set("WWW-Authenticate", field)
				w.WriteHeader(400)
				return true
			}
			if role == "api" {
				o.api = hook
			} else {
				o.token = hook
			}
			status, _, err := get(t, o.transport(), o.URL+"/a")
			if ok := err == nil && status == 200; ok != demand {
				t.Errorf("%s at the %s: sent again = %v, want %v (%v)", field, role, ok, demand, err)
			}
		}
	}
}

func TestD75_ThreeSendsAtMost(t *testing.T) {
	const nonce, token, proof = "nonce", "token", "proof"
	for _, test := range []struct {
		refusals []string // the reason to reject each send; then it succeeds
		sends    int
		code     string // of the error
	}{
		{[]string{nonce}, 2, ""}, {[]string{token}, 2, ""}, {[]string{proof}, 2, ""},
		{[]string{nonce, token}, 3, ""}, {[]string{token, proof}, 3, ""}, {[]string{proof, nonce}, 3, ""},
		{[]string{nonce, nonce}, 2, "use_dpop_nonce"}, {[]string{token, token}, 2, "invalid_token"}, {[]string{proof, proof}, 2, "invalid_dpop_proof"},
		{[]string{nonce, token, proof}, 3, "invalid_dpop_proof"}, {[]string{nonce, token, nonce}, 3, "use_dpop_nonce"},
	} {
		t.Run(strings.Join(test.refusals, " "), func(t *testing.T) {
			o := newOrg(t)
			o.api = func(w http.ResponseWriter, s *seen) bool {
				if s.n > len(test.refusals) {
					return false
				}
				switch test.refusals[s.n-1] {
				case nonce:
					w.Header().Set("DPoP-Nonce", fmt.Sprint("n", s.n))
					o.challenge(w, 401, "use_dpop_nonce", "")
				case token:
					o.challenge(w, 401, "invalid_token", "")
				case proof:
					o.challenge(w, 400, "invalid_dpop_proof", "The DPoP proof JWT has already been used.")
				}
				return true
			}
			status, _, err := get(t, o.transport(), o.URL+"/a")
			if n := len(o.apiRequests()); n != test.sends {
				t.Errorf("sends = %d, want %d", n, test.sends)
			}
			if test.code == "" && (err != nil || status != 200) {
				t.Errorf("GET = %d, %v", status, err)
			}
			if test.code != "" {
				wantError(t, err, test.code)
				if again := asError(t, err).Retryable(); again != (test.code == "use_dpop_nonce") {
					t.Errorf("Retryable() of %v = %v", err, again)
				}
			}
		})
	}
	for name, field := range map[string]string{"nothing": "", "another scheme": `Basic realm="x"`, "a proxy's Bearer": "Bearer"} {
		t.Run("a 401 with "+name+" counts as the token's", func(t *testing.T) {
			o := newOrg(t)
			o.api = func(w http.ResponseWriter, s *seen) bool {
				if s.n == 1 {
					w.Header().Set("WWW-Authenticate", field)
					w.WriteHeader(401)
				}
				return s.n == 1
			}
			mustGet(t, o.transport(), o.URL+"/a")
			o.wantRequests(2, 2)
		})
	}
	t.Run("a demand without a nonce", func(t *testing.T) {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, _ *seen) bool { o.challenge(w, 401, "use_dpop_nonce", ""); return true }
		_, _, err := get(t, o.transport(), o.URL+"/a")
		if !errors.Is(err, dpopauth.ErrNonce) {
			t.Errorf("error = %v, want ErrNonce", err)
		}
		o.wantRequests(1, 1)
	})
}

func TestD76_OktaRejectsAProof(t *testing.T) {
	for about, sends := range map[string]int{
		"The DPoP proof JWT is issued more than five minutes in the past.":         2,
		"The DPoP proof JWT is issued in the future.":                              2,
		"The DPoP proof JWT has already been used.":                                2,
		"'iat' claim in the DPoP proof JWT is invalid.":                            2,
		"'htu' claim in the DPoP proof JWT is invalid.":                            1,
		"'ath' claim in the DPoP proof does not match the presented access_token.": 1,
		"The access_token is not bound to the provided DPoP proof.":                1,
		"The DPoP proof JWT signature is invalid.":                                 1,
		"Multiple DPoP proof JWT headers are not allowed.":                         1,
	} {
		t.Run(about, func(t *testing.T) {
			o := newOrg(t)
			o.api = func(w http.ResponseWriter, _ *seen) bool {
				w.Header().Set("X-Okta-Request-Id", "aZ3k")
				w.Header().Set("WWW-Authenticate", `DPoP algs="RS256 RS384 RS512 ES256 ES384 ES512", authorization_uri="http://acme.okta.com/oauth2/v1/authorize", realm="http://acme.okta.com", scope="okta.users.read", error="invalid_dpop_proof", error_description="`+about+`", resource="/api/v1/users"`)
				w.WriteHeader(400)
				return true
			}
			_, _, err := get(t, o.transport(), o.URL+"/a")
			e := asError(t, err)
			if e.Status != 400 || e.Code != "invalid_dpop_proof" || e.Description != about || e.RequestID != "aZ3k" {
				t.Errorf("error = %v", e)
			}
			o.wantRequests(1, sends)
		})
	}
	t.Run("a 400 of the API itself is the caller's", func(t *testing.T) {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, _ *seen) bool {
			w.WriteHeader(400)
			io.WriteString(w, "E0000031")
			return true
		}
		status, body, err := get(t, o.transport(), o.URL+"/a")
		if status != 400 || body != "E0000031" || err != nil {
			t.Errorf("GET = %d %q, %v", status, body, err)
		}
	})
	t.Run("a bound token without DPoP", func(t *testing.T) {
		o := newOrg(t, func(o *org) { o.unbound = true })
		o.api = func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_request", error_description="The resource request requires a DPoP proof."`)
			w.WriteHeader(400)
			return true
		}
		_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.Bearer = true }), o.URL+"/a")
		wantError(t, err, "400 invalid_request", "requires a DPoP proof")
	})
}

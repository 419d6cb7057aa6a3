package dpopauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth"
)

func TestD40_ClaimsOfTheAssertion(t *testing.T) {
	bubble(t, "as Okta requires them", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/a")
		s := o.tokenRequests()[0]
		number := func(name string) int64 {
			n, err := s.claims[name].(interface{ Int64() (int64, error) }).Int64()
			if err != nil {
				t.Errorf("%s = %v, want an integer", name, s.claims[name])
			}
			return n
		}
		if s.claims["iss"] != "0oa1" || s.claims["sub"] != "0oa1" || s.claims["aud"] != o.URL+"/oauth2/v1/token" {
			t.Errorf("claims = %v", s.claims)
		}
		if life := number("exp") - s.at.Unix(); life <= 0 || life > 300 {
			t.Errorf("exp is %d s ahead, want at most 300", life)
		}
		if back := s.at.Unix() - number("iat"); back < 30 || back > 32 {
			t.Errorf("iat is %d s back, want 30", back)
		}
		if id, _ := s.claims["jti"].(string); len(id) != 26 {
			t.Errorf("jti = %q, want 26 characters of 5 bits", id)
		}
		if len(s.claims) != 6 {
			t.Errorf("claims = %v, want six", s.claims)
		}
	})
	bubble(t, "for the issuer", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/a")
		if aud := o.tokenRequests()[0].claims["aud"]; aud != "https://issuer.example" {
			t.Errorf("aud = %v", aud)
		}
	}, func(c *dpopauth.Config) { c.Audience = "https://issuer.example" })
	t.Run("odd client ids are not escaped more than JSON needs", func(t *testing.T) {
		o := newOrg(t)
		id := "a<b>&\"c\" \\ é\x01"
		mustGet(t, o.transport(func(c *dpopauth.Config) { c.ClientID = id }), o.URL+"/a")
		_, claims, _ := parts(t, o.tokenRequests()[0].form.Get("client_assertion"))
		if !strings.Contains(string(claims), `"iss":"a<b>&\"c\" \\ é\u0001"`) {
			t.Errorf("claims = %s", claims)
		}
	})
}

func TestD41_NewAssertionAndProofForEveryAttempt(t *testing.T) {
	for name, fault := range map[string]func(o *org, w http.ResponseWriter, s *seen){
		"nonce": func(o *org, w http.ResponseWriter, _ *seen) {
			w.Header().Set("DPoP-Nonce", "n1")
			o.oauthError(w, 400, "use_dpop_nonce", "")
		},
		"500":   func(_ *org, w http.ResponseWriter, _ *seen) { w.WriteHeader(500) },
		"429":   func(_ *org, w http.ResponseWriter, _ *seen) { w.WriteHeader(429) },
		"reset": func(_ *org, w http.ResponseWriter, _ *seen) { hangUp(w) },
		"hangs": func(*org, http.ResponseWriter, *seen) { time.Sleep(time.Minute) },
	} {
		bubble(t, name, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.token = func(w http.ResponseWriter, s *seen) bool {
				if s.n == 1 {
					fault(o, w, s)
				}
				return s.n == 1
			}
			mustGet(t, tr, o.URL+"/a") // the org reports a repeated assertion or proof
			o.wantRequests(2, 1)
			a, b := o.tokenRequests()[0], o.tokenRequests()[1]
			if a.claims["jti"] == b.claims["jti"] || a.jti() == b.jti() {
				t.Error("an id was used again")
			}
			if name == "hangs" && a.claims["iat"] == b.claims["iat"] {
				t.Error("iat is of the first attempt")
			}
		})
	}
}

// hangUp closes the connection without a response.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.Close()
	}
}

func TestD42_FormOfTheTokenRequest(t *testing.T) {
	o := newOrg(t)
	tr := o.transport(func(c *dpopauth.Config) { c.Scopes = []string{"okta.users.read", "okta.groups.read"} })
	mustGet(t, tr, o.URL+"/a")
	s := o.tokenRequests()[0]
	want := url.Values{
		"grant_type":            {"client_credentials"},
		"scope":                 {"okta.users.read okta.groups.read"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      s.form["client_assertion"],
	}
	if s.form.Encode() != want.Encode() {
		t.Errorf("form has %d fields, want %d others or alike", len(s.form), len(want))
	}
	if s.method != "POST" || s.header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("request = %s %s", s.method, s.header.Get("Content-Type"))
	}
	if s.uri != "/oauth2/v1/token" || s.header["Authorization"] != nil {
		t.Errorf("uri = %s, Authorization = %v", s.uri, s.header["Authorization"])
	}
	t.Run("no scopes, no field", func(t *testing.T) {
		o := newOrg(t)
		mustGet(t, o.transport(func(c *dpopauth.Config) { c.Scopes = nil }), o.URL+"/a")
		if _, ok := o.tokenRequests()[0].form["scope"]; ok {
			t.Error("an empty scope was sent")
		}
	})
}

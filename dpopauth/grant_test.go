package dpopauth_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth"
)

func TestD40_ClaimsOfTheAssertion(t *testing.T) {
	bubble(t, "as Okta wants them", func(t *testing.T, o *org, tr *dpopauth.Transport) {
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
		if id, _ := s.claims["jti"].(string); len(id) != 22 {
			t.Errorf("jti = %q, want 128 bits", id)
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
			mustGet(t, tr, o.URL+"/a") // the org complains of an assertion or a proof seen before
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

// hangUp closes the connection without an answer.
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

func TestD44_FirstRequestHasAProofAndNoNonce(t *testing.T) {
	o := newOrg(t)
	tr := o.transport()
	mustGet(t, tr, o.URL+"/a")
	o.wantRequests(1, 1)
	if s := o.tokenRequests()[0]; len(s.proofs) != 1 || s.nonce() != "" {
		t.Errorf("proofs = %d, nonce = %q", len(s.proofs), s.nonce())
	}
}

func TestD45_NonceOfTheTokenEndpoint(t *testing.T) {
	for name, demand := range map[string]func(o *org, w http.ResponseWriter){
		"400, JSON": func(o *org, w http.ResponseWriter) { o.oauthError(w, 400, "use_dpop_nonce", "") },
		"401, JSON": func(o *org, w http.ResponseWriter) { o.oauthError(w, 401, "use_dpop_nonce", "") },
		"401, WWW-Authenticate": func(_ *org, w http.ResponseWriter) {
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.WriteHeader(401)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrg(t)
			o.token = func(w http.ResponseWriter, s *seen) bool {
				if s.nonce() == "n1" {
					return false
				}
				w.Header().Set("DPoP-Nonce", "n1")
				demand(o, w)
				return true
			}
			mustGet(t, o.transport(), o.URL+"/a")
			o.wantRequests(2, 1) // the org complains of a jti seen before
			if n := o.tokenRequests()[1].nonce(); n != "n1" {
				t.Errorf("nonce = %q, want n1", n)
			}
		})
	}
}

func TestD46_NonceThatNeverSuffices(t *testing.T) {
	for _, test := range []struct {
		name   string
		nonces []string // of the header
		sends  int
	}{
		{"none", nil, 1},
		{"empty", []string{""}, 1},
		{"invalid", []string{`a"b`}, 1},
		{"two", []string{"a", "b"}, 1},
		{"for ever", []string{"n1"}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOrg(t)
			o.token = func(w http.ResponseWriter, _ *seen) bool {
				w.Header()["Dpop-Nonce"] = test.nonces
				w.WriteHeader(400)
				io.WriteString(w, `{"error":"use_dpop_nonce"}`)
				return true
			}
			_, _, err := get(t, o.transport(), o.URL+"/a")
			if !errors.Is(err, dpopauth.ErrNonce) {
				t.Errorf("error = %v, want ErrNonce", err)
			}
			wantError(t, err, "400 use_dpop_nonce")
			o.wantRequests(test.sends, 0)
		})
	}
}

func TestD47_TokenType(t *testing.T) {
	for _, test := range []struct {
		mode dpopauth.Mode
		kind any
		good bool
	}{
		{dpopauth.Required, "DPoP", true}, {dpopauth.Required, "dpop", true}, {dpopauth.Required, "DPOP", true},
		{dpopauth.Required, "Bearer", false}, {dpopauth.Required, "", false}, {dpopauth.Required, nil, false},
		{dpopauth.Required, 7, false}, {dpopauth.Required, "N_A", false},
		{dpopauth.Off, "Bearer", true}, {dpopauth.Off, "bearer", true}, {dpopauth.Off, "DPoP", false},
	} {
		t.Run(fmt.Sprint(test.mode, " ", test.kind), func(t *testing.T) {
			o := newOrg(t)
			o.unbound = test.mode == dpopauth.Off
			o.members = map[string]any{"token_type": test.kind}
			_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.Mode = test.mode }), o.URL+"/a")
			if test.good {
				if err != nil {
					t.Error(err)
				}
				o.wantRequests(1, 1)
				return
			}
			if !errors.Is(err, dpopauth.ErrTokenType) {
				t.Fatalf("error = %v, want ErrTokenType", err)
			}
			if hint := asError(t, err).Hint(); !strings.Contains(hint, "requires DPoP") || !strings.Contains(hint, "strips") {
				t.Errorf("hint = %q", hint)
			}
			o.wantRequests(1, 0)
		})
	}
	t.Run("mode off sends no proof", func(t *testing.T) {
		o := newOrg(t)
		o.unbound = true
		tr := o.transport(func(c *dpopauth.Config) { c.Mode = dpopauth.Off })
		mustGet(t, tr, o.URL+"/a")
		for _, s := range append(o.tokenRequests(), o.apiRequests()...) {
			if len(s.proofs) != 0 {
				t.Error("a proof was sent")
			}
		}
		if got := o.apiRequests()[0].header.Get("Authorization"); !strings.HasPrefix(got, "Bearer tok-") {
			t.Errorf("Authorization has the scheme %.6q, want Bearer", got)
		}
		if got := tr.Status().Thumbprint; got != "" {
			t.Errorf("thumbprint = %s, want none", got)
		}
	})
}

func TestD48_AccessToken(t *testing.T) {
	for name, value := range map[string]any{
		"absent": nil, "empty": "", "a number": 7, "an object": map[string]any{}, "too long": strings.Repeat("x", 16<<10+1),
		"with CR LF": "tok\r\nX-Evil: 1", "with a space": "tok en", "not ASCII": "tök", "with DEL": "tok\x7f",
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrg(t)
			o.members = map[string]any{"access_token": value}
			_, _, err := get(t, o.transport(), o.URL+"/a")
			if !errors.Is(err, dpopauth.ErrAnswer) || strings.Contains(fmt.Sprint(err), "tok\r") {
				t.Errorf("error = %v, want ErrAnswer", err)
			}
			o.wantRequests(1, 0)
		})
	}
	t.Run("what else there is does no harm", func(t *testing.T) {
		o := newOrg(t)
		o.members = map[string]any{"refresh_token": "r", "id_token": 7, "x": []int{1}}
		mustGet(t, o.transport(), o.URL+"/a")
		o.wantRequests(1, 1)
	})
	t.Run("16 KiB will do", func(t *testing.T) {
		o := newOrg(t)
		long := strings.Repeat("x", 16<<10)
		o.live[long] = ""
		o.members = map[string]any{"access_token": long}
		o.api = func(http.ResponseWriter, *seen) bool { return true }
		mustGet(t, o.transport(), o.URL+"/a")
	})
}

func TestD49_ExpiresIn(t *testing.T) {
	for raw, want := range map[string]time.Duration{
		"": 5 * time.Minute, "null": 5 * time.Minute,
		"3600": time.Hour, `"3600"`: time.Hour, "3600.0": time.Hour, "3.6e3": time.Hour, "1": time.Second, "1.5": 1500 * time.Millisecond,
		"1000000000000000000": 24 * time.Hour, "1e400": 24 * time.Hour, `"1e18"`: 24 * time.Hour,
		"0": 0, "-1": 0, "0.4": 0, `"NaN"`: 0, `"Infinity"`: 0, `"inf"`: 0, `"0x10"`: 0, `"1_000"`: 0, `" 3600"`: 0, `""`: 0, `"soon"`: 0, "{}": 0, "[3600]": 0, "true": 0,
	} {
		bubble(t, raw, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.token = func(w http.ResponseWriter, s *seen) bool {
				member := ""
				if raw != "" {
					member = `,"expires_in":` + raw
				}
				o.live["tok"] = s.jkt
				fmt.Fprintf(w, `{"access_token":"tok","token_type":"DPoP"%s}`, member)
				return true
			}
			start := time.Now()
			_, _, err := get(t, tr, o.URL+"/a")
			if want == 0 {
				if !errors.Is(err, dpopauth.ErrAnswer) {
					t.Errorf("error = %v, want ErrAnswer", err)
				}
				return
			}
			if got := tr.Status().Expiry.Sub(start); err != nil || got != want {
				t.Errorf("life = %v, %v, want %v", got, err, want)
			}
		})
	}
	bubble(t, "a renewal does not keep the old expiry", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/a")
		o.members = map[string]any{"expires_in": nil}
		time.Sleep(time.Hour)
		mustGet(t, tr, o.URL+"/a")
		if got := time.Until(tr.Status().Expiry); got != 5*time.Minute {
			t.Errorf("life = %v, want 5 min", got)
		}
	})
}

func TestD50_ScopesThatWereNotGranted(t *testing.T) {
	for _, test := range []struct {
		granted any
		missing string
	}{
		{"b a", ""}, {"a  b c", ""}, {nil, ""},
		{"a", ": b"}, {"", ": a b"}, {"ab", ": a b"}, {7, ": a b"},
	} {
		o := newOrg(t)
		o.members = map[string]any{"scope": test.granted}
		_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.Scopes = []string{"a", "b"} }), o.URL+"/a")
		switch {
		case test.missing == "" && err != nil:
			t.Errorf("scope %v: %v", test.granted, err)
		case test.missing != "":
			if !errors.Is(err, dpopauth.ErrScope) {
				t.Errorf("error = %v, want ErrScope", err)
			}
			wantError(t, err, "not granted"+test.missing)
		}
	}
}

func TestD51_ErrorAnswers(t *testing.T) {
	answer := func(status int, body string) func(http.ResponseWriter, *seen) bool {
		return func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Okta-Request-Id", "YC8k0rH3lVXzqkPlCS5a9AAADW0")
			w.WriteHeader(status)
			io.WriteString(w, body)
			return true
		}
	}
	for _, test := range []struct {
		status            int
		body              string
		code, description string
		hint              string
	}{
		{401, `{"error":"invalid_client","error_description":"The client_assertion signature is invalid."}`, "invalid_client", "The client_assertion signature is invalid.", "thumbprint"},
		{400, `{"error":"invalid_scope","error_description":"One or more scopes are not configured."}`, "invalid_scope", "One or more scopes are not configured.", "scopes"},
		{400, `{"error":"consent_required","error_description":"You are not allowed any of the requested scopes."}`, "consent_required", "You are not allowed any of the requested scopes.", "grant the scopes"},
		{400, `{"error":"unauthorized_client"}`, "unauthorized_client", "", "service app"},
		{400, `{"error":"invalid_dpop_proof","error_description":"The DPoP proof JWT header is missing."}`, "invalid_dpop_proof", "The DPoP proof JWT header is missing.", "clock"},
		{401, `{"errorCode":"invalid_client","errorSummary":"Invalid value for 'client_id' parameter.","errorLink":"invalid_client","errorId":"oae1","errorCauses":[]}`, "invalid_client", "Invalid value for 'client_id' parameter.", "thumbprint"},
		{401, `{"errorCode":"E0000015","errorSummary":"You do not have permission to access the feature you are requesting"}`, "E0000015", "You do not have permission to access the feature you are requesting", ""},
		{400, `{"error":"invalid_request","error_description":"bad` + "\\n\\u001b[31m" + ` eyJhbGciOiJFUzI1NiIsInR5cCI6ImRwb3Arand0In0.x ` + strings.Repeat("so long ", 50) + `"}`, "invalid_request", "bad [31m [cut] so long", ""},
	} {
		t.Run(test.code, func(t *testing.T) {
			o := newOrg(t)
			o.token = answer(test.status, test.body)
			_, _, err := get(t, o.transport(), o.URL+"/a")
			e := asError(t, err)
			if e.Status != test.status || e.Code != test.code || !strings.HasPrefix(e.Description, test.description) || e.RequestID != "YC8k0rH3lVXzqkPlCS5a9AAADW0" {
				t.Errorf("error = %#v", e)
			}
			if len(e.Description) > 200 || strings.ContainsAny(e.Description, "\n\x1b") || strings.Contains(e.Error(), "eyJ") {
				t.Errorf("description = %q", e.Description)
			}
			if !strings.Contains(e.Hint(), test.hint) || test.hint == "" && e.Hint() != "" {
				t.Errorf("hint = %q, want %q in it", e.Hint(), test.hint)
			}
			if e.Retryable() {
				t.Error("Retryable() = true")
			}
			o.wantRequests(1, 0)
		})
	}
	bubble(t, "one retry where the Date shows a skew", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.now = ahead(-10 * time.Minute)
		o.token = func(w http.ResponseWriter, s *seen) bool {
			o.oauthError(w, 401, "invalid_client", "The client_assertion token must be issued before the current time.")
			return true
		}
		_, _, err := get(t, tr, o.URL+"/a")
		wantError(t, err, "invalid_client")
		o.wantRequests(2, 0)
	})
}

func TestD52_AnswersThatAreNone(t *testing.T) {
	for _, status := range []int{200, 400, 403, 404} {
		for name, body := range map[string]string{
			"HTML": "<html>secret stuff</html>", "empty": "", "truncated": `{"access_token":"secret stu`,
			"doubled key": `{"error":"a","error":"b","access_token":"a","access_token":"b"}`, "trailing": `{"error":"x","access_token":"secret"}{}`,
			"array": `["secret stuff"]`, "string": `"secret stuff"`, "null": "null", "bad UTF-8": "{\"error\":\"\xff\"}", "deep": strings.Repeat("[", 20000),
		} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				o := newOrg(t)
				o.token = func(w http.ResponseWriter, _ *seen) bool {
					w.Header().Set("Content-Type", "text/html; charset=utf-8")
					w.WriteHeader(status)
					io.WriteString(w, body)
					return true
				}
				_, _, err := get(t, o.transport(), o.URL+"/a")
				if !errors.Is(err, dpopauth.ErrAnswer) {
					t.Errorf("error = %v, want ErrAnswer", err)
				}
				wantError(t, err, fmt.Sprint(status), "text/html")
				if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
					t.Errorf("error = %q shows the body", err)
				}
				o.wantRequests(1, 0)
			})
		}
	}
	t.Run("no media type", func(t *testing.T) {
		o := newOrg(t)
		o.token = func(w http.ResponseWriter, _ *seen) bool {
			w.Header()["Content-Type"] = nil
			w.WriteHeader(200)
			return true
		}
		_, _, err := get(t, o.transport(), o.URL+"/a")
		wantError(t, err, "without a media type")
	})
}

func TestD53_TroubleIsRetried(t *testing.T) {
	for name, trouble := range map[string]func(http.ResponseWriter){
		"500": func(w http.ResponseWriter) { w.WriteHeader(500) }, "502": func(w http.ResponseWriter) { w.WriteHeader(502) },
		"503": func(w http.ResponseWriter) { w.WriteHeader(503) }, "429": func(w http.ResponseWriter) { w.WriteHeader(429) },
		"hang-up": hangUp,
		"overload as Okta says it": func(w http.ResponseWriter) {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"temporarily_unavailable"}`)
		},
		"answer cut short": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			hangUp(w)
		},
	} {
		for _, failures := range []int{3, 4} {
			bubble(t, fmt.Sprint(name, ", times ", failures), func(t *testing.T, o *org, tr *dpopauth.Transport) {
				o.token = func(w http.ResponseWriter, s *seen) bool {
					if s.n <= failures {
						trouble(w)
					}
					return s.n <= failures
				}
				start := time.Now()
				_, _, err := get(t, tr, o.URL+"/a")
				if took := time.Since(start); took == 0 || took > 3500*time.Millisecond {
					t.Errorf("took %v, want back-off of at most 0.5 + 1 + 2 s", took)
				}
				if failures == 3 {
					if err != nil {
						t.Error(err)
					}
					o.wantRequests(4, 1)
					return
				}
				if e := asError(t, err); !e.Retryable() {
					t.Errorf("Retryable() of %v = false", e)
				}
				o.wantRequests(4, 0)
			})
		}
	}
	for _, status := range []int{400, 401, 403, 404, 405, 413, 422} {
		t.Run(fmt.Sprint(status, " is not"), func(t *testing.T) {
			o := newOrg(t)
			o.token = func(w http.ResponseWriter, _ *seen) bool { o.oauthError(w, status, "access_denied", ""); return true }
			_, _, err := get(t, o.transport(), o.URL+"/a")
			wantError(t, err, "access_denied")
			o.wantRequests(1, 0)
		})
	}
	for _, test := range []struct {
		after    string // Retry-After
		min, max time.Duration
	}{
		{"7", 7 * time.Second, 7 * time.Second},
		{"date", 9 * time.Second, 11 * time.Second}, // 10 s after the server's Date
		{"86400", 30 * time.Second, 30 * time.Second},
		{"99999999999999999999", 0, time.Second},
		{"reset", 9 * time.Second, 12 * time.Second}, // Okta's way
		{"-5", 0, time.Second}, {"soon", 0, time.Second}, {"Sun, 06 Nov 1994 08:49:37 GMT", 0, time.Second},
	} {
		bubble(t, "Retry-After: "+test.after, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.now = ahead(5 * time.Minute)
			o.past = time.Hour
			o.token = func(w http.ResponseWriter, s *seen) bool {
				if s.n > 1 {
					return false
				}
				switch end := o.now().Add(10 * time.Second); test.after {
				case "date":
					w.Header().Set("Retry-After", end.UTC().Format(http.TimeFormat))
				case "reset":
					w.Header().Set("X-Rate-Limit-Reset", fmt.Sprint(end.Unix()))
				default:
					w.Header().Set("Retry-After", test.after)
				}
				w.WriteHeader(503)
				return true
			}
			start := time.Now()
			mustGet(t, tr, o.URL+"/a")
			if took := time.Since(start); took < test.min || took > test.max {
				t.Errorf("waited %v, want %v to %v", took, test.min, test.max)
			}
		})
	}
}

func TestD54_RedirectOfTheTokenEndpoint(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		evil := newOrg(t, func(o *org) { o.lax = true })
		o := newOrg(t)
		o.token = func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("Location", evil.URL+"/oauth2/v1/token?secret=1")
			w.WriteHeader(status)
			return true
		}
		_, _, err := get(t, o.transport(), o.URL+"/a")
		if !errors.Is(err, dpopauth.ErrRedirect) {
			t.Errorf("error = %v, want ErrRedirect", err)
		}
		wantError(t, err, strings.TrimPrefix(evil.URL, "https://"))
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("error = %v shows the query", err)
		}
		o.wantRequests(1, 0)
		evil.wantRequests(0, 0)
	}
}

func TestD55_SizeOfTheAnswer(t *testing.T) {
	huge := strings.Repeat(" ", 2<<20)
	for name, answer := range map[string]func(http.ResponseWriter, int){
		"plain": func(w http.ResponseWriter, status int) { w.WriteHeader(status); io.WriteString(w, huge) },
		"compressed": func(w http.ResponseWriter, status int) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(status)
			z := gzip.NewWriter(w)
			io.WriteString(z, huge)
			z.Close()
		},
	} {
		for _, status := range []int{200, 400} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				o := newOrg(t)
				o.token = func(w http.ResponseWriter, _ *seen) bool { answer(w, status); return true }
				_, _, err := get(t, o.transport(), o.URL+"/a")
				wantError(t, err, "longer than 1 MiB")
				o.wantRequests(1, 0)
			})
		}
	}
	t.Run("the connection is used again", func(t *testing.T) {
		o := newOrg(t)
		o.demand("token", "n1")
		base := o.base()
		var dials int
		dial := base.DialContext
		if dial == nil {
			dial = (&net.Dialer{}).DialContext
		}
		base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials++
			return dial(ctx, network, addr)
		}
		mustGet(t, o.transport(func(c *dpopauth.Config) { c.Base = base }), o.URL+"/a")
		o.wantRequests(2, 1)
		if dials != 1 {
			t.Errorf("connections = %d, want 1", dials)
		}
	})
}

func TestD56_WhereSecretsMayGo(t *testing.T) {
	o := newOrg(t)
	for _, u := range []string{"http://acme.okta.com", "http://127.0.0.1.nip.io", "http://localhost.evil.example", "ftp://127.0.0.1", "https://", "https:acme", "/oauth2", "", "://", "https://user:pw@acme.okta.com", "https://acme.okta.com?x=1", "https://acme.okta.com?", "https://acme.okta.com#x"} {
		cfg := o.config()
		cfg.TokenURL = u
		_, err := dpopauth.New(cfg)
		wantError(t, err, "token URL: ")
		cfg = o.config()
		cfg.Origins = append(cfg.Origins, u)
		_, err = dpopauth.New(cfg)
		wantError(t, err, "origin: ")
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("error = %v shows the password", err)
		}
	}
	for _, u := range []string{"http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost", "https://acme.okta.com"} {
		cfg := o.config()
		cfg.TokenURL, cfg.Origins = u+"/token", []string{u}
		if _, err := dpopauth.New(cfg); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	t.Run("other settings that can't be", func(t *testing.T) {
		for want, change := range map[string]func(*dpopauth.Config){
			"no origin":           func(c *dpopauth.Config) { c.Origins = nil },
			"no client ID":        func(c *dpopauth.Config) { c.ClientID = "" },
			"no client key":       func(c *dpopauth.Config) { c.ClientKey = nil },
			"is no mode":          func(c *dpopauth.Config) { c.Mode = 7 },
			"an origin has no p":  func(c *dpopauth.Config) { c.Origins = []string{"https://acme.okta.com/api"} },
			"check certificates":  func(c *dpopauth.Config) { c.Base = insecure(&tls.Config{InsecureSkipVerify: true}) },
			"takes TLS before 1.": func(c *dpopauth.Config) { c.Base = insecure(&tls.Config{MinVersion: tls.VersionTLS11}) },
		} {
			cfg := o.config()
			change(&cfg)
			_, err := dpopauth.New(cfg)
			wantError(t, err, want)
		}
	})
	t.Run("unknown authority", func(t *testing.T) {
		for name, base := range map[string]http.RoundTripper{"nil": nil, "a transport": &http.Transport{}} {
			_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.Base = base }), o.URL+"/a")
			wantError(t, err, "certificate")
			if e := asError(t, err); e.Retryable() {
				t.Errorf("%s: Retryable() = true", name)
			}
		}
		o.wantRequests(0, 0)
	})
	t.Run("TLS 1.1", func(t *testing.T) {
		old := httptest.NewUnstartedServer(http.NotFoundHandler())
		old.Config.ErrorLog = o.Config.ErrorLog
		old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		old.StartTLS()
		defer old.Close()
		var tries int
		_, _, err := get(t, o.transport(func(c *dpopauth.Config) {
			c.TokenURL = old.URL + "/token"
			c.OnTokenRequest = func(dpopauth.TokenRequest) { tries++ }
		}), o.URL+"/a")
		wantError(t, err, "protocol version")
	})
}

func insecure(c *tls.Config) http.RoundTripper { return &http.Transport{TLSClientConfig: c} }

func TestD57_ServersThatHang(t *testing.T) {
	for name, hang := range map[string]func(o *org, base *http.Transport){
		"connect": func(_ *org, base *http.Transport) {
			base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
		"TLS": func(_ *org, base *http.Transport) {
			base.DialContext = func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go io.Copy(io.Discard, server)
				return client, nil
			}
		},
		"headers": func(o *org, _ *http.Transport) {
			o.token = func(http.ResponseWriter, *seen) bool { time.Sleep(time.Hour); return true }
		},
		"body": func(o *org, _ *http.Transport) {
			o.token = func(w http.ResponseWriter, _ *seen) bool {
				io.WriteString(w, "{")
				w.(http.Flusher).Flush()
				time.Sleep(time.Hour)
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := startOrg(t, true, newPipeListener())
				base := o.base()
				base.TLSHandshakeTimeout = 0
				hang(o, base)
				var at []time.Duration
				start := time.Now()
				tr := o.transport(func(c *dpopauth.Config) {
					c.Base = base
					c.OnTokenRequest = func(dpopauth.TokenRequest) { at = append(at, time.Since(start)) }
				})
				_, _, err := get(t, tr, o.URL+"/a")
				if e := asError(t, err); !e.Retryable() || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error = %v, want a retryable one", err)
				}
				wantError(t, err, "no whole answer within 30s")
				if total := time.Since(start); total > 2*time.Minute+time.Second {
					t.Errorf("gave up after %v, want at most 2 min", total)
				}
				last := time.Duration(0)
				for _, d := range at {
					if d-last > 33*time.Second {
						t.Errorf("a try took %v, want at most 30 s", d-last)
					}
					last = d
				}
				if len(at) < 3 {
					t.Errorf("tries = %d", len(at))
				}
				base.CloseIdleConnections()
			})
		})
	}
}

func TestD58_CancelledCallers(t *testing.T) {
	slow := func(o *org) {
		o.token = func(http.ResponseWriter, *seen) bool { time.Sleep(10 * time.Second); return false }
	}
	// call sends a GET whose context ends after d, and returns how long it took.
	call := func(t *testing.T, o *org, tr *dpopauth.Transport, d time.Duration) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", o.URL+"/a", nil)
		if err != nil {
			return 0, err
		}
		start := time.Now()
		resp, err := tr.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		return time.Since(start), err
	}
	bubble(t, "returns at once and leaves the fetch to others", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		slow(o)
		var wg sync.WaitGroup
		wg.Go(func() { mustGet(t, tr, o.URL+"/a") })
		synctest.Wait()
		if took, err := call(t, o, tr, time.Second); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("returned after %v with %v", took, err)
		}
		wg.Wait()
		o.wantRequests(1, 1)
	})
	bubble(t, "the last one ends the fetch", func(t *testing.T, o *org, _ *dpopauth.Transport) {
		ended := make(chan time.Duration, 1)
		start := time.Now()
		cfg := o.config()
		base := cfg.Base
		cfg.Base = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/oauth2/v1/token" {
				context.AfterFunc(r.Context(), func() {
					select {
					case ended <- time.Since(start):
					default:
					}
				})
			}
			return base.RoundTrip(r)
		})
		slow(o)
		tr, err := dpopauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			go call(t, o, tr, time.Second)
		}
		if took := <-ended; took != time.Second {
			t.Errorf("the fetch ended after %v, want 1 s", took)
		}
		synctest.Wait()
		mustGet(t, tr, o.URL+"/a") // and is no error that is kept
		o.wantRequests(2, 1)
	})
	bubble(t, "in back-off", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.token = func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("Retry-After", "20")
			w.WriteHeader(503)
			return true
		}
		if took, err := call(t, o, tr, 3*time.Second); took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("returned after %v with %v", took, err)
		}
		synctest.Wait()
		time.Sleep(time.Hour)
		o.wantRequests(1, 0)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

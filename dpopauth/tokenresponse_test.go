package dpopauth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth"
)

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
			o.wantRequests(2, 1) // the org reports a repeated jti
			if n := o.tokenRequests()[1].nonce(); n != "n1" {
				t.Errorf("nonce = %q, want n1", n)
			}
		})
	}
}

func TestD46_RepeatedNonceChallenge(t *testing.T) {
	for _, test := range []struct {
		name   string
		nonces []string // DPoP-Nonce headers
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
		bearer bool
		kind   any
		valid  bool
	}{
		{false, "DPoP", true}, {false, "dpop", true}, {false, "DPOP", true},
		{false, "Bearer", false}, {false, "", false}, {false, nil, false},
		{false, 7, false}, {false, "N_A", false},
		{true, "Bearer", true}, {true, "bearer", true}, {true, "DPoP", false},
	} {
		t.Run(fmt.Sprint("bearer ", test.bearer, " ", test.kind), func(t *testing.T) {
			o := newOrg(t)
			o.unbound = test.bearer
			o.members = map[string]any{"token_type": test.kind}
			_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.Bearer = test.bearer }), o.URL+"/a")
			if test.valid {
				if err != nil {
					t.Error(err)
				}
				o.wantRequests(1, 1)
				return
			}
			if !errors.Is(err, dpopauth.ErrTokenType) {
				t.Fatalf("error = %v, want ErrTokenType", err)
			}
			if hint := asError(t, err).Hint(); !strings.Contains(hint, "DPoP is on in both") || !strings.Contains(hint, "removes") {
				t.Errorf("hint = %q", hint)
			}
			o.wantRequests(1, 0)
		})
	}
	t.Run("Bearer sends no proof", func(t *testing.T) {
		o := newOrg(t)
		o.unbound = true
		tr := o.transport(func(c *dpopauth.Config) { c.Bearer = true })
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
			if !errors.Is(err, dpopauth.ErrResponse) || strings.Contains(fmt.Sprint(err), "tok\r") {
				t.Errorf("error = %v, want ErrResponse", err)
			}
			o.wantRequests(1, 0)
		})
	}
	t.Run("by another name", func(t *testing.T) { // encoding/json ignores the case of names
		o := newOrg(t)
		o.members = map[string]any{"access_token": nil, "Access_Token": "tok", "ACCESS_TOKEN": "tok"}
		if _, _, err := get(t, o.transport(), o.URL+"/a"); !errors.Is(err, dpopauth.ErrResponse) {
			t.Errorf("error = %v, want ErrResponse", err)
		}
	})
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
				if !errors.Is(err, dpopauth.ErrResponse) {
					t.Errorf("error = %v, want ErrResponse", err)
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

func TestD50_MissingScopes(t *testing.T) {
	for _, test := range []struct {
		granted  any
		missing  string
		optional []string
	}{
		{"b a", "", nil}, {"a  b c", "", nil}, {nil, "", nil},
		{"a", ": b", nil}, {"", ": a b", nil}, {"ab", ": a b", nil}, {7, ": a b", nil},
		{"a", "", []string{"b"}}, {"b", ": a", []string{"b"}},
	} {
		o := newOrg(t)
		o.members = map[string]any{"scope": test.granted}
		_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.Scopes, c.OptionalScopes = []string{"a", "b"}, test.optional }), o.URL+"/a")
		switch {
		case test.missing == "" && err != nil:
			t.Errorf("scope %v: %v", test.granted, err)
		case test.missing != "":
			if !errors.Is(err, dpopauth.ErrScope) {
				t.Errorf("error = %v, want ErrScope", err)
			}
			wantError(t, err, "not granted"+test.missing)
			var scopes *dpopauth.ScopeError
			if !errors.As(err, &scopes) || ": "+strings.Join(scopes.Missing, " ") != test.missing || len(scopes.Granted)+len(scopes.Missing) != 2 {
				t.Errorf("scopes = %+v, want%s missing and the rest granted", scopes, test.missing)
			}
		}
	}
}

func TestD51_ErrorResponses(t *testing.T) {
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
		{401, `{"errorCode":"invalid_client","errorSummary":"Invalid value for 'client_id' parameter.","errorLink":"invalid_client","errorId":"oae1","errorCauses":[]}`, "invalid_client", "Invalid value for 'client_id' parameter.", "no app"},
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

func TestHintsForInvalidClient(t *testing.T) {
	key := clientKey()
	for _, test := range []struct {
		description string
		part        dpopauth.Part
		hint        string
	}{
		{"Invalid value for 'client_id' parameter.", dpopauth.PartClient, `the org has no app "0oa1"`},
		{"The issuer claim for client_assertion is not a valid client_id.", dpopauth.PartClient, `the org has no app "0oa1"`},
		{"The audience claim for client_assertion must be the endpoint invoked for the request.", dpopauth.PartAudience, "org URL"},
		{"The client_assertion token is expired.", dpopauth.PartTime, "clock"},
		{"Client Credentials requests to the Org Authorization Server must use the private_key_jwt token_endpoint_auth_method.", dpopauth.PartMethod, "service app"},
		{"The client_assertion token has already been used.", dpopauth.PartReplay, "repeats requests"},
		{"No client credentials found.", dpopauth.PartMissing, "without the client assertion"},
		{"The client_assertion signature is invalid.", dpopauth.PartKey, "thumbprint " + key.Thumbprint() + ", and no other key"},
		{"", dpopauth.PartKey, "thumbprint " + key.Thumbprint() + ", and no other key"},
	} {
		o := newOrg(t)
		o.token = func(w http.ResponseWriter, _ *seen) bool {
			o.oauthError(w, 401, "invalid_client", test.description)
			return true
		}
		_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.ClientKey = key.WithID("") }), o.URL+"/a")
		if part := asError(t, err).Part; part != test.part {
			t.Errorf("part for %q = %q, want %q", test.description, part, test.part)
		}
		hint := asError(t, err).Hint()
		if !strings.Contains(hint, test.hint) || strings.Contains(hint, "kid") {
			t.Errorf("hint for %q = %q, want %q in it and no kid", test.description, hint, test.hint)
		}
	}
}

// Fetch sends one token request, and caches the token.
func TestFetch(t *testing.T) {
	o := newOrg(t)
	tr := o.transport()
	for range 2 {
		if err := tr.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := tr.Status(); got.Counters.Granted["first"] != 1 || got.Expiry.IsZero() {
		t.Errorf("status = %+v, want one token fetched and held", got)
	}
	o.token = func(w http.ResponseWriter, _ *seen) bool { o.oauthError(w, 401, "invalid_client", ""); return true }
	wantError(t, o.transport().Fetch(t.Context()), "invalid_client")
}

func TestPlainHTTPToTLS(t *testing.T) {
	o := newOrg(t)
	_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.TokenURL = "http" + strings.TrimPrefix(c.TokenURL, "https") }), o.URL+"/a")
	if hint := asError(t, err).Hint(); !strings.Contains(hint, "https://") {
		t.Errorf("error = %v, hint = %q", err, hint)
	}
}

func TestD52_MalformedResponses(t *testing.T) {
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
				if !errors.Is(err, dpopauth.ErrResponse) {
					t.Errorf("error = %v, want ErrResponse", err)
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

package dpopauth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth"
)

// FuzzNonceHeader checks that a proof contains an accepted nonce unchanged.
func FuzzNonceHeader(f *testing.F) {
	taken := 0
	for _, s := range []string{"", "abc", `a"b`, `a\b`, "a b", "é", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", strings.Repeat("x", 1025)} {
		f.Add(s)
		if dpopauth.NonceHeader(http.Header{"Dpop-Nonce": {s}}) != "" {
			taken++
		}
	}
	if taken != 2 {
		f.Fatalf("%d seeds are nonces, want 2", taken)
	}
	key := newKey(f, ed())
	f.Fuzz(func(t *testing.T, s string) {
		nonce := dpopauth.NonceHeader(http.Header{"Dpop-Nonce": {s}})
		if nonce == "" {
			return
		}
		jws := must(dpopauth.NewProof(key, "https://rs.example/", "", nonce, time.Now()))
		_, claims, _ := parts(t, jws)
		if got := object(t, claims)["nonce"]; got != s || nonce != s {
			t.Errorf("nonce = %q, want %q", got, s)
		}
	})
}

// FuzzTokenResponse checks that a response results in a one-line error, or in the
// token that encoding/json decodes, with an expiry within a day.
func FuzzTokenResponse(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"tok","token_type":"DPoP","expires_in":3600,"scope":"okta.users.read"}`,
		`{"access_token":"tok","token_type":"dpop","expires_in":"3.6e3"}`, `{"access_token":"tok","token_type":"DPoP","expires_in":1e400}`,
		`{"access_token":"tok","token_type":"Bearer"}`, `{"access_token":"t\r\nk","token_type":"DPoP"}`, `{"access_token":7}`,
		`{"error":"invalid_client","error_description":"no"}`, `{"errorCode":"E0000015","errorSummary":"no"}`, `{"error":"use_dpop_nonce"}`,
		"<html>", "", "{}", "null", `{"a":1,"a":2}`, `{"a":1}{}`, `[[[[`,
	} {
		f.Add(200, body)
		f.Add(400, body)
	}
	key := newKey(f, ed())
	// ask returns the Authorization header of an API request and the token's life.
	ask := func(t testing.TB, status int, body string) (sent string, left time.Duration, err error) {
		tr, err := dpopauth.New(dpopauth.Config{
			TokenURL: "https://as.example/token", ClientID: "c", ClientKey: clientKey(), DPoPKey: key, Scopes: []string{"okta.users.read"},
			Origins: []string{"https://rs.example"},
			Base: inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Host == "as.example" {
					w.WriteHeader(status)
					io.WriteString(w, body)
				} else {
					sent = r.Header.Get("Authorization")
				}
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = get(t, tr, "https://rs.example/")
		return sent, time.Until(tr.Status().Expiry), err
	}
	if sent, _, err := ask(f, 200, `{"access_token":"tok","token_type":"DPoP"}`); sent != "DPoP tok" || err != nil {
		f.Fatalf("sent = %q, %v", sent, err)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 499 || status == 429 || strings.Contains(body, "temporarily_unavailable") {
			return // retried, which takes long
		}
		sent, left, err := ask(t, status, body)
		if err != nil {
			if text := err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\n\r\x00\x1b") || sent != "" {
				t.Errorf("error = %q, sent = %q", text, sent)
			}
			return
		}
		var answer struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || sent != "DPoP "+answer.Token {
			t.Errorf("sent %q for %q, %v", sent, body, err)
		}
		if left > 24*time.Hour {
			t.Errorf("%v left", left)
		}
	})
}

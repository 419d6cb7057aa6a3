package dpopauth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"oktasync/dpopauth"
)

// FuzzParseKey: whatever loads signs proofs that go-jose verifies by the public
// key that it shows, and what does not load is one line that shows nothing of it.
func FuzzParseKey(f *testing.F) {
	loaded := 0
	seeds := [][]byte{
		[]byte(`{"kty":"oct","k":"c2VjcmV0"}`), []byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"),
		[]byte(`{"kty":"RSA","n":"_____w","e":"AQAB","d":"AQ","p":"AQ","q":"AQ"}`), {0x30, 0x82}, []byte("ssh-rsa AAAA"),
		[]byte(`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`),
	}
	for _, kind := range kinds {
		for format, file := range formats(f, kind.signer()) {
			if !strings.Contains(format, ",") {
				seeds = append(seeds, file)
			}
		}
	}
	for _, s := range seeds {
		f.Add(s)
		if _, err := dpopauth.ParseKey(s); err == nil {
			loaded++
		}
	}
	if loaded != 18 {
		f.Fatalf("of %d seeds %d load, want 18", len(seeds), loaded)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := dpopauth.ParseKey(data)
		if err != nil {
			if text := err.Error(); len(text) > 200 || strings.ContainsAny(text, "\n\r\x00") || strings.Contains(text, "%!") {
				t.Errorf("error = %q, want one line", text)
			}
			return
		}
		var public jose.JSONWebKey
		if err := json.Unmarshal(key.PublicJWK(), &public); err != nil || !public.IsPublic() || !public.Valid() {
			t.Fatalf("public JWK = %s, %v", key.PublicJWK(), err)
		}
		if got, want := key.Thumbprint(), joseThumbprint(t, public.Key); got != want {
			t.Errorf("thumbprint = %s, want %s", got, want)
		}
		if key.Algorithm() == "Ed25519" {
			return // go-jose knows it as EdDSA
		}
		jws, err := dpopauth.Prove(key, "https://rs.example/", "", "", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		sig, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Algorithm())})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sig.Verify(public.Key); err != nil {
			t.Error(err)
		}
	})
}

// FuzzChallenges: what is read, written out again and read again is the same,
// and fields are read one by one.
func FuzzChallenges(f *testing.F) {
	for _, s := range []string{
		`DPoP error="use_dpop_nonce"`, `Bearer realm="a, b", DPoP algs="ES256", error=x`, `Negotiate abc==, Basic realm="x"`,
		`DPoP error_description="say \"no\", \\ DPoP error=x", error="y"`, `,, Basic ,`, `DPoP error = "x`, `error="x"`, "DPoP a=b c=d",
	} {
		f.Add(s, s)
	}
	read := func(fields ...string) []dpopauth.Challenge {
		return dpopauth.ParseChallenges(http.Header{"Www-Authenticate": fields})
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		all := read(a)
		var written []string
		for _, c := range all {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) {
				t.Errorf("scheme = %q", c.Scheme)
			}
			text := c.Scheme + " "
			for k, v := range c.Params {
				text += fmt.Sprintf(`, %s="%s"`, k, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v))
			}
			written = append(written, text)
		}
		if size := len(strings.Join(written, ", ")); size < 8<<10 {
			if again := read(strings.Join(written, ", ")); !reflect.DeepEqual(all, again) {
				t.Errorf("%q is read as %v, and written out as %v", a, all, again)
			}
		}
		if both, apart := read(a, b), append(read(a), read(b)...); !reflect.DeepEqual(both, apart) {
			t.Errorf("%q and %q are read as %v together, as %v apart", a, b, both, apart)
		}
	})
}

// FuzzNonce: what is taken for a nonce is in the proof byte for byte.
func FuzzNonce(f *testing.F) {
	taken := 0
	for _, s := range []string{"", "abc", `a"b`, `a\b`, "a b", "é", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", strings.Repeat("x", 1025)} {
		f.Add(s)
		if dpopauth.NonceOf(http.Header{"Dpop-Nonce": {s}}) != "" {
			taken++
		}
	}
	if taken != 2 {
		f.Fatalf("%d seeds are nonces, want 2", taken)
	}
	key := newKey(f, ed())
	f.Fuzz(func(t *testing.T, s string) {
		nonce := dpopauth.NonceOf(http.Header{"Dpop-Nonce": {s}})
		if nonce == "" {
			return
		}
		jws, err := dpopauth.Prove(key, "https://rs.example/", "", nonce, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		_, claims, _ := parts(t, jws)
		if got := object(t, claims)["nonce"]; got != s || nonce != s {
			t.Errorf("nonce = %q, want %q", got, s)
		}
	})
}

// FuzzTokenAnswer: an answer gives an error of one line without its content, or
// a token that encoding/json reads the same, that fits a header, and that ends
// within a day.
func FuzzTokenAnswer(f *testing.F) {
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
	// ask returns the error of a request, or else what was sent to the API, and when
	// the token ends.
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
			return // those are retried, which takes its time
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

// FuzzDate: what is taken for a date is that date when net/http writes it, and
// no Retry-After has us wait for longer than the cap or for less than nothing.
func FuzzDate(f *testing.F) {
	dates := 0
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "120", "-1", "1e3", "99999999999999999999", "yesterday", ""} {
		f.Add(s)
		if _, ok := dpopauth.DateOf(&http.Response{StatusCode: 200, Header: http.Header{"Date": {s}}}); ok {
			dates++
		}
	}
	if dates != 3 {
		f.Fatalf("%d seeds are dates, want 3", dates)
	}
	now := time.Date(1994, 11, 6, 8, 49, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := dpopauth.DateOf(&http.Response{StatusCode: 200, Header: http.Header{"Date": {s}}}); ok && d.Year() > 0 {
			again, ok := dpopauth.DateOf(&http.Response{StatusCode: 200, Header: http.Header{"Date": {d.UTC().Format(http.TimeFormat)}}})
			if !ok || !again.Equal(d) {
				t.Errorf("%q is %v and again %v", s, d, again)
			}
		}
		if w := dpopauth.RetryAfter(http.Header{"Retry-After": {s}}, now); w < 0 || w > 30*time.Second {
			t.Errorf("Retry-After: %q waits %v", s, w)
		}
	})
}

// FuzzClean: what is shown of a server's words is printable, short, the same
// when cleaned again, and has no long run of a token's characters with a digit.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"The client_assertion signature is invalid.", "eyJhbGciOiJFUzI1NiJ9.x", "\x1b[31mred", "é\xff", strings.Repeat("a1 ", 500), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := dpopauth.Clean(s, 100)
		if len(got) > 100 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("Clean(%q) = %q", s, got)
		}
		for _, run := range strings.FieldsFunc(got, func(r rune) bool {
			return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=", r)
		}) {
			if len(run) >= 19 && strings.ContainsAny(run, "0123456789") { // 16 and the dots where it was cut
				t.Errorf("Clean(%q) = %q shows %q", s, got, run)
			}
		}
	})
}

package dpopauth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
)

// secretPieces returns all substrings of 16 bytes of the secrets in the requests.
func secretPieces(list []*seen) map[string]bool {
	pieces := map[string]bool{}
	add := func(s string) {
		for i := 0; i+16 <= len(s); i++ {
			pieces[s[i:i+16]] = true
		}
	}
	for _, s := range list {
		for _, p := range s.proofs {
			add(p)
		}
		add(s.form.Get("client_assertion"))
		if _, token, ok := strings.Cut(s.header.Get("Authorization"), " "); ok {
			add(token)
		}
	}
	return pieces
}

var jwtLike = regexp.MustCompile(`eyJ[\w-]{20,}`)

// wantClean checks that text contains no secret.
func wantClean(t *testing.T, what, text string, pieces map[string]bool) {
	t.Helper()
	for i := 0; i+16 <= len(text); i++ {
		if pieces[text[i:i+16]] {
			t.Fatalf("%s shows a piece of a secret", what)
		}
	}
	if jwtLike.MatchString(text) {
		t.Errorf("%s shows what looks like a JWT", what)
	}
}

func TestD85_NoSecretInLogsAndErrors(t *testing.T) {
	const canary = "cAnArY0123456789aBcDeFgHiJkLmNoPqRsTuVwXyZ-"
	var log journal
	shown := &bytes.Buffer{}
	show := func(tr *dpopauth.Transport, err error) {
		fmt.Fprintf(shown, "%v %+v %#v\n", err, err, err)
		for e := err; e != nil; e = errors.Unwrap(e) {
			fmt.Fprintf(shown, "%v %+v %#v %q\n", e, e, e, e)
		}
		if h, ok := err.(interface{ Hint() string }); ok {
			fmt.Fprintln(shown, h.Hint())
		}
		status, _ := json.Marshal(tr.Status())
		fmt.Fprintf(shown, "%+v %#v %s\n", tr.Status(), tr.Status(), status)
	}
	var all []*seen
	// echo sends the secrets of a request back in headers and body.
	echo := func(w http.ResponseWriter, s *seen, status int) {
		said := strings.Join(append(s.proofs, s.header.Get("Authorization"), s.form.Get("client_assertion")), " ")
		w.Header().Set("X-Okta-Request-Id", said)
		w.Header().Set("Content-Type", "text/"+s.form.Get("client_assertion"))
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`DPoP error="invalid_dpop_proof", error_description=%q, algs=%q`, said, said))
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":%q,"error_description":%q}`, s.form.Get("client_assertion"), said)
	}
	for name, fault := range map[string]func(o *org){
		"well":  func(o *org) {},
		"nonce": func(o *org) { o.demand("token", "n1"); o.demand("api", "n2") },
		"withdrew": func(o *org) {
			o.api = func(w http.ResponseWriter, s *seen) bool { o.challenge(w, 401, "invalid_token", ""); return true }
		},
		"token endpoint echoes": func(o *org) { o.token = func(w http.ResponseWriter, s *seen) bool { echo(w, s, 400); return true } },
		"token endpoint echoes in HTML": func(o *org) {
			o.token = func(w http.ResponseWriter, s *seen) bool {
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprintf(w, "<p>%s", s.body)
				return true
			}
		},
		"API echoes":     func(o *org) { o.api = func(w http.ResponseWriter, s *seen) bool { echo(w, s, 401); return true } },
		"token hangs up": func(o *org) { o.token = func(w http.ResponseWriter, s *seen) bool { hangUp(w); return true } },
		"API hangs up":   func(o *org) { o.api = func(w http.ResponseWriter, s *seen) bool { hangUp(w); return true } },
		"odd answer":     func(o *org) { o.members = map[string]any{"token_type": canary} },
		"redirect": func(o *org) {
			o.token = func(w http.ResponseWriter, s *seen) bool {
				w.Header().Set("Location", "https://evil.example/?"+string(s.body))
				w.WriteHeader(307)
				return true
			}
		},
	} {
		bubble(t, name, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.members = map[string]any{"access_token": canary}
			fault(o)
			o.live[canary] = tr.Status().Thumbprint
			for range 3 {
				_, _, err := get(t, tr, o.URL+"/a")
				show(tr, err)
				time.Sleep(time.Hour)
			}
			all = append(append(all, o.tokenRequests()...), o.apiRequests()...)
		}, withLog(&log))
	}
	t.Run("panic", func(t *testing.T) {
		o := newOrg(t)
		defer func() {
			fmt.Fprintf(shown, "%v %s\n", recover(), debug.Stack())
			all = append(append(all, o.tokenRequests()...), o.apiRequests()...)
		}()
		get(t, o.transport(func(c *dpopauth.Config) {
			c.Base = roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/a" {
					panic("the base transport gave up")
				}
				return o.base().RoundTrip(r)
			})
		}), o.URL+"/a")
	})
	pieces := secretPieces(all)
	if len(pieces) < 1000 || !pieces[canary[:16]] {
		t.Fatalf("pieces = %d: nothing was looked for", len(pieces))
	}
	wantClean(t, "the log", log.String(), pieces)
	wantClean(t, "an error", shown.String(), pieces)
}

func TestD86_KeysAreRedacted(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg.name, func(t *testing.T) {
			key := must(newKey(t, alg.signer()).WithAlgorithm(alg.name)).WithID("k1")
			cfg := dpopauth.Config{
				TokenURL: "https://as.example/token", ClientID: "c", ClientKey: key, Origins: []string{"https://as.example"},
				Base: inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.WriteString(w, `{"access_token":"cAnArY0123456789","token_type":"DPoP"}`)
				})},
			}
			tr := must(dpopauth.New(cfg))
			do(t, tr, "https://as.example/a")
			type nest struct {
				Key       keys.Key
				PKey      *keys.Key
				Transport dpopauth.Transport
				key       keys.Key
				transport dpopauth.Transport
				pkey      *keys.Key
				cfg       dpopauth.Config
				any       any
				list      []*keys.Key
				m         map[string]keys.Key
			}
			n := nest{*key, key, *tr, *key, *tr, key, cfg, key, []*keys.Key{key}, map[string]keys.Key{"k": *key}}
			var out strings.Builder
			for _, v := range []any{
				key, *key, tr, *tr, cfg, &cfg, n, &n, []any{key, tr, cfg}, tr.Status(), tr.Client(), *tr.Client(), keys.Key{},
				&dpopauth.Error{Err: dpopauth.ErrClock}, dpopauth.TokenRequest{}, dpopauth.ClockSkewError{},
			} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
					fmt.Fprintf(&out, verb+"\n", v)
				}
				b, err := json.Marshal(v)
				fmt.Fprintf(&out, "%s %v\n", b, err)
				for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
					slog.New(h).Info("x", "v", v, slog.Group("g", "v", v))
				}
			}
			text := out.String()
			if strings.Contains(text, "cAnArY") {
				t.Error("the token is shown")
			}
			for _, form := range privateForms(t, alg.signer()) {
				if strings.Contains(text, form) {
					t.Errorf("the private key is shown as %.4s…", form)
				}
			}
			if !strings.Contains(text, "[redacted "+key.Algorithm()+" key "+key.Thumbprint()+"]") {
				t.Error("a key does not say which it is")
			}
		})
	}
}

// privateForms returns the private part of s as fmt and encoders print it.
func privateForms(t *testing.T, s crypto.Signer) []string {
	t.Helper()
	var d []byte
	var forms []string
	switch s := s.(type) {
	case *ecdsa.PrivateKey:
		b := must(s.Bytes())
		d = b
		forms = append(forms, new(big.Int).SetBytes(b).String())
	case *rsa.PrivateKey:
		d = s.D.Bytes()
		forms = append(forms, s.D.String(), s.Primes[0].String(), s.Primes[1].String())
	case ed25519.PrivateKey:
		d = s.Seed()
	}
	d = d[:24]
	dec := strings.Trim(fmt.Sprint(d), "[]")
	return append(forms, dec, strings.ReplaceAll(dec, " ", ", "), hex.EncodeToString(d), strings.ToUpper(hex.EncodeToString(d)),
		base64.RawURLEncoding.EncodeToString(d), base64.RawStdEncoding.EncodeToString(d), fmt.Sprintf("%#v", d)[7:40])
}

func TestD87_ErrorChainsContainNoRequest(t *testing.T) {
	o := newOrg(t)
	for _, path := range []string{"/oauth2/v1/token", "/a"} {
		tr := o.transport(func(c *dpopauth.Config) {
			base := c.Base
			c.Base = roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == path {
					return nil, &url.Error{Op: "Get", URL: "https://x/?search=secret", Err: io.ErrUnexpectedEOF}
				}
				return base.RoundTrip(r)
			})
		})
		_, _, err := get(t, tr, o.URL+"/a?search=secret")
		var ue *url.Error
		if !errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &ue) || strings.Contains(err.Error(), "secret") {
			t.Errorf("error = %v, want the bare cause", err)
		}
	}
}

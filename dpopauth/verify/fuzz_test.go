package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json/jsontext"

	"oktasync/dpopauth/verify"
)

// fixed is the same key in every run, so that seeds stay valid.
var fixed = func() signer {
	seed := sha256.Sum256([]byte("oktasync dpopauth/verify fuzz"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		panic(err)
	}
	return signer{"ES256", key}
}()

const fuzzToken = "Kz~8mXK1EalYznwH-LC-1fBAo"

// fuzzCheck verifies a proof for POST /token with fuzzToken. A proof that passes
// must also pass the independent check.
func fuzzCheck(t *testing.T, proof, thumbprint string) bool {
	t.Helper()
	began := time.Now()
	_, err := newVerifier(t).BoundProof(request(proof), fuzzToken, thumbprint)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if reason := reasonOf(err); err != nil && reason.Code() == "" {
		t.Errorf("rejected without a reason: %v", err)
	}
	if err != nil {
		return false
	}
	if err := independent(proof, "POST", origin+"/token", fuzzToken, thumbprint, start); err != nil {
		t.Errorf("passes, but not the independent check: %v\n%s", err, proof)
	}
	return true
}

func fuzzClaims() m {
	return claims().with(m{"jti": "x", "ath": verify.AccessTokenHash(fuzzToken)})
}

func FuzzProof(f *testing.F) {
	for _, alg := range []string{"ES256", "ES384", "ES512", "RS256", "PS384", "EdDSA"} {
		f.Add(newSigner(alg).proof(nil, fuzzClaims()))
	}
	valid := fixed.sign(fixed.header().json(), fuzzClaims().json())
	for _, seed := range []string{valid, valid + "=", valid + ".", "..", "", rfcTokenProof, rfcResourceProof} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, proof string) {
		thumbprint := fixed.thumbprint()
		if p, err := newVerifier(t).Proof(request(proof)); err == nil {
			thumbprint = p.Thumbprint // for the seeds with keys of this run
		}
		if got := fuzzCheck(t, proof, thumbprint); proof == valid && !got {
			t.Error("the valid proof is rejected")
		}
	})
}

func TestD103_EveryBit(t *testing.T) {
	v := newVerifier(t)
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		valid := newSigner(alg).proof(nil, nil)
		for at := range valid {
			for bit := range 8 {
				proof := []byte(valid)
				proof[at] ^= 1 << bit
				if _, err := v.Proof(request(string(proof))); err == nil {
					t.Fatalf("%s: passes with bit %d flipped at %d", alg, bit, at)
				}
			}
		}
		wantReason(t, v, valid, "")
	}
}

// FuzzContent signs any header and claims with the right key.
func FuzzContent(f *testing.F) {
	header, valid := fixed.header(), fuzzClaims()
	f.Add(header.json(), valid.json())
	f.Add(header.with(m{"kid": "1", "alg": "ES384"}).json(), valid.with(m{"nonce": "x"}).json())
	f.Add(header.with(m{"crit": []string{"x"}}).json(), valid.with(m{"htu": "HTTPS://API.example.com:443/x/../token"}).json())
	f.Add(header.with(m{"jwk": newSigner("RS256").jwk()}).json(), valid.with(m{"iat": 1e300}).json())
	f.Add(`{"typ":"dpop+jwt","typ":"JWT"}`, `{"jti":1}`)
	f.Add(`[]`, `null`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		fuzzCheck(t, fixed.sign(header, claims), fixed.thumbprint())
	})
}

func FuzzSignature(f *testing.F) {
	proof := fixed.sign(fixed.header().json(), fuzzClaims().json())
	signed, valid := cutSignature(proof)
	f.Add(valid)
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Add(append([]byte{0}, valid...))
	digest := sha256.Sum256([]byte(signed))
	f.Fuzz(func(t *testing.T, signature []byte) {
		passes := fuzzCheck(t, signed+"."+encode(signature), fixed.thumbprint())
		if len(signature) != 64 {
			if passes {
				t.Errorf("passes with a signature of %d octets", len(signature))
			}
			return
		}
		if want := ecdsa.VerifyASN1(fixed.key.Public().(*ecdsa.PublicKey), digest[:], derOf(signature)); passes != want {
			t.Errorf("passes: %t, want %t", passes, want)
		}
	})
}

// FuzzJWK checks that go-jose parses an accepted JWK to the same public key.
func FuzzJWK(f *testing.F) {
	for _, alg := range []string{"ES256", "ES384", "ES512", "RS256", "EdDSA"} {
		jwk := newSigner(alg).jwk()
		f.Add([]byte(jwk.json()))
		f.Add([]byte(jwk.with(m{"d": "AQAB"}).json()))
		f.Add([]byte(jwk.with(m{"kty": "oct", "k": "AQAB"}).json()))
		f.Add([]byte(jwk.with(m{"x": "AAAA", "e": "AQ"}).json()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		jwk, ok := verify.ParseObject(data)
		if !ok {
			return
		}
		key, err := verify.ParsePublicKey(jwk)
		if err != nil {
			return
		}
		if rsaKey, ok := key.(*rsa.PublicKey); ok && rsaKey.N.BitLen() > jose.MaxRSAModulusBits {
			return
		}
		var plain map[string]any
		if err := json.Unmarshal(data, &plain); err != nil {
			t.Fatalf("encoding/json: %v", err)
		}
		for _, name := range []string{"x5c", "x5u", "x5t", "x5t#S256", "kid", "use", "alg", "pub"} {
			delete(plain, name) // go-jose checks them, verify ignores them
		}
		data, _ = json.Marshal(plain)
		var other jose.JSONWebKey
		if err := other.UnmarshalJSON(data); err != nil {
			t.Fatalf("go-jose rejects the JWK: %v", err)
		}
		if !other.IsPublic() || !key.(interface{ Equal(crypto.PublicKey) bool }).Equal(other.Key) {
			t.Errorf("go-jose parses another key: %v", other.Key)
		}
	})
}

// FuzzObject checks that each accepted object is also accepted by jsontext, which
// is stricter, and has the same members for encoding/json.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":{"a":[1,2.5e3,"x",null,true]}}`, `{"a":1,"a":2}`, `{"\u0061":1,"a":2}`,
		`[]`, `null`, `{}{}`, "{\"a\":\"\xff\"}", `{"a":[[[[[[[[1]]]]]]]]}`, `{"a":"[[[[[[[[[["}`, `{"a":1e999}`, ` {"a":"\\\""} `,
	} {
		f.Add([]byte(seed))
	}
	surrogate := regexp.MustCompile(`(?i)\\ud[89a-f]`)
	f.Fuzz(func(t *testing.T, data []byte) {
		object, ok := verify.ParseObject(data)
		if !ok || surrogate.Match(data) { // encoding/json accepts lone surrogates
			return
		}
		if !jsontext.Value(data).IsValid() {
			t.Fatal("jsontext rejects the object")
		}
		var plain map[string]any
		if err := json.Unmarshal(data, &plain); err != nil || len(plain) != len(object) {
			t.Errorf("members = %v, for encoding/json %v, %v", object, plain, err)
		}
	})
}

// FuzzURL checks that matching URLs are equal for net/url, and that a URL matches
// itself.
func FuzzURL(f *testing.F) {
	for _, seed := range [][2]string{
		{origin + "/token", "/token"}, {"HTTPS://API.example.com:443/a/../token", "/token?x=1"},
		{origin, "/"}, {origin + "//", "//"}, {origin + "/%7E/%2f", "/~/%2F"}, {origin + "/a/..", "/"},
		{"https://me@api.example.com/", "/"}, {"https://api.example.com.evil.example/", "/"}, {origin + "/%2e%2E/a", "/a"},
		{origin + "/a?b", "/a?b"}, {origin + "/a#", "/a"}, {origin + "/é", "/%C3%A9"}, {origin + "/a%", "/a"},
		{origin, "/" + strings.Repeat("\xe8", 2500)}, // three times as long when escaped
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, htu, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || strings.ContainsAny(target, " \t\r\n#\\") {
			return // net/http rejects such a request line
		}
		passes := func(proof string) bool {
			r := &http.Request{Method: "POST", URL: u, RequestURI: target, Header: http.Header{}}
			r.Header.Set("DPoP", proof)
			_, err := newVerifier(t).Proof(r)
			return err == nil
		}
		proofOf := func(htu string) string {
			return fixed.sign(fixed.header().json(), fuzzClaims().with(m{"htu": htu}).json())
		}
		if passes(proofOf(htu)) {
			parsed, err := url.Parse(htu)
			if err != nil || !sameResource(parsed, origin+u.EscapedPath()) {
				t.Errorf("htu %q passes for %q", htu, target)
			}
		}
		own := proofOf(origin + u.EscapedPath())
		if fits := len(own) <= 8<<10; passes(own) != fits { // the bound of a proof (D91)
			t.Errorf("htu %q passes for %q: %t, want %t", origin+u.EscapedPath(), target, !fits, fits)
		}
	})
}

// FuzzNonce checks that only the current nonce is valid.
func FuzzNonce(f *testing.F) {
	nonces := verify.NewNonces(verify.NonceConfig{Secret: []byte("fuzz"), Now: at(start)})
	valid := nonces.Nonce()
	for _, seed := range []string{valid, "", "A", valid[:31], valid + "A", strings.Repeat("A", 32), valid + "\n", valid + "="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, nonce string) {
		if err := nonces.Check(nonce); (err == nil) != (nonce == valid) {
			t.Errorf("Check(%q) = %v", nonce, err)
		}
	})
}

// FuzzAuthorization checks that only the valid token passes.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"DPoP " + fuzzToken, "dpop  " + fuzzToken, "Bearer " + fuzzToken, "DPoP", "DPoP ", "", "DPoP " + fuzzToken + ",", "DPoP\t" + fuzzToken} {
		f.Add(seed)
	}
	proof := fixed.sign(fixed.header().json(), fuzzClaims().json())
	f.Fuzz(func(t *testing.T, authorization string) {
		api := verify.Resource{
			Proofs: newVerifier(t),
			Tokens: func(_ context.Context, token string) (*verify.Token, error) {
				if token != fuzzToken {
					return nil, &verify.Error{Reason: verify.TokenMalformed}
				}
				return &verify.Token{Thumbprint: fixed.thumbprint()}, nil
			},
		}
		r := request(proof)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		api.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		scheme, token, _ := strings.Cut(authorization, " ")
		want := 401
		if strings.EqualFold(scheme, "DPoP") && strings.TrimLeft(token, " ") == fuzzToken {
			want = 200
		}
		if w.Code != want {
			t.Errorf("Authorization %q: %d, want %d", authorization, w.Code, want)
		}
	})
}

// FuzzKeys checks that a token passes only if the JWKS contains its key.
func FuzzKeys(f *testing.F) {
	valid := fixed.jwk().with(m{"kid": "1"})
	for _, seed := range []m{{"keys": []m{valid}}, {"keys": []m{valid, valid}}, {"keys": []any{1, nil, m{}, valid}}, {"keys": m{}}, {}, {"keys": []m{valid.with(m{"use": "enc"})}}} {
		f.Add([]byte(seed.json()))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		issuer, err := verify.NewIssuer(verify.IssuerConfig{
			URL: "https://as.example.com", KeysURL: "https://as.example.com/keys", Audience: audience, Now: at(start),
			HTTPClient: &http.Client{Transport: inProcess{func(w http.ResponseWriter, _ *http.Request) error {
				_, err := w.Write(document)
				return err
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		claims := m{"iss": "https://as.example.com", "aud": audience, "exp": start.Add(time.Hour).Unix()}
		_, err = issuer.Token(t.Context(), fixed.sign(`{"alg":"ES256","kid":"1"}`, claims.json()))
		if err == nil && !bytes.Contains(unescape(document), []byte(fixed.jwk()["x"].(string))) {
			t.Errorf("a token passes by keys that do not have its own: %s", document)
		}
	})
}

// unescape returns the document without unnecessary JSON escapes.
func unescape(document []byte) []byte {
	var value any
	json.Unmarshal(document, &value)
	plain, _ := json.Marshal(value)
	return plain
}

// TestD103_Corpus checks that each fuzz test has seed files.
func TestD103_Corpus(t *testing.T) {
	source := must(os.ReadFile("fuzz_test.go"))
	targets := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`).FindAllSubmatch(source, -1)
	if len(targets) < 9 {
		t.Errorf("found %d fuzz targets", len(targets))
	}
	for _, target := range targets {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", string(target[1]), "*"))
		if err != nil || len(seeds) == 0 {
			t.Errorf("%s has no corpus: %v", target[1], err)
		}
	}
}

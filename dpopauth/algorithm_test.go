package dpopauth_test

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"testing"

	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
)

// algorithms are the supported algorithms, except Ed25519 (see D24).
var algorithms = []struct {
	name   string
	signer func() crypto.Signer
}{
	{"ES256", func() crypto.Signer { return p256() }},
	{"ES384", func() crypto.Signer { return p384() }},
	{"ES512", func() crypto.Signer { return p521() }},
	{"RS256", func() crypto.Signer { return rsa1() }},
	{"RS384", func() crypto.Signer { return rsa1() }},
	{"RS512", func() crypto.Signer { return rsa1() }},
	{"PS256", func() crypto.Signer { return rsa1() }},
	{"PS384", func() crypto.Signer { return rsa1() }},
	{"PS512", func() crypto.Signer { return rsa1() }},
	{"EdDSA", func() crypto.Signer { return ed() }},
}

func withAlgorithm(t testing.TB, s crypto.Signer, alg string) *keys.Key {
	t.Helper()
	k := must(newKey(t, s).WithAlgorithm(alg))
	return k
}

func TestD24_AlgorithmsOfProofAndAssertion(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg.name, func(t *testing.T) {
			key := withAlgorithm(t, alg.signer(), alg.name)
			t.Run("proof", func(t *testing.T) {
				o := newOrg(t) // verifies with go-jose
				mustGet(t, o.transport(withKey(key)), o.URL+"/a")
				if got := o.apiRequests()[0].proof.header["alg"]; got != alg.name {
					t.Errorf("alg = %v", got)
				}
			})
			t.Run("assertion", func(t *testing.T) {
				o := newOrg(t, func(o *org) { o.client = key })
				mustGet(t, o.transport(), o.URL+"/a")
				if got := o.tokenRequests()[0].jose["alg"]; got != alg.name {
					t.Errorf("alg = %v", got)
				}
			})
		})
	}
	t.Run("Ed25519 by its own name", func(t *testing.T) {
		// RFC 9864, section 2.2; go-jose supports only EdDSA.
		header, claims, sig := parts(t, anyProof(t, withAlgorithm(t, ed(), "Ed25519")))
		if got := object(t, header)["alg"]; got != "Ed25519" {
			t.Errorf("alg = %v", got)
		}
		if !ed25519.Verify(ed().Public().(ed25519.PublicKey), signed(header, claims), sig) {
			t.Error("the signature is wrong")
		}
	})
	t.Run("generated keys are for ES256", func(t *testing.T) {
		k, err := keys.Generate()
		if err != nil || k.Algorithm() != "ES256" {
			t.Errorf("Algorithm() = %s, %v", k.Algorithm(), err)
		}
	})
}

// signed is the signing input of a JWS.
func signed(header, claims []byte) []byte {
	enc := base64.RawURLEncoding.EncodeToString
	return []byte(enc(header) + "." + enc(claims))
}

func TestD26_UnsupportedAlgorithm(t *testing.T) {
	t.Run("metadata", func(t *testing.T) {
		cfg := newOrg(t).config()
		cfg.Algorithms = []string{"RS256", "ES384"}
		_, err := dpopauth.New(cfg)
		wantError(t, err, "ES256", "RS256 ES384")
		if !errors.Is(err, dpopauth.ErrAlgorithm) {
			t.Errorf("error = %v, want ErrAlgorithm", err)
		}
		cfg.Algorithms = []string{"RS256", "ES256"}
		if _, err := dpopauth.New(cfg); err != nil {
			t.Error(err)
		}
	})
	refuse := func(w http.ResponseWriter) {
		w.Header().Set("WWW-Authenticate", `DPoP algs="RS256 PS256", error="invalid_dpop_proof", error_description="alg"`)
		w.WriteHeader(401)
	}
	t.Run("API", func(t *testing.T) {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, _ *seen) bool { refuse(w); return true }
		_, _, err := get(t, o.transport(), o.URL+"/a")
		wantError(t, err, "ES256", "RS256 PS256")
		if !errors.Is(err, dpopauth.ErrAlgorithm) {
			t.Errorf("error = %v, want ErrAlgorithm", err)
		}
		o.wantRequests(1, 1)
	})
	t.Run("token endpoint", func(t *testing.T) {
		o := newOrg(t)
		o.token = func(w http.ResponseWriter, _ *seen) bool { refuse(w); return true }
		_, _, err := get(t, o.transport(), o.URL+"/a")
		wantError(t, err, "ES256", "RS256 PS256")
		o.wantRequests(1, 0)
	})
}

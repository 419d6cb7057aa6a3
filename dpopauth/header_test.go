package dpopauth_test

import (
	"crypto"
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"oktasync/dpopauth/internal/keytest"
	"oktasync/dpopauth/keys"
)

func TestD1_TypIsDpopJwt(t *testing.T) {
	o := newOrg(t)
	mustGet(t, o.transport(), o.URL+"/api/v1/users")
	for _, s := range append(o.tokenRequests(), o.apiRequests()...) {
		if got := s.proof.header["typ"]; got != "dpop+jwt" {
			t.Errorf("typ = %v, want dpop+jwt", got)
		}
	}
}

func TestD2_JwkHasThePublicMembersAlone(t *testing.T) {
	for _, kind := range keytest.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			o := newOrg(t)
			file := privateJWK(t, kind.Signer(), `"kid":"k1","use":"sig","x5c":["MIIB"],"key_ops":["sign"],`)
			k, err := keys.Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			mustGet(t, o.transport(withKey(k)), o.URL+"/")
			for _, s := range append(o.tokenRequests(), o.apiRequests()...) {
				header, _, _ := parts(t, s.proofs[0])
				if got := names(t, header); got != "typ alg jwk" {
					t.Errorf("header = %s, want typ alg jwk", got)
				}
				if got := sortedNames(jwkOf(t, s.proofs[0])); got != kind.Members {
					t.Errorf("jwk = %s, want %s", got, kind.Members)
				}
			}
		})
	}
}

func TestD3_NoPrivateMemberIsEmitted(t *testing.T) {
	for _, kind := range keytest.Kinds {
		for format, file := range keytest.Files(t, kind.Signer()) {
			t.Run(kind.Name+"/"+format, func(t *testing.T) {
				k, err := keys.Parse(file)
				if err != nil {
					t.Fatal(err)
				}
				var jws string
				do(t, capture(t, k, "https://rs.example", func(r *http.Request) { jws = r.Header.Get("DPoP") }), "https://rs.example/")
				public := object(t, k.PublicJWK())
				for _, jwk := range []map[string]any{jwkOf(t, jws), public} {
					for _, name := range strings.Fields("d p q dp dq qi oth k") {
						if _, ok := jwk[name]; ok {
							t.Errorf("jwk has the private member %s", name)
						}
					}
				}
			})
		}
	}
}

func TestD4_IntegersAreAsWideAsRFC7518Says(t *testing.T) {
	for _, test := range []struct {
		curve elliptic.Curve
		width int
	}{{elliptic.P256(), 32}, {elliptic.P384(), 48}, {elliptic.P521(), 66}} {
		for _, member := range []string{"x", "y"} {
			if test.width == 48 && member == "y" && !long() {
				continue // such keys are dear to find
			}
			t.Run(test.curve.Params().Name+" "+member+" begins with 0", func(t *testing.T) {
				jwk := jwkOf(t, anyProof(t, newKey(t, shortCoordinate(t, test.curve, member))))
				for _, m := range []string{"x", "y"} {
					text := jwk[m].(string)
					b, err := base64.RawURLEncoding.Strict().DecodeString(text)
					if err != nil || len(b) != test.width {
						t.Errorf("%s has %d octets (%v), want %d", m, len(b), err, test.width)
					}
				}
			})
		}
	}
	t.Run("RSA", func(t *testing.T) {
		jwk := jwkOf(t, anyProof(t, newKey(t, rsa1())))
		n, err := base64.RawURLEncoding.Strict().DecodeString(jwk["n"].(string))
		if err != nil || len(n) != 256 || n[0] == 0 {
			t.Errorf("n has %d octets, first %d (%v), want 256 and not 0", len(n), n[0], err)
		}
		if jwk["e"] != "AQAB" {
			t.Errorf("e = %v, want AQAB", jwk["e"])
		}
	})
}

// shortCoordinate returns a key whose public x or y begins with a zero octet.
func shortCoordinate(t *testing.T, c elliptic.Curve, member string) crypto.Signer {
	t.Helper()
	for {
		k := newEC(c)
		point, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		at := 1
		if member == "y" {
			at += len(point) / 2
		}
		if point[at] == 0 {
			return k
		}
	}
}

func TestD5_NoOtherHeaderParameterIsSent(t *testing.T) {
	for _, kind := range keytest.Kinds {
		header, _, _ := parts(t, anyProof(t, newKey(t, kind.Signer()).WithID("k1")))
		if got := names(t, header); got != "typ alg jwk" { // so no jku, x5u, x5c, crit, b64, zip
			t.Errorf("%s: header = %s, want typ alg jwk", kind.Name, got)
		}
	}
}

func TestD7_ECDSASignaturesAreRAndSSideBySide(t *testing.T) {
	for _, test := range []struct {
		signer crypto.Signer
		size   int
		runs   int
	}{{p256(), 64, 2000}, {p384(), 96, scaled(20, 2000)}, {p521(), 132, scaled(20, 2000)}} {
		t.Run(fmt.Sprint(test.size), func(t *testing.T) {
			t.Parallel()
			short := 0
			tr := capture(t, newKey(t, test.signer), "https://rs.example", func(r *http.Request) {
				_, _, sig := parts(t, r.Header.Get("DPoP"))
				if len(sig) != test.size {
					t.Fatalf("signature has %d octets, want %d", len(sig), test.size)
				}
				if sig[0] == 0 || sig[test.size/2] == 0 {
					short++
				}
				joseVerify(t, r.Header.Get("DPoP"))
			})
			for range test.runs {
				do(t, tr, "https://rs.example/")
			}
			if short == 0 && test.runs == 2000 {
				t.Errorf("no short R or S in %d signatures: padding was not tried", test.runs)
			}
		})
	}
}

// anyProof returns a proof by k.
func anyProof(t testing.TB, k *keys.Key) (jws string) {
	t.Helper()
	do(t, capture(t, k, "https://rs.example", func(r *http.Request) { jws = r.Header.Get("DPoP") }), "https://rs.example/")
	return jws
}

func sortedNames(m map[string]any) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), " ")
}

// joseVerify checks a proof by go-jose with the key in its header.
func joseVerify(t testing.TB, jws string) {
	t.Helper()
	sig, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sig.Verify(sig.Signatures[0].Header.JSONWebKey); err != nil {
		t.Fatal(err)
	}
}

package keys_test

import (
	"crypto"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"oktasync/dpopauth/keys"
)

// headerOf returns the header of a proof by k.
func headerOf(t testing.TB, k *keys.Key) (header map[string]json.RawMessage) {
	t.Helper()
	text, _, _ := strings.Cut(must(k.SignProof(map[string]string{"jti": "1"})), ".")
	if err := json.Unmarshal(must(base64.RawURLEncoding.Strict().DecodeString(text)), &header); err != nil {
		t.Fatal(err)
	}
	return header
}

// jwkOf returns the jwk of a proof by k.
func jwkOf(t testing.TB, k *keys.Key) (jwk map[string]string) {
	t.Helper()
	if err := json.Unmarshal(headerOf(t, k)["jwk"], &jwk); err != nil {
		t.Fatal(err)
	}
	return jwk
}

func TestD1_TypIsDPoPJWT(t *testing.T) {
	if header := headerOf(t, mustNew(p256())); string(header["typ"]) != `"dpop+jwt"` {
		t.Errorf("typ = %s, want dpop+jwt", header["typ"])
	}
}

const moreMembers = `"kid":"k1","use":"sig","x5c":["MIIB"],"key_ops":["sign"],`

func TestD2_JWKHasOnlyThePublicMembers(t *testing.T) {
	for _, kind := range kinds {
		k := must(keys.Parse(jwkFile(kind.Signer(), moreMembers)))
		if got := sortedNames(jwkOf(t, k)); got != kind.Members {
			t.Errorf("%s: jwk = %s, want %s", kind.Name, got, kind.Members)
		}
	}
}

func TestD3_NoPrivateMember(t *testing.T) {
	for _, kind := range kinds {
		for format, file := range keyFiles(kind.Signer()) {
			k := must(keys.Parse(file))
			var public map[string]string
			if err := json.Unmarshal(k.PublicJWK(), &public); err != nil {
				t.Fatal(err)
			}
			delete(public, "use")
			delete(public, "alg")
			for _, jwk := range []map[string]string{jwkOf(t, k), public} {
				if got := sortedNames(jwk); got != kind.Members {
					t.Errorf("%s as %s: jwk = %s, want %s", kind.Name, format, got, kind.Members)
				}
			}
		}
	}
}

func TestD4_IntegersHaveTheirWidth(t *testing.T) {
	for _, test := range []struct {
		curve elliptic.Curve
		width int
	}{{elliptic.P256(), 32}, {elliptic.P384(), 48}, {elliptic.P521(), 66}} {
		for _, member := range []string{"x", "y"} {
			if test.width == 48 && member == "y" && os.Getenv("OKTASYNC_LONG_TESTS") != "1" {
				continue // such keys are slow to find
			}
			t.Run(test.curve.Params().Name+" "+member+" begins with 0", func(t *testing.T) {
				jwk := jwkOf(t, mustNew(shortCoordinate(t, test.curve, member)))
				for _, m := range []string{"x", "y"} {
					b, err := base64.RawURLEncoding.Strict().DecodeString(jwk[m])
					if err != nil || len(b) != test.width {
						t.Errorf("%s has %d octets (%v), want %d", m, len(b), err, test.width)
					}
				}
			})
		}
	}
	t.Run("RSA", func(t *testing.T) {
		jwk := jwkOf(t, mustNew(rsaKey()))
		n, err := base64.RawURLEncoding.Strict().DecodeString(jwk["n"])
		if err != nil || len(n) != 256 || n[0] == 0 {
			t.Errorf("n has %d octets, first %d (%v), want 256 and not 0", len(n), n[0], err)
		}
		if jwk["e"] != "AQAB" {
			t.Errorf("e = %v, want AQAB", jwk["e"])
		}
	})
}

// shortCoordinate returns a key whose x or y begins with a zero octet.
func shortCoordinate(t *testing.T, c elliptic.Curve, member string) crypto.Signer {
	t.Helper()
	for {
		k := newEC(c)
		point := must(k.PublicKey.Bytes())
		at := 1
		if member == "y" {
			at += len(point) / 2
		}
		if point[at] == 0 {
			return k
		}
	}
}

func TestD5_HeaderHasNoOtherMember(t *testing.T) {
	for _, kind := range kinds {
		header := headerOf(t, must(keys.Parse(jwkFile(kind.Signer(), moreMembers))).WithID("k2"))
		if got := sortedNames(header); got != "alg jwk typ" { // no kid, jku, x5u, x5c, crit, b64, zip
			t.Errorf("%s: header = %s, want alg jwk typ", kind.Name, got)
		}
	}
}

func TestD7_ECDSASignaturesArePadded(t *testing.T) {
	for _, test := range []struct {
		signer crypto.Signer
		size   int
		runs   int
	}{{p256(), 64, 2000}, {p384(), 96, 20}, {p521(), 132, 20}} {
		t.Run(fmt.Sprint(test.size), func(t *testing.T) {
			t.Parallel()
			short := 0
			k := mustNew(test.signer)
			for i := range test.runs {
				proof := must(k.SignProof(map[string]int{"jti": i}))
				sig := must(jose.ParseSignedCompact(proof, []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512}))
				if _, err := sig.Verify(k.Public()); err != nil {
					t.Fatal(err)
				}
				signature := sig.Signatures[0].Signature
				if len(signature) != test.size {
					t.Fatalf("signature has %d octets, want %d", len(signature), test.size)
				}
				if signature[0] == 0 || signature[test.size/2] == 0 {
					short++
				}
			}
			if short == 0 && test.runs == 2000 {
				t.Errorf("no short R or S in %d signatures", test.runs)
			}
		})
	}
}

func sortedNames[T any](m map[string]T) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), " ")
}

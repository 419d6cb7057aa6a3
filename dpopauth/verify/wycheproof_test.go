package verify_test

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
	"oktasync/dpopauth/verify"
)

// A vectorFile contains the relevant members of a Wycheproof file.
type vectorFile struct {
	TestGroups []struct {
		PublicKeyDer    string          // of bare signatures, in hex
		Public, Private json.RawMessage // of a JWS: a JWK or a set
		Tests           []struct {
			TcID            int
			Comment, Result string
			Msg, Sig        string // in hex
			JWS             string
		}
	}
}

func vectors(t *testing.T, name string) (file vectorFile) {
	t.Helper()
	data := must(fs.ReadFile(wycheproof.TestVectors, name+"_test.json"))
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// The vectors contain signatures that pass if a check of numbers, encoding or
// padding is missing. The test converts the keys to JWKs.
func TestD108_WycheproofSignatures(t *testing.T) {
	for name, alg := range map[string]string{
		"ecdsa_secp256r1_sha256_p1363": "ES256",
		"ecdsa_secp384r1_sha384_p1363": "ES384",
		"ecdsa_secp521r1_sha512_p1363": "ES512",
		"rsa_signature_2048_sha256":    "RS256",
		"rsa_signature_2048_sha384":    "RS384",
		"rsa_signature_2048_sha512":    "RS512",
		"rsa_signature_3072_sha256":    "RS256",
		"rsa_signature_3072_sha384":    "RS384",
		"rsa_signature_3072_sha512":    "RS512",
		"rsa_signature_4096_sha256":    "RS256",
		"rsa_signature_4096_sha384":    "RS384",
		"rsa_signature_4096_sha512":    "RS512",
		"rsa_signature_8192_sha256":    "RS256",
		"rsa_signature_8192_sha384":    "RS384",
		"rsa_signature_8192_sha512":    "RS512",
		"rsa_pss_2048_sha256_mgf1_32":  "PS256",
		"rsa_pss_2048_sha384_mgf1_48":  "PS384",
		"rsa_pss_3072_sha256_mgf1_32":  "PS256",
		"rsa_pss_4096_sha256_mgf1_32":  "PS256",
		"rsa_pss_4096_sha384_mgf1_48":  "PS384",
		"rsa_pss_4096_sha512_mgf1_64":  "PS512",
		"ed25519":                      "EdDSA",
	} {
		t.Run(name, func(t *testing.T) {
			results := map[string]int{}
			for _, group := range vectors(t, name).TestGroups {
				key := keyOfDER(t, group.PublicKeyDer)
				for _, test := range group.Tests {
					results[test.Result]++
					got := verify.VerifySignature(alg, key, unhex(t, test.Msg), unhex(t, test.Sig))
					if want := test.Result == "valid"; got != want && test.Result != "acceptable" {
						t.Errorf("%d (%s): verifies %t, want %t", test.TcID, test.Comment, got, want)
					}
				}
			}
			if results["valid"] == 0 || results["invalid"] == 0 {
				t.Errorf("vectors = %v, want valid and invalid ones", results)
			}
		})
	}
}

// verify is stricter than the vectors in two points, and less strict in one.
func TestD108_WycheproofJWS(t *testing.T) {
	for _, name := range []string{"json_web_signature", "json_web_key"} {
		t.Run(name, func(t *testing.T) {
			results := map[bool]int{}
			for _, group := range vectors(t, name).TestGroups {
				jwks, algs := jwksOf(t, group.Public, group.Private)
				for _, test := range group.Tests {
					want := test.Result == "valid"
					switch alg := algOf(test.JWS); {
					case test.Comment == "rejectsKeyWithRocaVulnerability":
						continue // a weak key harms only its owner
					case strings.HasPrefix(alg, "HS"), !slices.Contains(algs, alg):
						want = false // symmetric, or not the alg of the key
					}
					results[want]++
					if got := verify.VerifyJWS(test.JWS, jwks); got != want {
						t.Errorf("%d (%s): verifies %t, want %t", test.TcID, test.Comment, got, want)
					}
				}
			}
			if results[true] == 0 || results[false] == 0 {
				t.Errorf("vectors = %v, want valid and invalid ones", results)
			}
		})
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b := must(hex.DecodeString(s))
	return b
}

// keyOfDER parses a DER key, encodes it as a JWK, and parses that with verify.
func keyOfDER(t *testing.T, der string) crypto.PublicKey {
	t.Helper()
	key := must(x509.ParsePKIXPublicKey(unhex(t, der)))
	jwk, ok := verify.ParseObject([]byte(jwkOf(key).json()))
	if !ok {
		t.Fatalf("key rejected: %s", jwkOf(key).json())
	}
	read, err := verify.ParsePublicKey(jwk)
	if err != nil {
		t.Fatalf("key rejected: %s: %v", jwkOf(key).json(), err)
	}
	return read
}

// algOf returns the alg of a JWS, or "".
func algOf(compact string) string {
	first, _, _ := strings.Cut(compact, ".")
	decoded, _ := base64Decode(first)
	var header struct{ Alg string }
	_ = json.Unmarshal(decoded, &header) // some are malformed on purpose
	return header.Alg
}

// jwksOf returns the public keys of a group as a JWKS, and their algorithms. It
// removes the private members if a group has only private keys.
func jwksOf(t *testing.T, public, private json.RawMessage) (jwks []byte, algs []string) {
	t.Helper()
	if public == nil {
		public = private
	}
	var set struct{ Keys []m }
	var only m
	if err := errors.Join(json.Unmarshal(public, &set), json.Unmarshal(public, &only)); err != nil {
		t.Fatal(err)
	}
	if set.Keys == nil {
		set.Keys = []m{only}
	}
	var keys []m
	for _, jwk := range set.Keys {
		alg, _ := jwk["alg"].(string)
		algs = append(algs, alg)
		keys = append(keys, jwk.with(m{"d": absent, "p": absent, "q": absent, "dp": absent, "dq": absent, "qi": absent}))
	}
	return []byte(m{"keys": keys}.json()), algs
}

package dpopauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// privateJWK returns s as a JWK file, with further members, in an order that is
// not the canonical one.
func privateJWK(t testing.TB, s crypto.Signer, further string) []byte {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKey{Key: s})
	if err != nil {
		t.Fatal(err)
	}
	return []byte(`{ ` + further + string(b[1:]))
}

// formats returns s in all forms that a file may have it in.
func formats(t testing.TB, s crypto.Signer) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(s)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{"PKCS#8": block("PRIVATE KEY", der), "JWK": privateJWK(t, s, "")}
	switch s := s.(type) {
	case *rsa.PrivateKey:
		all["PKCS#1"] = block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(s))
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(s)
		if err != nil {
			t.Fatal(err)
		}
		all["SEC 1"] = block("EC PRIVATE KEY", der)
		all["SEC 1 with parameters"] = append(block("EC PARAMETERS", []byte{6, 0}), all["SEC 1"]...)
	}
	for name, file := range maps.Clone(all) {
		all[name+", CRLF"] = []byte(strings.ReplaceAll(string(file), "\n", "\r\n"))
		all[name+", BOM"] = append([]byte("\ufeff"), file...)
		if !strings.HasPrefix(name, "JWK") {
			all[name+", comments"] = append([]byte("# the key of acme\nBag Attributes\n    friendlyName: x\n"), file...)
		}
	}
	return all
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func sortedNames(m map[string]any) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), " ")
}

// joseThumbprint is go-jose's RFC 7638 thumbprint.
func joseThumbprint(t testing.TB, pub crypto.PublicKey) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: pub}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
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

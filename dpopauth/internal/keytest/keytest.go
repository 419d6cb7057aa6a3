// Package keytest has keys of every kind, and the files that they may come in, for
// the tests of dpopauth and of keys.
package keytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Kinds are all kinds of key, with the public members of each.
var Kinds = []struct {
	Name    string
	Signer  func() crypto.Signer
	Members string
}{
	{"P-256", func() crypto.Signer { return P256() }, "crv kty x y"},
	{"P-384", func() crypto.Signer { return P384() }, "crv kty x y"},
	{"P-521", func() crypto.Signer { return P521() }, "crv kty x y"},
	{"RSA", func() crypto.Signer { return RSA() }, "e kty n"},
	{"Ed25519", func() crypto.Signer { return Ed25519() }, "crv kty x"},
}

// One key of each kind.
var (
	P256    = sync.OnceValue(func() *ecdsa.PrivateKey { return NewEC(elliptic.P256()) })
	P384    = sync.OnceValue(func() *ecdsa.PrivateKey { return NewEC(elliptic.P384()) })
	P521    = sync.OnceValue(func() *ecdsa.PrivateKey { return NewEC(elliptic.P521()) })
	RSA     = sync.OnceValue(func() *rsa.PrivateKey { return NewRSA(2048) })
	Ed25519 = sync.OnceValue(func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	})
)

// NewEC returns a new key on c.
func NewEC(c elliptic.Curve) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// NewRSA returns a new key of so many bits.
func NewRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

// JWK returns s as a JWK file, with further members, in an order that is
// not the canonical one.
func JWK(t testing.TB, s crypto.Signer, further string) []byte {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKey{Key: s})
	if err != nil {
		t.Fatal(err)
	}
	return []byte(`{ ` + further + string(b[1:]))
}

// Files returns s in all forms that a file may have it in.
func Files(t testing.TB, s crypto.Signer) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"PKCS#8": PEM("PRIVATE KEY", PKCS8(t, s)), "JWK": JWK(t, s, "")}
	switch s := s.(type) {
	case *rsa.PrivateKey:
		all["PKCS#1"] = PEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(s))
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(s)
		if err != nil {
			t.Fatal(err)
		}
		all["SEC 1"] = PEM("EC PRIVATE KEY", der)
		all["SEC 1 with parameters"] = append(PEM("EC PARAMETERS", []byte{6, 0}), all["SEC 1"]...)
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

// PEM returns one block.
func PEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// PKCS8 returns key as DER.
func PKCS8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// File writes data to a new file.
func File(t testing.TB, data []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

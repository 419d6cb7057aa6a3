package keys_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"oktasync/dpopauth/keys"
)

// kinds are the supported types of keys, with the public members of their JWKs.
var kinds = []struct {
	Name    string
	Signer  func() crypto.Signer
	Members string
}{
	{"P-256", func() crypto.Signer { return p256() }, "crv kty x y"},
	{"P-384", func() crypto.Signer { return p384() }, "crv kty x y"},
	{"P-521", func() crypto.Signer { return p521() }, "crv kty x y"},
	{"RSA", func() crypto.Signer { return rsaKey() }, "e kty n"},
	{"Ed25519", func() crypto.Signer { return edKey() }, "crv kty x"},
}

var (
	p256   = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P256()) })
	p384   = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P384()) })
	p521   = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P521()) })
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	edKey  = sync.OnceValue(func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return must(k, err)
	})
)

func newEC(c elliptic.Curve) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) }

func newRSA(bits int) *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, bits)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// jwkFile returns s as a JWK with more members before the others.
func jwkFile(s crypto.Signer, more string) []byte {
	return []byte(`{ ` + more + string(must(json.Marshal(jose.JSONWebKey{Key: s}))[1:]))
}

// keyFiles returns s in all supported formats.
func keyFiles(s crypto.Signer) map[string][]byte {
	all := map[string][]byte{"PKCS#8": pemBlock("PRIVATE KEY", pkcs8(s)), "JWK": jwkFile(s, "")}
	switch s := s.(type) {
	case *rsa.PrivateKey:
		all["PKCS#1"] = pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(s))
	case *ecdsa.PrivateKey:
		all["SEC 1"] = pemBlock("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(s)))
		all["SEC 1 with parameters"] = append(pemBlock("EC PARAMETERS", []byte{6, 0}), all["SEC 1"]...)
	}
	for name, file := range maps.Clone(all) {
		all[name+", CRLF"] = []byte(strings.ReplaceAll(string(file), "\n", "\r\n"))
		all[name+", BOM"] = append([]byte("\ufeff"), file...)
		if name != "JWK" {
			all[name+", comments"] = append([]byte("# the key of acme\nBag Attributes\n    friendlyName: x\n"), file...)
		}
	}
	return all
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(key any) []byte { return must(x509.MarshalPKCS8PrivateKey(key)) }

// writeFile writes data to a new file.
func writeFile(t testing.TB, data []byte, mode os.FileMode) string {
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

// joseThumbprint returns the RFC 7638 thumbprint that go-jose computes.
func joseThumbprint(pub crypto.PublicKey) string {
	return base64.RawURLEncoding.EncodeToString(must((&jose.JSONWebKey{Key: pub}).Thumbprint(crypto.SHA256)))
}

func mustNew(s crypto.Signer) *keys.Key { return must(keys.New(s)) }

// wantError checks that err contains all words.
func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error = %v, want %q in it", err, w)
		}
	}
}

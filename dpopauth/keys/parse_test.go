package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oktasync/dpopauth/keys"
)

func TestD29_FormatsOfKeys(t *testing.T) {
	for _, kind := range kinds {
		want := mustNew(kind.Signer()).Thumbprint()
		for format, file := range keyFiles(kind.Signer()) {
			k, err := keys.Parse(file)
			if err != nil {
				t.Errorf("%s as %s: %v", kind.Name, format, err)
				continue
			}
			if k.Thumbprint() != want {
				t.Errorf("%s as %s: another key", kind.Name, format)
			}
			if !k.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(kind.Signer().Public()) {
				t.Errorf("%s as %s: another public key", kind.Name, format)
			}
		}
	}
	if k := must(keys.Parse(jwkFile(p256(), `"kid":"from-jwk",`))); k.ID() != "from-jwk" || !strings.Contains(string(k.PublicJWK()), `"kid":"from-jwk"`) {
		t.Errorf("ID() = %q, public JWK = %s", k.ID(), k.PublicJWK())
	}
	padded := func(by string) []byte {
		return regexp.MustCompile(`("d":"[^"]+)`).ReplaceAll(jwkFile(p256(), ""), []byte("${1}"+by))
	}
	for name, file := range map[string][]byte{
		"a JWK with padding":     padded("="),
		"a JWK with an escape":   padded(`\u003d`),
		"a set of one JWK":       []byte(`{"keys":[` + string(jwkFile(p256(), "")) + `]}`),
		"a key with certificate": append(pemBlock("PRIVATE KEY", pkcs8(p256())), pemBlock("CERTIFICATE", []byte{1})...),
		"a certificate with key": append(pemBlock("CERTIFICATE", []byte{1}), pemBlock("PRIVATE KEY", pkcs8(p256()))...),
	} {
		if _, err := keys.Parse(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestD30_EncryptedPEM(t *testing.T) {
	sec1 := must(x509.MarshalECPrivateKey(p256()))
	for _, file := range [][]byte{
		pemBlock("ENCRYPTED PRIVATE KEY", []byte("ciphertext")),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1, Headers: map[string]string{
			"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00112233445566778899AABBCCDDEEFF"}}),
	} {
		_, err := keys.Parse(file)
		wantError(t, err, "encrypted", "openssl pkey")
	}
}

// algorithmKey returns PKCS#8 of a type that crypto/x509 does not support.
func algorithmKey(t testing.TB, oid, params asn1.ObjectIdentifier) []byte {
	t.Helper()
	algorithm := pkix.AlgorithmIdentifier{Algorithm: oid}
	if params != nil {
		b := must(asn1.Marshal(params))
		algorithm.Parameters.FullBytes = b
	}
	der, err := asn1.Marshal(struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{0, algorithm, []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	return pemBlock("PRIVATE KEY", der)
}

func TestD31_OtherContent(t *testing.T) {
	public := must(x509.MarshalPKIXPublicKey(p256().Public()))
	x25519 := must(ecdh.X25519().GenerateKey(rand.Reader))
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	key := jwkFile(p256(), "")
	publicJWK := mustNew(p256()).PublicJWK()
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "the file is empty"},
		{"blank", []byte(" \r\n"), "the file is empty"},
		{"public key", pemBlock("PUBLIC KEY", public), "a public key"},
		{"PKCS#1 public key", pemBlock("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), "a public key"},
		{"certificate", pemBlock("CERTIFICATE", []byte("secretsecretsecret")), "a certificate;"},
		{"request", pemBlock("CERTIFICATE REQUEST", []byte("secretsecretsecret")), "a certificate request"},
		{"OpenSSH key", pemBlock("OPENSSH PRIVATE KEY", []byte("secretsecretsecret")), "ssh-keygen"},
		{"OpenSSH public key", []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me"), "an OpenSSH public key"},
		{"X25519", pemBlock("PRIVATE KEY", pkcs8(x25519)), "X25519"},
		{"DSA", pemBlock("DSA PRIVATE KEY", []byte("secretsecretsecret")), "a DSA key"},
		{"DSA, PKCS#8", algorithmKey(t, asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}, nil), "a DSA key"},
		{"secp256k1", algorithmKey(t, asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, asn1.ObjectIdentifier{1, 3, 132, 0, 10}), "secp256k1"},
		{"X448", algorithmKey(t, asn1.ObjectIdentifier{1, 3, 101, 111}, nil), "X448"},
		{"Ed448", algorithmKey(t, asn1.ObjectIdentifier{1, 3, 101, 113}, nil), "Ed448"},
		{"P-224", pemBlock("PRIVATE KEY", pkcs8(p224)), "not on P-256"},
		{"broken PKCS#8", pemBlock("PRIVATE KEY", []byte("secretsecretsecret")), "broken"},
		{"other PEM", pemBlock("X509 CRL", []byte("secretsecretsecret")), "PEM that is not a private key"},
		{"broken PEM", []byte("-----BEGIN PRIVATE KEY-----\n*secretsecretsecret*\n"), "broken PEM"},
		{"parameters alone", pemBlock("EC PARAMETERS", []byte("secretsecretsecret")), "broken PEM"},
		{"two keys", append(pemBlock("PRIVATE KEY", pkcs8(p256())), pemBlock("PRIVATE KEY", pkcs8(p384()))...), "several private keys"},
		{"JWK without d", publicJWK, "a JWK without d"},
		{"symmetric JWK", []byte(`{"kty":"oct","k":"c2VjcmV0c2VjcmV0"}`), "a symmetric key"},
		{"X25519 JWK", []byte(`{"kty":"OKP","crv":"X25519","x":"c2VjcmV0","d":"c2VjcmV0"}`), "X25519"},
		{"secp256k1 JWK", []byte(`{"kty":"EC","crv":"secp256k1","x":"c2VjcmV0","y":"c2VjcmV0","d":"c2VjcmV0"}`), "a curve other than"},
		{"JWK of no kty", []byte(`{"d":"c2VjcmV0"}`), "unknown kty"},
		{"JWK for encryption", jwkFile(rsaKey(), `"use":"enc",`), "not for signing"},
		{"JWK set", []byte(`{"keys":[` + string(key) + `,` + string(key) + `]}`), "a JWK set"},
		{"empty JWK set", []byte(`{"keys":[]}`), "a JWK set"},
		{"JWK set of a string", []byte(`{"keys":["secret"]}`), "a JWK set"},
		{"broken JSON", []byte(`{"kty":"EC","d":"c2VjcmV0"`), "broken JSON"},
		{"JSON and more", append(bytes.Clone(key), '{'), "broken JSON"},
		{"doubled member", jwkFile(p256(), `"kty":"EC",`), "broken JSON"},
		{"DER", pkcs8(p256()), "binary data"},
		{"text", []byte("my secret key"), "neither PEM nor a JWK"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := writeFile(t, test.file, 0o600)
			_, err := keys.Load(path)
			wantError(t, err, path, test.want)
			if err == nil {
				return
			}
			text := err.Error()
			if strings.Contains(text, "\n") || len(text) > len(path)+150 {
				t.Errorf("error = %q, want one line", text)
			}
			for _, content := range []string{"secret", "c2Vj", "AAAAC3"} {
				if strings.Contains(text, content) {
					t.Errorf("error = %q shows what the file holds", text)
				}
			}
		})
	}
}

func TestD32_WeakAndInconsistentKeys(t *testing.T) {
	for _, bits := range []int{1024, 2047} {
		for format, file := range keyFiles(newRSA(bits)) {
			_, err := keys.Parse(file)
			wantError(t, err, fmt.Sprint(bits, " bits"))
			if err == nil {
				t.Error(format)
			}
		}
	}
	var other map[string]json.RawMessage
	swap := func(s crypto.Signer, name string, from crypto.Signer) []byte {
		t.Helper()
		m := map[string]json.RawMessage{}
		if json.Unmarshal(jwkFile(s, ""), &m) != nil || json.Unmarshal(jwkFile(from, ""), &other) != nil {
			t.Fatal("unmarshal")
		}
		m[name] = other[name]
		b := must(json.Marshal(m))
		return b
	}
	_, ed2, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa2 := newRSA(2048)
	for name, file := range map[string][]byte{
		"EC d":         swap(p256(), "d", newEC(elliptic.P256())),
		"EC x":         swap(p256(), "x", newEC(elliptic.P256())),
		"EC d too big": []byte(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"` + strings.Repeat("_", 43) + `"}`),
		"EC no x":      []byte(`{"kty":"EC","crv":"P-256","d":"AQ"}`),
		"Ed25519 d":    swap(edKey(), "d", ed2),
		"Ed25519 size": []byte(`{"kty":"OKP","crv":"Ed25519","x":"AA","d":"` + strings.Repeat("B", 60) + `"}`),
		"RSA d":        swap(rsaKey(), "d", rsa2),
		"RSA n":        swap(rsaKey(), "n", rsa2),
		"RSA p":        swap(rsaKey(), "p", rsa2),
		"RSA no p":     []byte(strings.Replace(string(jwkFile(rsaKey(), "")), `"p":`, `"P":`, 1)),
		"RSA huge e":   []byte(strings.Replace(string(jwkFile(rsaKey(), "")), `"e":"AQAB"`, `"e":"AQABAQAB"`, 1)),
		"RSA e of 1":   []byte(strings.Replace(string(jwkFile(rsaKey(), "")), `"e":"AQAB"`, `"e":"AQ"`, 1)),
		"RSA no e":     []byte(strings.Replace(string(jwkFile(rsaKey(), "")), `"e":"AQAB"`, `"e":""`, 1)),
		"three primes": jwkFile(rsaKey(), `"oth":[],`),
	} {
		if _, err := keys.Parse(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, s := range map[string]crypto.Signer{
		"another private key": crossed{p256(), newEC(elliptic.P256())},
		"other RSA key":       crossed{rsaKey(), rsa2},
		"other Ed25519 key":   crossed{edKey(), ed2},
		"raw signature":       rawSigner{p256()},
		"failing":             failingSigner{p256()},
		"nil":                 nil,
		"unknown type":        oddSigner{p256()},
	} {
		if _, err := keys.New(s); err == nil {
			t.Errorf("New(%s) = nil, want an error", name)
		}
	}
	if _, err := mustNew(rsaKey()).WithAlgorithm("PS256"); err != nil {
		t.Error(err)
	}
}

func TestD7_InvalidSignatures(t *testing.T) {
	order := elliptic.P256().Params().N.Bytes()
	for name, der := range map[string][]byte{
		"empty":          {},
		"R and S aside":  make([]byte, 64),
		"R is nothing":   {0x30, 5, 2, 0, 2, 1, 1},
		"R is 0":         {0x30, 6, 2, 1, 0, 2, 1, 1},
		"S is 0":         {0x30, 6, 2, 1, 1, 2, 1, 0},
		"S is negative":  {0x30, 6, 2, 1, 1, 2, 1, 0x80},
		"S is no number": {0x30, 6, 2, 1, 1, 4, 1, 1},
		"one number":     {0x30, 3, 2, 1, 1},
		"more after it":  {0x30, 6, 2, 1, 1, 2, 1, 1, 0},
		"R is too long":  slices.Concat([]byte{0x30, 38, 2, 33, 1}, order, []byte{2, 1, 1}),
	} {
		_, err := keys.New(answering{p256(), der})
		if wantError(t, err, "did not return an ASN.1 ECDSA signature"); err == nil {
			t.Error(name)
		}
	}
	// Well-formed, but not the signature of the input.
	_, err := keys.New(answering{p256(), []byte{0x30, 6, 2, 1, 1, 2, 1, 1}})
	wantError(t, err, "private key does not match its public key")
}

// answering always returns the same signature.
type answering struct {
	crypto.Signer
	signature []byte
}

func (a answering) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return a.signature, nil
}

// crossed signs with another key than its public key.
type crossed struct {
	crypto.Signer
	other crypto.Signer
}

func (c crossed) Sign(r io.Reader, d []byte, o crypto.SignerOpts) ([]byte, error) {
	return c.other.Sign(r, d, o)
}

// rawSigner returns R‖S instead of ASN.1.
type rawSigner struct{ crypto.Signer }

func (rawSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 64), nil
}

type failingSigner struct{ crypto.Signer }

func (failingSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the KMS is away")
}

type oddSigner struct{ crypto.Signer }

func (oddSigner) Public() crypto.PublicKey { return "public" }

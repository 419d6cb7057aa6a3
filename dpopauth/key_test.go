package dpopauth_test

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
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth"
)

func TestD29_FormatsOfKeys(t *testing.T) {
	for _, kind := range kinds {
		want := newKey(t, kind.signer()).Thumbprint()
		for format, file := range formats(t, kind.signer()) {
			k, err := dpopauth.ParseKey(file)
			if err != nil {
				t.Errorf("%s as %s: %v", kind.name, format, err)
				continue
			}
			if k.Thumbprint() != want {
				t.Errorf("%s as %s: another key", kind.name, format)
			}
			if !k.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(kind.signer().Public()) {
				t.Errorf("%s as %s: another public key", kind.name, format)
			}
		}
	}
	for name, file := range map[string][]byte{
		"a set of one JWK":       []byte(`{"keys":[` + string(privateJWK(t, p256(), "")) + `]}`),
		"a key with certificate": append(block("PRIVATE KEY", pkcs8(t, p256())), block("CERTIFICATE", []byte{1})...),
		"a certificate with key": append(block("CERTIFICATE", []byte{1}), block("PRIVATE KEY", pkcs8(t, p256()))...),
	} {
		if _, err := dpopauth.ParseKey(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestD30_EncryptedPEM(t *testing.T) {
	sec1, err := x509.MarshalECPrivateKey(p256())
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range [][]byte{
		block("ENCRYPTED PRIVATE KEY", []byte("ciphertext")),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1, Headers: map[string]string{
			"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00112233445566778899AABBCCDDEEFF"}}),
	} {
		_, err := dpopauth.ParseKey(file)
		wantError(t, err, "encrypted", "openssl pkey")
	}
}

// algorithmKey is PKCS#8 of a kind that crypto/x509 does not know.
func algorithmKey(t testing.TB, oid, params asn1.ObjectIdentifier) []byte {
	t.Helper()
	algorithm := pkix.AlgorithmIdentifier{Algorithm: oid}
	if params != nil {
		b, err := asn1.Marshal(params)
		if err != nil {
			t.Fatal(err)
		}
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
	return block("PRIVATE KEY", der)
}

func TestD31_WhatIsNoPrivateKey(t *testing.T) {
	public, err := x509.MarshalPKIXPublicKey(p256().Public())
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := privateJWK(t, p256(), "")
	publicJWK := newKey(t, p256()).PublicJWK()
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "it is empty"},
		{"blank", []byte(" \r\n"), "it is empty"},
		{"public key", block("PUBLIC KEY", public), "a public key"},
		{"PKCS#1 public key", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsa1().PublicKey)), "a public key"},
		{"certificate", block("CERTIFICATE", []byte("secretsecretsecret")), "a certificate;"},
		{"request", block("CERTIFICATE REQUEST", []byte("secretsecretsecret")), "a certificate request"},
		{"OpenSSH key", block("OPENSSH PRIVATE KEY", []byte("secretsecretsecret")), "ssh-keygen"},
		{"OpenSSH public key", []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me"), "an OpenSSH public key"},
		{"X25519", block("PRIVATE KEY", pkcs8(t, x25519)), "X25519"},
		{"DSA", block("DSA PRIVATE KEY", []byte("secretsecretsecret")), "a DSA key"},
		{"DSA, PKCS#8", algorithmKey(t, asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}, nil), "a DSA key"},
		{"secp256k1", algorithmKey(t, asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, asn1.ObjectIdentifier{1, 3, 132, 0, 10}), "secp256k1"},
		{"X448", algorithmKey(t, asn1.ObjectIdentifier{1, 3, 101, 111}, nil), "X448"},
		{"Ed448", algorithmKey(t, asn1.ObjectIdentifier{1, 3, 101, 113}, nil), "Ed448"},
		{"P-224", block("PRIVATE KEY", pkcs8(t, p224)), "not on P-256"},
		{"broken PKCS#8", block("PRIVATE KEY", []byte("secretsecretsecret")), "broken"},
		{"other PEM", block("X509 CRL", []byte("secretsecretsecret")), "PEM of another type"},
		{"broken PEM", []byte("-----BEGIN PRIVATE KEY-----\n*secretsecretsecret*\n"), "broken PEM"},
		{"parameters alone", block("EC PARAMETERS", []byte("secretsecretsecret")), "broken PEM"},
		{"two keys", append(block("PRIVATE KEY", pkcs8(t, p256())), block("PRIVATE KEY", pkcs8(t, p384()))...), "several private keys"},
		{"JWK without d", publicJWK, "a JWK without d"},
		{"symmetric JWK", []byte(`{"kty":"oct","k":"c2VjcmV0c2VjcmV0"}`), "a symmetric key"},
		{"X25519 JWK", []byte(`{"kty":"OKP","crv":"X25519","x":"c2VjcmV0","d":"c2VjcmV0"}`), "X25519"},
		{"secp256k1 JWK", []byte(`{"kty":"EC","crv":"secp256k1","x":"c2VjcmV0","y":"c2VjcmV0","d":"c2VjcmV0"}`), "another curve"},
		{"JWK of no kty", []byte(`{"d":"c2VjcmV0"}`), "unknown kty"},
		{"JWK for encryption", privateJWK(t, rsa1(), `"use":"enc",`), "not for signing"},
		{"JWK set", []byte(`{"keys":[` + string(key) + `,` + string(key) + `]}`), "a JWK set"},
		{"empty JWK set", []byte(`{"keys":[]}`), "a JWK set"},
		{"JWK set of a string", []byte(`{"keys":["secret"]}`), "broken JSON"},
		{"broken JSON", []byte(`{"kty":"EC","d":"c2VjcmV0"`), "broken JSON"},
		{"JSON and more", append(bytes.Clone(key), '{'), "broken JSON"},
		{"doubled member", privateJWK(t, p256(), `"kty":"EC",`), "broken JSON"},
		{"DER", pkcs8(t, p256()), "binary data"},
		{"text", []byte("my secret key"), "neither PEM nor a JWK"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := keyFile(t, test.file, 0o600)
			_, err := dpopauth.LoadKey(path)
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
	weak := newRSA(1024)
	for format, file := range formats(t, weak) {
		_, err := dpopauth.ParseKey(file)
		wantError(t, err, "1024 bits")
		if err == nil {
			t.Error(format)
		}
	}
	var other map[string]json.RawMessage
	swap := func(s crypto.Signer, name string, from crypto.Signer) []byte {
		t.Helper()
		m := map[string]json.RawMessage{}
		if json.Unmarshal(privateJWK(t, s, ""), &m) != nil || json.Unmarshal(privateJWK(t, from, ""), &other) != nil {
			t.Fatal("unmarshal")
		}
		m[name] = other[name]
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
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
		"Ed25519 d":    swap(ed(), "d", ed2),
		"Ed25519 size": []byte(`{"kty":"OKP","crv":"Ed25519","x":"AA","d":"` + strings.Repeat("B", 60) + `"}`),
		"RSA d":        swap(rsa1(), "d", rsa2),
		"RSA n":        swap(rsa1(), "n", rsa2),
		"RSA p":        swap(rsa1(), "p", rsa2),
		"RSA no p":     []byte(strings.Replace(string(privateJWK(t, rsa1(), "")), `"p":`, `"P":`, 1)),
		"RSA huge e":   []byte(strings.Replace(string(privateJWK(t, rsa1(), "")), `"e":"AQAB"`, `"e":"AQABAQAB"`, 1)),
		"RSA e of 1":   []byte(strings.Replace(string(privateJWK(t, rsa1(), "")), `"e":"AQAB"`, `"e":"AQ"`, 1)),
		"RSA no e":     []byte(strings.Replace(string(privateJWK(t, rsa1(), "")), `"e":"AQAB"`, `"e":""`, 1)),
		"three primes": privateJWK(t, rsa1(), `"oth":[],`),
	} {
		if _, err := dpopauth.ParseKey(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, s := range map[string]crypto.Signer{
		"another private key": crossed{p256(), newEC(elliptic.P256())},
		"other RSA key":       crossed{rsa1(), rsa2},
		"other Ed25519 key":   crossed{ed(), ed2},
		"raw signature":       rawSigner{p256()},
		"failing":             failingSigner{p256()},
		"nil":                 nil,
		"unknown type":        oddSigner{p256()},
	} {
		if _, err := dpopauth.NewKey(s); err == nil {
			t.Errorf("NewKey(%s) = nil, want an error", name)
		}
	}
	if _, err := newKey(t, rsa1()).WithAlgorithm("PS256"); err != nil {
		t.Error(err)
	}
}

// crossed signs by another key than it shows.
type crossed struct {
	crypto.Signer
	other crypto.Signer
}

func (c crossed) Sign(r io.Reader, d []byte, o crypto.SignerOpts) ([]byte, error) {
	return c.other.Sign(r, d, o)
}

// rawSigner returns R and S side by side, where crypto.Signer wants ASN.1.
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

func TestD35_DPoPKeyIsNotTheClientKey(t *testing.T) {
	o := newOrg(t)
	cfg := o.config()
	cfg.DPoPKey = clientKey().WithID("other-name")
	_, err := dpopauth.New(cfg)
	wantError(t, err, "the DPoP key is the client key")
	cfg.Mode = dpopauth.Off // then it signs nothing
	if _, err := dpopauth.New(cfg); err != nil {
		t.Error(err)
	}
}

func TestD38_KidIsInTheAssertionAlone(t *testing.T) {
	for _, test := range []struct{ id, want string }{{"", ""}, {"k-1", "k-1"}, {`quoted "kid" <&>`, `quoted "kid" <&>`}} {
		o := newOrg(t, func(o *org) { o.client = clientKey().WithID(test.id) })
		mustGet(t, o.transport(), o.URL+"/a")
		s := o.tokenRequests()[0]
		if kid, ok := s.jose["kid"]; ok != (test.want != "") || ok && kid != test.want {
			t.Errorf("kid = %v, want %q", kid, test.want)
		}
		if _, ok := s.proof.header["kid"]; ok {
			t.Error("the proof has a kid")
		}
	}
	t.Run("from the file", func(t *testing.T) {
		k, err := dpopauth.ParseKey(privateJWK(t, p256(), `"kid":"from-jwk",`))
		if err != nil || k.ID() != "from-jwk" {
			t.Errorf("ID() = %q, %v", k.ID(), err)
		}
		if got := object(t, k.PublicJWK())["kid"]; got != "from-jwk" {
			t.Errorf("public kid = %v", got)
		}
	})
	t.Run("invalid_client", func(t *testing.T) {
		o := newOrg(t)
		o.token = func(w http.ResponseWriter, _ *seen) bool {
			o.oauthError(w, 401, "invalid_client", "The client_assertion signature is invalid.")
			return true
		}
		_, _, err := get(t, o.transport(), o.URL+"/a")
		hint := asError(t, err).Hint()
		for _, word := range []string{"client-1", clientKey().Thumbprint(), "0oa1"} {
			if !strings.Contains(hint, word) {
				t.Errorf("hint = %q, want %s in it", hint, word)
			}
		}
	})
}

// A farSigner is a KMS: it shows no private key and takes its time.
type farSigner struct {
	key  crypto.Signer
	sign func()
}

func (s farSigner) Public() crypto.PublicKey { return s.key.Public() }
func (s farSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.sign()
	return s.key.Sign(r, digest, o)
}

func TestD39_AnySigner(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			o := newOrg(t)
			far := newKey(t, farSigner{kind.signer(), func() {}})
			mustGet(t, o.transport(withKey(far)), o.URL+"/a")
			if err := far.WriteFile(t.TempDir() + "/key"); err == nil {
				t.Error("a key that is elsewhere was written")
			}
		})
	}
	t.Run("its latency is outside locks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := newPipeOrg(t)
			slow := false
			key := newKey(t, farSigner{p256(), func() {
				if slow {
					time.Sleep(time.Second)
				}
			}})
			tr := o.transport(withKey(key))
			mustGet(t, tr, o.URL+"/a")
			slow = true
			start := time.Now()
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() { mustGet(t, tr, o.URL+"/a") })
			}
			wg.Wait()
			if took := time.Since(start); took != time.Second {
				t.Errorf("50 signatures of 1 s took %v, want 1 s", took)
			}
		})
	})
	t.Run("its failure is the caller's error", func(t *testing.T) {
		o := newOrg(t)
		fail := false
		key := newKey(t, flaky{p256(), &fail})
		tr := o.transport(withKey(key))
		mustGet(t, tr, o.URL+"/a")
		fail = true
		_, _, err := get(t, tr, o.URL+"/a")
		wantError(t, err, "sign by ES256: the KMS is away")
		o.wantRequests(1, 1)
	})
	bubble(t, "the client key's as well", func(t *testing.T, o *org, _ *dpopauth.Transport) {
		fail := false
		o.client = newKey(t, flaky{p256(), &fail})
		tr := o.transport()
		fail = true
		_, _, err := get(t, tr, o.URL+"/a")
		wantError(t, err, "get token: sign by ES256: the KMS is away")
		o.wantRequests(0, 0)
	})
}

// flaky fails while *fail.
type flaky struct {
	crypto.Signer
	fail *bool
}

func (f flaky) Sign(r io.Reader, d []byte, o crypto.SignerOpts) ([]byte, error) {
	if *f.fail {
		return nil, errors.New("the KMS is away")
	}
	return f.Signer.Sign(r, d, o)
}

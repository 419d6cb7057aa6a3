package dpopauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"unicode/utf8"
)

// ParseKey reads a private key: PEM with PKCS#8, PKCS#1 or SEC 1 inside, or a
// JWK (RFC 7517). What data holds is told by its content. A JWK's kid and alg
// count. data is not kept.
//
// The private key itself stays in memory for as long as it is in use; Go has no
// way to promise that no copy of it outlives that, or is never swapped out.
func ParseKey(data []byte) (*Key, error) {
	k, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("parse key: %w", err)
	}
	return k, nil
}

func parseKey(data []byte) (*Key, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	switch {
	case len(data) == 0:
		return nil, errors.New("it is empty")
	case data[0] == '{':
		return parseJWK(data)
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return parsePEM(data)
	case bytes.HasPrefix(data, []byte("ssh-")), bytes.HasPrefix(data, []byte("ecdsa-sha2-")):
		return nil, found("an OpenSSH public key")
	case !utf8.Valid(data):
		return nil, found("binary data; PEM or a JWK is needed")
	default:
		return nil, found("text that is neither PEM nor a JWK")
	}
}

// found is the error for whatever is no private key that can be used.
func found(what string) error { return errors.New("found " + what) }

// What else PEM files hold, by the type of their block.
var otherPEM = map[string]string{
	"PUBLIC KEY":              "a public key; the private one is needed",
	"RSA PUBLIC KEY":          "a public key; the private one is needed",
	"CERTIFICATE":             "a certificate; its private key is needed",
	"CERTIFICATE REQUEST":     "a certificate request; its private key is needed",
	"NEW CERTIFICATE REQUEST": "a certificate request; its private key is needed",
	"OPENSSH PRIVATE KEY":     "an OpenSSH key; convert it with `ssh-keygen -p -m PKCS8 -f FILE`",
	"DSA PRIVATE KEY":         "a DSA key; EC, RSA or Ed25519 is needed",
	"ENCRYPTED PRIVATE KEY":   "an encrypted key; decrypt it with `openssl pkey -in FILE -out NEW`",
}

func parsePEM(data []byte) (*Key, error) {
	var key *Key
	var other error
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		k, err := parseBlock(block)
		clear(block.Bytes)
		switch {
		case k != nil && key != nil:
			return nil, found("several private keys; one is needed")
		case k != nil:
			key = k
		case err != nil && strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, err
		case other == nil:
			other = err
		}
	}
	switch {
	case key != nil:
		return key, nil
	case other != nil:
		return nil, other
	default:
		return nil, found("broken PEM")
	}
}

// parseBlock returns the key of one PEM block; nil and no error for EC
// PARAMETERS, which openssl puts before a SEC 1 key.
func parseBlock(b *pem.Block) (*Key, error) {
	if strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, found(otherPEM["ENCRYPTED PRIVATE KEY"])
	}
	var key any
	var err error
	switch b.Type {
	case "EC PARAMETERS":
		return nil, nil
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		if what, ok := otherPEM[b.Type]; ok {
			return nil, found(what)
		}
		return nil, found("PEM of another type than a private key")
	}
	if err != nil {
		return nil, found(brokenDER(b.Bytes)) // its own text is for who wrote the file, not for who reads our log
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, found("a key for key exchange (X25519 or the like), which can't sign")
	}
	return newKey(s, "", "")
}

// brokenDER says what is in DER that crypto/x509 refuses.
func brokenDER(der []byte) string {
	for oid, what := range map[string]string{
		"\x06\x05\x2b\x81\x04\x00\x0a":         "a secp256k1 key; P-256 is needed",
		"\x06\x07\x2a\x86\x48\xce\x38\x04\x01": "a DSA key; EC, RSA or Ed25519 is needed",
		"\x06\x03\x2b\x65\x6f":                 "an X448 key, which can't sign",
		"\x06\x03\x2b\x65\x71":                 "an Ed448 key; Ed25519 is needed",
	} {
		if bytes.Contains(der, []byte(oid)) {
			return what
		}
	}
	return "a private key that is broken or inconsistent"
}

func parseJWK(data []byte) (*Key, error) {
	m, err := members(data)
	if err != nil {
		return nil, found("broken JSON")
	}
	if set, ok := m["keys"]; ok {
		var keys []json.RawMessage
		if json.Unmarshal(set, &keys) != nil || len(keys) != 1 {
			return nil, found("a JWK set that has not just one key; one is needed")
		}
		if m, err = members(keys[0]); err != nil {
			return nil, found("broken JSON")
		}
	}
	j := jwk(m)
	if j.text("kty") == "oct" {
		return nil, found("a symmetric key; EC, RSA or Ed25519 is needed")
	}
	if _, ok := m["d"]; !ok {
		return nil, found("a JWK without d, a public key; the private one is needed")
	}
	if use := j.text("use"); use != "" && use != "sig" {
		return nil, found("a JWK that is not for signing")
	}
	s, err := j.signer()
	if err != nil {
		return nil, err
	}
	return newKey(s, j.text("kid"), j.text("alg"))
}

// jwk has the members of a JSON Web Key as they stand in the file.
type jwk map[string]json.RawMessage

// text returns a member that is a string, or "".
func (j jwk) text(name string) string {
	var s string
	_ = json.Unmarshal(j[name], &s)
	return s
}

// octets returns a member that is a base64url string, padded on the left to
// width. One that is absent or malformed fails the check of the key it is for.
func (j jwk) octets(name string, width int) []byte {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(j.text(name), "="))
	if err != nil {
		return nil
	}
	if b = bytes.TrimLeft(b, "\x00"); len(b) < width {
		b = append(make([]byte, width-len(b)), b...)
	}
	return b
}

var errMismatch = errors.New("JWK's private members do not belong to its public ones")

func (j jwk) signer() (crypto.Signer, error) {
	switch kty, crv := j.text("kty"), j.text("crv"); {
	case kty == "EC":
		for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			if c.Params().Name != crv {
				continue
			}
			n := (c.Params().BitSize + 7) / 8
			key, err := ecdsa.ParseRawPrivateKey(c, j.octets("d", n))
			if err != nil {
				return nil, errMismatch
			}
			point, err := key.PublicKey.Bytes()
			if err != nil || !bytes.Equal(point[1:], append(j.octets("x", n), j.octets("y", n)...)) {
				return nil, errMismatch
			}
			return key, nil
		}
		return nil, found("an EC key on another curve than P-256, P-384 and P-521")
	case kty == "RSA":
		return j.rsa()
	case kty == "OKP" && crv == "Ed25519":
		seed := j.octets("d", ed25519.SeedSize)
		if len(seed) != ed25519.SeedSize {
			return nil, errMismatch
		}
		key := ed25519.NewKeyFromSeed(seed)
		if !bytes.Equal(key[ed25519.SeedSize:], j.octets("x", ed25519.PublicKeySize)) {
			return nil, errMismatch
		}
		return key, nil
	case kty == "OKP":
		return nil, found("an OKP key on another curve than Ed25519, such as X25519, which can't sign")
	default:
		return nil, found("a JWK of an unknown kty")
	}
}

func (j jwk) rsa() (crypto.Signer, error) {
	if _, ok := j["oth"]; ok {
		return nil, found("an RSA key of more than two primes")
	}
	num := func(name string) *big.Int { return new(big.Int).SetBytes(j.octets(name, 0)) }
	n, e := num("n"), num("e")
	if bits := n.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("RSA key has %d bits, not %d to %d", bits, minRSABits, maxRSABits)
	}
	d, p, q := num("d"), num("p"), num("q")
	if e.BitLen() > 31 || d.Cmp(n) >= 0 || p.BitLen()+q.BitLen() > n.BitLen()+1 || new(big.Int).Mul(p, q).Cmp(n) != 0 {
		return nil, errMismatch
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: int(e.Int64())}, D: d, Primes: []*big.Int{p, q}}
	key.Precompute()
	if key.Validate() != nil {
		return nil, errMismatch
	}
	return key, nil
}

// members decodes one JSON object and nothing after it. Unlike encoding/json it
// takes no member twice and no broken UTF-8.
func members(data []byte) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if !utf8.Valid(data) || json.Unmarshal(data, &m) != nil || m == nil {
		return nil, errors.New("no JSON object")
	}
	dec, n := json.NewDecoder(bytes.NewReader(data)), 0
	_, _ = dec.Token() // all is well-formed, so nothing fails here
	for ; dec.More(); n++ {
		var value json.RawMessage
		_, _ = dec.Token()
		_ = dec.Decode(&value)
	}
	if n != len(m) {
		return nil, errors.New("a JSON object with a member twice")
	}
	return m, nil
}

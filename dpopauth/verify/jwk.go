package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	"github.com/go-jose/go-jose/v4"
)

// The minimum is that of RFC 7518, section 3.3. The maximum limits the work that
// an untrusted key can cause.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

var errKey = errors.New("not an accepted public key")

// parsePublicKey parses an untrusted public JWK (RFC 7517). Cheap checks come
// first. It ignores other members, such as kid, use or x5u.
func parsePublicKey(jwk object) (crypto.PublicKey, error) {
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if jwk.has(private) {
			return nil, errKey
		}
	}
	kty, _ := jwk.text("kty")
	crv, _ := jwk.text("crv")
	switch {
	case kty == "RSA":
		return parseRSAKey(jwk)
	case kty == "EC" && crv == "P-256":
		return parseECKey(elliptic.P256(), jwk)
	case kty == "EC" && crv == "P-384":
		return parseECKey(elliptic.P384(), jwk)
	case kty == "EC" && crv == "P-521":
		return parseECKey(elliptic.P521(), jwk)
	case kty == "OKP" && crv == "Ed25519":
		x, ok := jwk.bytes("x")
		if !ok || len(x) != ed25519.PublicKeySize {
			return nil, errKey
		}
		return ed25519.PublicKey(x), nil
	}
	return nil, errKey
}

// parseECKey requires x and y to be as wide as the curve (RFC 7518, section
// 6.2.1.2). ecdsa rejects points off the curve, and the point at infinity can't be
// encoded in this form.
func parseECKey(curve elliptic.Curve, jwk object) (crypto.PublicKey, error) {
	x, okX := jwk.bytes("x")
	y, okY := jwk.bytes("y")
	width := (curve.Params().BitSize + 7) / 8
	if !okX || !okY || len(x) != width || len(y) != width {
		return nil, errKey
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
	if err != nil {
		return nil, errKey
	}
	return key, nil
}

// parseRSAKey rejects leading zero octets in n and e (RFC 7518, section 6.3.1), so
// that each key has one encoding.
func parseRSAKey(jwk object) (crypto.PublicKey, error) {
	n, okN := jwk.bytes("n")
	e, okE := jwk.bytes("e")
	if !okN || !okE || len(n) > maxRSABits/8 || len(e) > 4 {
		return nil, errKey
	}
	if len(n) == 0 || n[0] == 0 || len(e) == 0 || e[0] == 0 {
		return nil, errKey
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n)}
	for _, octet := range e {
		key.E = key.E<<8 | int(octet)
	}
	if key.N.BitLen() < minRSABits || key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0 {
		return nil, errKey
	}
	return key, nil
}

// Thumbprint returns the SHA-256 thumbprint of a public key (RFC 7638; RFC 8037,
// section 2) in base64url. Access tokens contain it as cnf.jkt. It returns an
// error if the type of key is not supported.
func Thumbprint(key crypto.PublicKey) (string, error) {
	jwk := jose.JSONWebKey{Key: key}
	if !jwk.IsPublic() {
		return "", fmt.Errorf("compute thumbprint: %T is not a public key", key)
	}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("compute thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

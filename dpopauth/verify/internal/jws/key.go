package jws

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

// Bounds of RSA keys: RFC 7518 section 3.3 has the lower one, and the upper one
// bounds the work that a stranger's key can cause.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

var errKey = errors.New("not an accepted public key")

// PublicKey reads a JWK (RFC 7517) of a stranger: cheap checks first, so that a
// monstrous key costs nothing. Members it does not know, such as kid, use or
// x5u, are ignored and never followed.
func PublicKey(jwk Object) (crypto.PublicKey, error) {
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if jwk.Has(private) {
			return nil, errKey
		}
	}
	kty, _ := jwk.Text("kty")
	crv, _ := jwk.Text("crv")
	switch {
	case kty == "RSA":
		return rsaKey(jwk)
	case kty == "EC" && crv == "P-256":
		return ecKey(elliptic.P256(), jwk)
	case kty == "EC" && crv == "P-384":
		return ecKey(elliptic.P384(), jwk)
	case kty == "EC" && crv == "P-521":
		return ecKey(elliptic.P521(), jwk)
	case kty == "OKP" && crv == "Ed25519":
		x, ok := jwk.Bytes("x")
		if !ok || len(x) != ed25519.PublicKeySize {
			return nil, errKey
		}
		return ed25519.PublicKey(x), nil
	}
	return nil, errKey
}

// ecKey reads x and y, padded to the curve's width (RFC 7518, section 6.2.1.2).
// ecdsa refuses a point off the curve; the point at infinity has no such form.
func ecKey(curve elliptic.Curve, jwk Object) (crypto.PublicKey, error) {
	x, okX := jwk.Bytes("x")
	y, okY := jwk.Bytes("y")
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

// rsaKey reads n and e, neither with leading zero octets (RFC 7518, section
// 6.3.1), so that a key has one form only.
func rsaKey(jwk Object) (crypto.PublicKey, error) {
	n, okN := jwk.Bytes("n")
	e, okE := jwk.Bytes("e")
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
// section 2) in base64url. It is what an access token carries as cnf.jkt.
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

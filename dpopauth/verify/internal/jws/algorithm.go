package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // hashes of the algorithms below
	_ "crypto/sha512"
	"fmt"
	"math/big"
	"slices"
)

// An Algorithm is a way to sign (RFC 7518, section 3; RFC 8037, section 3.1;
// RFC 9864, section 2.2).
type Algorithm struct {
	Name  string
	curve elliptic.Curve // of ECDSA
	hash  crypto.Hash
	pss   bool
	eddsa bool
}

var algorithms = map[string]Algorithm{
	"ES256":   {curve: elliptic.P256(), hash: crypto.SHA256},
	"ES384":   {curve: elliptic.P384(), hash: crypto.SHA384},
	"ES512":   {curve: elliptic.P521(), hash: crypto.SHA512},
	"RS256":   {hash: crypto.SHA256},
	"RS384":   {hash: crypto.SHA384},
	"RS512":   {hash: crypto.SHA512},
	"PS256":   {hash: crypto.SHA256, pss: true},
	"PS384":   {hash: crypto.SHA384, pss: true},
	"PS512":   {hash: crypto.SHA512, pss: true},
	"EdDSA":   {eddsa: true},
	"Ed25519": {eddsa: true},
}

// Algorithms returns the names of all that there are. None of them is symmetric,
// and none is "none".
func Algorithms() []string {
	return []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519"}
}

// Allowed checks a configured list of algorithms; nil stands for all.
func Allowed(names []string) ([]string, error) {
	if names == nil {
		return Algorithms(), nil
	}
	for _, name := range names {
		if _, ok := algorithms[name]; !ok {
			return nil, fmt.Errorf("unknown signature algorithm %q", name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no signature algorithm allowed")
	}
	return slices.Clone(names), nil
}

// Fits says whether key is of the kind that a needs (RFC 8725, section 3.1).
func (a Algorithm) Fits(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return a.curve != nil && key.Curve == a.curve
	case *rsa.PublicKey:
		return a.curve == nil && !a.eddsa
	case ed25519.PublicKey:
		return a.eddsa
	}
	return false
}

// Verifies says whether key, which must fit a, signed t.
func (a Algorithm) Verifies(key crypto.PublicKey, t *JWS) bool {
	if key, ok := key.(ed25519.PublicKey); ok {
		return ed25519.Verify(key, []byte(t.Signed), t.Signature)
	}
	h := a.hash.New()
	h.Write([]byte(t.Signed))
	digest := h.Sum(nil)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		// R‖S, each as wide as the curve's order (RFC 7518, section 3.4); ecdsa
		// refuses what is not in 1…n-1.
		width := (a.curve.Params().BitSize + 7) / 8
		if len(t.Signature) != 2*width {
			return false
		}
		r := new(big.Int).SetBytes(t.Signature[:width])
		s := new(big.Int).SetBytes(t.Signature[width:])
		return ecdsa.Verify(key, digest, r, s)
	case *rsa.PublicKey:
		if a.pss {
			salt := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash} // RFC 7518, section 3.5
			return rsa.VerifyPSS(key, a.hash, digest, t.Signature, salt) == nil
		}
		return rsa.VerifyPKCS1v15(key, a.hash, digest, t.Signature) == nil
	}
	return false
}

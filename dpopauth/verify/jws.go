package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // hashes of the algorithms below
	_ "crypto/sha512"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// A jws is a JSON Web Signature in compact form (RFC 7515, section 3.1). Only its
// form is checked.
type jws struct {
	header, claims object
	signed         string // the signed part, exactly as received
	signature      []byte
}

// parseJWT parses a compact JWS of at most limit bytes with a JSON object as
// payload (RFC 7519). It accepts one encoding only, except for white space and
// order in the JSON.
func parseJWT(compact string, limit int) (*jws, bool) {
	if len(compact) > limit {
		return nil, false
	}
	t, payload, ok := splitJWS(compact)
	if !ok {
		return nil, false
	}
	t.claims, ok = parseObject(payload)
	return t, ok
}

// splitJWS parses a compact JWS with any payload.
func splitJWS(compact string) (t *jws, payload []byte, ok bool) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	t = &jws{signed: compact[:len(compact)-len(parts[2])-1]}
	header, okHeader := decodeBase64URL(parts[0])
	payload, okPayload := decodeBase64URL(parts[1])
	t.signature, ok = decodeBase64URL(parts[2])
	if !ok || !okHeader || !okPayload {
		return nil, nil, false
	}
	if t.header, ok = parseObject(header); !ok {
		return nil, nil, false
	}
	// No critical extension is supported (RFC 7515, section 4.1.11). b64 is valid
	// only together with crit.
	return t, payload, !t.header.has("crit") && !t.header.has("b64")
}

// algorithm returns the header's alg if it is in allowed.
func (t *jws) algorithm(allowed []string) (algorithm, bool) {
	name, _ := t.header.text("alg")
	if !slices.Contains(allowed, name) {
		return algorithm{}, false
	}
	alg, ok := algorithms[name]
	alg.name = name
	return alg, ok
}

// An algorithm is a signature algorithm (RFC 7518, section 3; RFC 8037, section
// 3.1; RFC 9864, section 2.2).
type algorithm struct {
	name  string
	curve elliptic.Curve // of ECDSA
	hash  crypto.Hash
	pss   bool
	eddsa bool
}

var algorithms = map[string]algorithm{
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

// Algorithms returns the names of all supported signature algorithms. None of
// them is symmetric, and none is "none".
func Algorithms() []string {
	return []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519"}
}

// allowedAlgorithms checks a configured list of algorithms; nil means all.
func allowedAlgorithms(names []string) ([]string, error) {
	if names == nil {
		return Algorithms(), nil
	}
	for _, name := range names {
		if _, ok := algorithms[name]; !ok {
			return nil, fmt.Errorf("unknown signature algorithm %q", name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no signature algorithm allowed")
	}
	return slices.Clone(names), nil
}

// fits reports whether key has the type that a requires (RFC 8725, section 3.1).
func (a algorithm) fits(key crypto.PublicKey) bool {
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

// verifies reports whether the signature of t is by key, which must fit a.
func (a algorithm) verifies(key crypto.PublicKey, t *jws) bool {
	if key, ok := key.(ed25519.PublicKey); ok {
		return ed25519.Verify(key, []byte(t.signed), t.signature)
	}
	h := a.hash.New()
	h.Write([]byte(t.signed))
	digest := h.Sum(nil)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		// R‖S, each as wide as the curve's order (RFC 7518, section 3.4). ecdsa.Verify
		// rejects values outside of 1…n-1.
		width := (a.curve.Params().BitSize + 7) / 8
		if len(t.signature) != 2*width {
			return false
		}
		r := new(big.Int).SetBytes(t.signature[:width])
		s := new(big.Int).SetBytes(t.signature[width:])
		return ecdsa.Verify(key, digest, r, s)
	case *rsa.PublicKey:
		if a.pss {
			salt := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash} // RFC 7518, section 3.5
			return rsa.VerifyPSS(key, a.hash, digest, t.signature, salt) == nil
		}
		return rsa.VerifyPKCS1v15(key, a.hash, digest, t.signature) == nil
	}
	return false
}

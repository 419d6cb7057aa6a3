package verify

import (
	"crypto"
)

// ParseJWK is publicKey, for comparing it with another reader of JWKs.
func ParseJWK(data []byte) (crypto.PublicKey, bool) {
	jwk, ok := unmarshalObject(data)
	if !ok {
		return nil, false
	}
	key, err := publicKey(jwk)
	return key, err == nil
}

// ParseObject is unmarshalObject, for comparing it with another reader of JSON.
func ParseObject(data []byte) (map[string]any, bool) { return unmarshalObject(data) }

// VerifySignature checks a bare signature, for vectors that have no JWS.
func VerifySignature(name string, key crypto.PublicKey, message string, signature []byte) bool {
	alg := algorithms[name]
	return alg.fits(key) && alg.verifies(key, &jws{signed: message, signature: signature})
}

// VerifyJWS checks a JWS with any payload by a JWKS, for vectors that are no JWTs.
func VerifyJWS(compact string, jwks []byte) bool {
	t, _, ok := splitJWS(compact)
	if !ok {
		return false
	}
	document, ok := unmarshalObject(jwks)
	if !ok {
		return false
	}
	keys, err := signingKeys(document)
	if err != nil {
		return false
	}
	alg, ok := t.algorithm(Algorithms())
	if !ok {
		return false
	}
	key, ok := pick(keys, t.header)
	return ok && key.fits(alg) && alg.verifies(key.Public, t)
}

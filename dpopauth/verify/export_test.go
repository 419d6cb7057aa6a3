package verify

import "crypto"

// ParseObject returns the members of one JSON object.
func ParseObject(data []byte) (map[string]any, bool) {
	o, ok := parseObject(data)
	return o, ok
}

// ParsePublicKey parses a JWK.
func ParsePublicKey(jwk map[string]any) (crypto.PublicKey, error) { return parsePublicKey(jwk) }

// VerifySignature reports whether alg allows key and verifies the signature.
func VerifySignature(alg string, key crypto.PublicKey, message, signature []byte) bool {
	t := &jws{header: object{"alg": alg}, signed: string(message), signature: signature}
	a, ok := t.algorithm(Algorithms())
	return ok && a.fits(key) && a.verifies(key, t)
}

// VerifyJWS verifies a JWS with any payload by a JWKS.
func VerifyJWS(compact string, jwks []byte) bool {
	t, _, ok := splitJWS(compact)
	if !ok {
		return false
	}
	document, ok := parseObject(jwks)
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
	key, ok := findKey(keys, t.header)
	return ok && key.fits(alg) && alg.verifies(key.Public, t)
}

package verify

import (
	"oktasync/dpopauth/verify/internal/jws"
)

// VerifyJWS checks a JWS with any payload by a JWKS, for vectors that are no JWTs.
func VerifyJWS(compact string, jwks []byte) bool {
	t, _, ok := jws.Split(compact)
	if !ok {
		return false
	}
	document, ok := jws.ReadObject(jwks)
	if !ok {
		return false
	}
	keys, err := signingKeys(document)
	if err != nil {
		return false
	}
	alg, ok := t.Algorithm(Algorithms())
	if !ok {
		return false
	}
	key, ok := pick(keys, t.Header)
	return ok && key.fits(alg) && alg.Verifies(key.Public, t)
}

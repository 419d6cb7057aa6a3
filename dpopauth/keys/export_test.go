package keys

import (
	"crypto"
)

// Thumbprint is the thumbprint of a public key whose private one nobody has.
func Thumbprint(pub crypto.PublicKey) (string, error) {
	jwk, err := publicJWK(pub)
	return thumbprint(jwk), err
}

package keys

import (
	"crypto"
)

// Thumbprint returns the thumbprint of a public key.
func Thumbprint(pub crypto.PublicKey) (string, error) {
	jwk, err := publicJWK(pub)
	return thumbprint(jwk), err
}

package verify

import "crypto"

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

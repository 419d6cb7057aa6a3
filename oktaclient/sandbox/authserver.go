package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
)

// issuer returns the issuer in the server's tokens and metadata.
func (s *authServer) issuer() string {
	if s.own {
		return s.org.URL()
	}
	return s.org.URL() + s.path
}

func (s *authServer) audience() string {
	if s.own {
		return s.org.URL()
	}
	return s.Audience
}

func (s *authServer) tokenURL() string { return s.org.URL() + s.path + "/v1/token" }

// metadata returns the server's metadata (RFC 8414).
func (s *authServer) metadata() any {
	document := map[string]any{
		"issuer": s.issuer(), "token_endpoint": s.tokenURL(), "jwks_uri": s.org.URL() + s.path + "/v1/keys",
		"grant_types_supported":                            []string{"client_credentials"},
		"token_endpoint_auth_methods_supported":            []string{"private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": algorithms,
		"dpop_signing_alg_values_supported":                algorithms,
	}
	if !s.own {
		document["scopes_supported"] = s.Scopes
	}
	return document
}

// RotateKeys adds a new signing key to every authorization server. The previous key
// stays published, so that clients can verify issued tokens.
func (o *Org) RotateKeys() {
	for _, s := range o.servers {
		s.rotateKey()
	}
}

func (s *authServer) rotateKey() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // can't happen: the curve is supported, and rand.Reader never fails
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotations++
	name := s.ID
	if s.own {
		name = "at"
	}
	s.keys = slices.Insert(s.keys[:min(len(s.keys), 1)], 0, signingKey{fmt.Sprintf("brightwater-%s-%d", name, s.rotations), key})
}

// sign returns an ES256 JWT (RFC 7515, RFC 7518 section 3.4). The typ of the org's
// own server marks tokens as internal. Custom servers set none.
func (s *authServer) sign(claims any) string {
	s.mu.Lock()
	signing := s.keys[0]
	s.mu.Unlock()
	header := map[string]string{"kid": signing.id, "alg": "ES256"}
	if s.own {
		header["typ"] = "application/okta-internal-at+jwt"
	}
	encode := func(v any) string {
		b, _ := json.Marshal(v) // of strings and numbers
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := encode(header) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	x, y, err := ecdsa.Sign(rand.Reader, signing.key, digest[:])
	if err != nil {
		panic(err) // can't happen: the key is valid, and rand.Reader never fails
	}
	signature := append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// jwks returns the server's public keys as a JWK set (RFC 7517).
func (s *authServer) jwks() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	encode := base64.RawURLEncoding.EncodeToString
	set := []map[string]string{}
	for _, k := range s.keys {
		point, err := k.key.PublicKey.Bytes() // 4, X, Y
		if err != nil {
			panic(err) // can't happen: rotateKey generated the key
		}
		set = append(set, map[string]string{
			"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": k.id,
			"x": encode(point[1:33]), "y": encode(point[33:]),
		})
	}
	return map[string]any{"keys": set}
}

// Package keys provides the private keys of a DPoP client: the keys that sign
// client assertions (RFC 7523) and proofs (RFC 9449). A key comes from a PEM or
// JWK file, is generated, or wraps any [crypto.Signer], for example of a KMS.
//
// Package [oktasync/dpopauth] signs with these keys. The commands load and write
// the key files of a configuration with it.
//
// Start reading at [Load] (file.go) and [Parse] (parse.go, jwk.go). Signatures are
// made in sign.go.
//
// # Algorithms
//
// The defaults are ES256, ES384 and ES512 for P-256, P-384 and P-521; RS256 for RSA
// of 2048 to 8192 bits; and EdDSA for Ed25519 keys. To use RS384, RS512, PS256, PS384,
// PS512, or the algorithm with the name Ed25519 (RFC 9864), set the alg of a JWK, or
// call [Key.WithAlgorithm].
//
// An [*ecdsa.PrivateKey] signs deterministically (RFC 6979). Other signers get
// [rand.Reader].
//
// # Secrets
//
// A private key appears in no log and no error; only [Key.WriteFile] writes one.
// A Key prints as "[redacted …]". Errors about a file are one line without any of
// its content. Buffers with file content are overwritten after parsing. The
// parsed key stays in memory, and Go can't guarantee that no copy remains.
package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

const (
	minRSABits = 2048 // RFC 7518, section 3.3
	maxRSABits = 8192 // beyond it a signature takes too long
)

// A Key signs client assertions and proofs. It is immutable and safe for
// concurrent use. Printing, logging or marshaling it shows only its algorithm and
// thumbprint.
type Key struct {
	id string
	m  *material // shared by all copies
}

// Generate returns a new P-256 key for ES256. The key stays in memory unless
// [Key.WriteFile] is called.
func Generate() (*Key, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return New(k)
}

// New returns a key that signs with s, for example of a KMS, a TPM or a PKCS#11
// token. An ECDSA signer must return ASN.1 DER, as crypto.Signer specifies. New
// signs once with s, and returns an error if its public key doesn't verify the
// signature or is not supported.
func New(s crypto.Signer) (*Key, error) {
	if s == nil {
		return nil, errors.New("new key: signer is nil")
	}
	k, err := newKey(s, "", "")
	if err != nil {
		return nil, fmt.Errorf("new key: %w", err)
	}
	return k, nil
}

func newKey(s crypto.Signer, id, alg string) (*Key, error) {
	pub := s.Public()
	jwk, err := publicJWK(pub)
	if err != nil {
		return nil, err
	}
	a, err := algorithmFor(pub, alg)
	if err != nil {
		return nil, err
	}
	m := &material{signer: func() crypto.Signer { return s }, alg: a, jwk: jwk, thumb: thumbprint(jwk)}
	m.proof = encode(header{Type: "dpop+jwt", Algorithm: a.name, JWK: json.RawMessage(jwk)})
	if err := m.check(); err != nil {
		return nil, err
	}
	return &Key{id: id, m: m}, nil
}

// SignProof returns a DPoP proof (RFC 9449, section 4.2) with the given claims,
// which must encode as a JSON object with a random jti. The error comes from the
// JSON encoder or from the signer. A remote signer may block.
func (k *Key) SignProof(claims any) (string, error) { return k.m.compact(k.m.proof, claims) }

// SignAssertion returns a client assertion (RFC 7523, section 3) with the given claims.
// Its header contains the key's id, if it has one. The errors are those of SignProof.
func (k *Key) SignAssertion(claims any) (string, error) {
	return k.m.compact(encode(header{Type: "JWT", Algorithm: k.m.alg.name, ID: k.id}), claims)
}

// publicJWK returns the JWK of pub with only the required members in lexicographic
// order. It is the input of the thumbprint (RFC 7638, section 3.2) and the jwk of
// a proof (RFC 9449, section 4.2).
func publicJWK(pub crypto.PublicKey) (string, error) {
	enc := base64.RawURLEncoding.EncodeToString
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		point, err := pub.Bytes() // 4, X, Y, both padded to the curve's width
		if err != nil || pub.Curve == elliptic.P224() {
			return "", errors.New("EC key is not on P-256, P-384 or P-521")
		}
		n := len(point) / 2
		return fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`,
			pub.Params().Name, enc(point[1:1+n]), enc(point[1+n:])), nil
	case *rsa.PublicKey:
		if bits := pub.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return "", fmt.Errorf("RSA key has %d bits, not %d to %d", bits, minRSABits, maxRSABits)
		}
		return fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`,
			enc(big.NewInt(int64(pub.E)).Bytes()), enc(pub.N.Bytes())), nil
	case ed25519.PublicKey:
		return fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":%q}`, enc(pub)), nil
	default:
		return "", fmt.Errorf("key type %T is not ECDSA, RSA or Ed25519", pub)
	}
}

// thumbprint hashes the result of publicJWK (RFC 7638).
func thumbprint(jwk string) string {
	sum := sha256.Sum256([]byte(jwk))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// WithID returns a copy of k with the id kid, which is the kid in the header of
// client assertions. Proofs have no kid.
func (k *Key) WithID(kid string) *Key { return &Key{id: kid, m: k.m} }

// WithAlgorithm returns a copy of k that signs with alg, such as PS256 for an RSA
// key. It returns an error if alg does not fit the key.
func (k *Key) WithAlgorithm(alg string) (*Key, error) {
	c, err := newKey(k.m.signer(), k.id, alg)
	if err != nil {
		return nil, fmt.Errorf("set algorithm: %w", err)
	}
	c.m.warning = k.m.warning
	return c, nil
}

// ID returns the kid of the JWK file, or the id that [Key.WithID] set.
func (k *Key) ID() string { return k.id }

// Algorithm returns the JWS algorithm (RFC 7518, section 3.1).
func (k *Key) Algorithm() string { return k.m.alg.name }

// Thumbprint returns the SHA-256 thumbprint of the public key (RFC 7638). It is
// the cnf.jkt of tokens that are bound to the key.
func (k *Key) Thumbprint() string { return k.m.thumb }

// Public returns the public key.
func (k *Key) Public() crypto.PublicKey { return k.m.signer().Public() }

// PublicJWK returns the public key as a JWK with use, alg and, if set, kid, for
// registration at a server.
func (k *Key) PublicJWK() []byte {
	more, _ := marshal(struct { // strings always encode
		Use       string `json:"use"`
		Algorithm string `json:"alg"`
		ID        string `json:"kid,omitempty"`
	}{"sig", k.m.alg.name, k.id})
	return append([]byte(k.m.jwk[:len(k.m.jwk)-1]+","), more[1:]...)
}

// Warning returns a warning about the key file, or "".
func (k *Key) Warning() string { return k.m.warning }

// Format prints algorithm and thumbprint for every verb of fmt.
func (k Key) Format(f fmt.State, verb rune) {
	text, _ := k.MarshalText()
	_, _ = f.Write(text)
}

// MarshalText returns algorithm and thumbprint for JSON and logs.
func (k Key) MarshalText() ([]byte, error) {
	if k.m == nil {
		return []byte("[redacted]"), nil
	}
	return []byte("[redacted " + k.m.alg.name + " key " + k.m.thumb + "]"), nil
}

// found returns the error for content that is not a usable private key.
func found(what string) error { return errors.New("found " + what) }

// Package keys has the private keys of a DPoP client: those that sign its client
// assertions (RFC 7523) and those that sign its proofs (RFC 9449). A key is read
// from a PEM or JWK file, made, or any [crypto.Signer], such as a KMS has.
//
// # Algorithms
//
// P-256, P-384 and P-521 sign by ES256, ES384 and ES512, RSA of 2048 to 8192 bits
// by RS256 and Ed25519 by EdDSA. For others of RSA (RS384, RS512, PS256, PS384,
// PS512) and for Ed25519's newer name see [Key.WithAlgorithm], or let a JWK's alg
// say so.
//
// An [*ecdsa.PrivateKey], as those from files are, signs by RFC 6979: without
// randomness, so that the same claims have the same signature. Any other signer is
// given [rand.Reader].
//
// # What is never written anywhere
//
// A private key is in no log and no error, and in no file but where
// [Key.WriteFile] is asked for one. A Key prints as "[redacted …]" whatever the
// verb, and is marshalled so. What is wrong about a file is said in one line
// without a byte of it. The octets of a file are wiped from memory once they are
// read; the key itself stays there for as long as it is in use, and Go has no way
// to promise that no copy of it outlives that, or is never swapped out.
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
// concurrent use. However it is printed, logged or marshalled, only its algorithm
// and thumbprint show.
type Key struct {
	id string
	m  *material
}

// material is what all copies of a key share.
type material struct {
	signer  func() crypto.Signer // a func: all else fmt may follow and print
	alg     algorithm
	jwk     string // the required public members in the order of RFC 7638
	thumb   string
	proof   string // the header of every proof by this key, encoded
	warning string // about the file it came from
}

// Generate returns a new P-256 key, for ES256. It is nowhere but in memory
// until [Key.WriteFile] is called.
func Generate() (*Key, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return New(k)
}

// New returns a key that signs by s, which may live elsewhere: in a KMS, a TPM, a
// PKCS#11 token. An ECDSA signer returns ASN.1 DER, as crypto.Signer has it. New
// has s sign once, to see that it is what its public key says.
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

// publicJWK returns the JWK of pub with the required members alone, in
// lexicographic order: the text that RFC 7638, section 3.2, has hashed, and all
// that a proof may show (RFC 9449, section 4.2).
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

// thumbprint hashes a JWK that has the required members in order (RFC 7638).
func thumbprint(jwk string) string {
	sum := sha256.Sum256([]byte(jwk))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// WithID returns a copy of k whose id, the kid of a client assertion's header,
// is kid. Proofs never carry one.
func (k *Key) WithID(kid string) *Key { return &Key{id: kid, m: k.m} }

// WithAlgorithm returns a copy of k that signs by alg, such as PS256 for an RSA
// key, or says why k can't.
func (k *Key) WithAlgorithm(alg string) (*Key, error) {
	c, err := newKey(k.m.signer(), k.id, alg)
	if err != nil {
		return nil, fmt.Errorf("set algorithm: %w", err)
	}
	c.m.warning = k.m.warning
	return c, nil
}

// ID returns the key's id: the kid of the JWK it was read from, or what
// [Key.WithID] set.
func (k *Key) ID() string { return k.id }

// Algorithm returns the JWS algorithm (RFC 7518, section 3.1).
func (k *Key) Algorithm() string { return k.m.alg.name }

// Thumbprint returns the SHA-256 thumbprint of the public key (RFC 7638), which
// is the cnf.jkt of tokens bound to it.
func (k *Key) Thumbprint() string { return k.m.thumb }

// Public returns the public key.
func (k *Key) Public() crypto.PublicKey { return k.m.signer().Public() }

// PublicJWK returns the public key as a JWK with use, alg and, where there is
// an id, kid: what an app's list of keys takes.
func (k *Key) PublicJWK() []byte {
	further, _ := marshal(struct { // strings always encode
		Use       string `json:"use"`
		Algorithm string `json:"alg"`
		ID        string `json:"kid,omitempty"`
	}{"sig", k.m.alg.name, k.id})
	return append([]byte(k.m.jwk[:len(k.m.jwk)-1]+","), further[1:]...)
}

// Warning says what is dubious about the file that k was loaded from, or nothing.
func (k *Key) Warning() string { return k.m.warning }

// Format prints k for every verb of fmt, without its private part.
func (k Key) Format(f fmt.State, verb rune) {
	text, _ := k.MarshalText()
	_, _ = f.Write(text)
}

// MarshalText keeps the private part out of JSON and logs as well.
func (k Key) MarshalText() ([]byte, error) {
	if k.m == nil {
		return []byte("[redacted]"), nil
	}
	return []byte("[redacted " + k.m.alg.name + " key " + k.m.thumb + "]"), nil
}

package dpopauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
)

const (
	minRSABits = 2048 // RFC 7518, section 3.3
	maxRSABits = 8192 // beyond it a signature takes too long
)

// A Key signs: client assertions as [Config.ClientKey], proofs as
// [Config.DPoPKey]. It is immutable and safe for concurrent use. However it is
// printed, logged or marshalled, only its algorithm and thumbprint show.
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
	warning string // about the file it came from, for New to log
}

// GenerateKey returns a new P-256 key, for ES256. It is nowhere but in memory
// until [Key.WriteFile] is called.
func GenerateKey() (*Key, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return NewKey(k)
}

// NewKey returns a key that signs by s, which may live elsewhere: in a KMS, a
// TPM, a PKCS#11 token. An ECDSA signer returns ASN.1 DER, as crypto.Signer has
// it. NewKey has s sign once, to see that it is what its public key says.
//
// P-256, P-384 and P-521 give ES256, ES384 and ES512, RSA gives RS256 and
// Ed25519 gives EdDSA; for others of RSA see [Key.WithAlgorithm].
func NewKey(s crypto.Signer) (*Key, error) {
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
	m := &material{signer: func() crypto.Signer { return s }, alg: a, jwk: jwk, thumb: hash(jwk)}
	m.proof = encode(`{"typ":"dpop+jwt","alg":"` + a.name + `","jwk":` + jwk + `}`)
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
	jwk := []byte(k.m.jwk[:len(k.m.jwk)-1] + `,"use":"sig","alg":"` + k.m.alg.name + `"`)
	if k.id != "" {
		jwk = appendString(append(jwk, `,"kid":`...), k.id)
	}
	return append(jwk, '}')
}

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

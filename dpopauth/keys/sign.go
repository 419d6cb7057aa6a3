package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms below
	_ "crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// An algorithm is a JWS algorithm: the options for a crypto.Signer, and the form
// of its result.
type algorithm struct {
	name string
	opts crypto.SignerOpts
	size int // ECDSA: length of R and of S in octets
}

// algorithms lists the default of each key type first.
var algorithms = []algorithm{
	{"ES256", crypto.SHA256, 32}, // RFC 7518, section 3.4
	{"ES384", crypto.SHA384, 48},
	{"ES512", crypto.SHA512, 66},
	{"RS256", crypto.SHA256, 0}, // section 3.3
	{"RS384", crypto.SHA384, 0},
	{"RS512", crypto.SHA512, 0},
	{"PS256", pss(crypto.SHA256), 0}, // section 3.5
	{"PS384", pss(crypto.SHA384), 0},
	{"PS512", pss(crypto.SHA512), 0},
	{"EdDSA", crypto.Hash(0), 0},   // RFC 8037, section 3.1
	{"Ed25519", crypto.Hash(0), 0}, // RFC 9864, section 2.2
}

func pss(h crypto.Hash) *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
}

// fits reports whether keys of pub's type sign with a.
func (a algorithm) fits(pub crypto.PublicKey) bool {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		return a.size == (pub.Params().BitSize+7)/8
	case *rsa.PublicKey:
		return a.size == 0 && a.opts.HashFunc() != 0
	default:
		return a.opts.HashFunc() == 0
	}
}

// digest returns the hash of input, or input itself for EdDSA.
func (a algorithm) digest(input []byte) []byte {
	h := a.opts.HashFunc()
	if h == 0 {
		return input
	}
	w := h.New()
	w.Write(input)
	return w.Sum(nil)
}

// algorithmFor returns the algorithm with that name, or the default for pub if
// name is empty.
func algorithmFor(pub crypto.PublicKey, name string) (algorithm, error) {
	var fit []string
	for _, a := range algorithms {
		if a.fits(pub) {
			if name == "" || name == a.name {
				return a, nil
			}
			fit = append(fit, a.name)
		}
	}
	return algorithm{}, fmt.Errorf("algorithm %.20q does not fit the key; use %s", name, strings.Join(fit, ", "))
}

// A header is a JWS header (RFC 7515, section 4.1). A proof contains the public
// key, and an assertion its id.
type header struct {
	Type      string          `json:"typ"`
	Algorithm string          `json:"alg"`
	JWK       json.RawMessage `json:"jwk,omitempty"`
	ID        string          `json:"kid,omitempty"`
}

// material is the key pair and the values derived from it.
type material struct {
	signer  func() crypto.Signer // a func, because fmt can't print its value
	alg     algorithm
	jwk     string // the required public members, in the order of RFC 7638
	thumb   string
	proof   string // the encoded header of every proof
	warning string // about the key file
}

// compact returns a JWS in compact form (RFC 7515, section 7.1). header is already
// encoded.
func (m *material) compact(header string, claims any) (string, error) {
	payload, err := marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	buf := append(make([]byte, 0, 1<<10), header...) // grows only for RSA
	buf = base64.RawURLEncoding.AppendEncode(append(buf, '.'), payload)
	sig, err := m.sign(buf)
	if err != nil {
		return "", err
	}
	return string(base64.RawURLEncoding.AppendEncode(append(buf, '.'), sig)), nil
}

// marshal returns v as JSON without HTML escapes.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func encode(h header) string {
	b, _ := marshal(h) // strings always encode
	return base64.RawURLEncoding.EncodeToString(b)
}

// sign returns the signature over input in JWS form.
//
// Without a random source, crypto/ecdsa signs as RFC 6979 specifies, in four fifths
// of the time. Randomness protects against fault attacks on repeated signatures of
// one message. Proofs and assertions contain a random id, so each message is signed
// once, and the signature of check is never sent.
func (m *material) sign(input []byte) ([]byte, error) {
	signer, random := m.signer(), rand.Reader
	if _, ok := signer.(*ecdsa.PrivateKey); ok {
		random = nil
	}
	sig, err := signer.Sign(random, m.alg.digest(input), m.alg.opts)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", m.alg.name, err)
	}
	if m.alg.size == 0 {
		return sig, nil
	}
	return raw(sig, m.alg.size)
}

// raw converts an ASN.1 ECDSA signature to R‖S, each padded to size octets
// (RFC 7518, section 3.4).
func raw(der []byte, size int) ([]byte, error) {
	var sig struct{ R, S asn1.RawValue }
	rest, err := asn1.Unmarshal(der, &sig)
	out := make([]byte, 2*size)
	if err != nil || len(rest) > 0 || !pad(out[:size], sig.R) || !pad(out[size:], sig.S) {
		return nil, errors.New("the signer did not return an ASN.1 ECDSA signature")
	}
	return out, nil
}

// pad writes a positive integer to dst with leading zeros.
func pad(dst []byte, n asn1.RawValue) bool {
	digits := bytes.TrimLeft(n.Bytes, "\x00")
	if n.Class != asn1.ClassUniversal || n.Tag != asn1.TagInteger || len(digits) == 0 || len(digits) > len(dst) || n.Bytes[0] >= 0x80 {
		return false
	}
	copy(dst[len(dst)-len(digits):], digits)
	return true
}

// check signs once and verifies the signature, so that a private key that doesn't
// match its public key is an error at load.
func (m *material) check() error {
	input := []byte("dpopauth")
	sig, err := m.sign(input)
	if err != nil {
		return err
	}
	digest, valid := m.alg.digest(input), false
	switch pub := m.signer().Public().(type) {
	case *ecdsa.PublicKey:
		n := m.alg.size
		valid = ecdsa.Verify(pub, digest, new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
	case *rsa.PublicKey:
		if o, ok := m.alg.opts.(*rsa.PSSOptions); ok {
			valid = rsa.VerifyPSS(pub, o.Hash, digest, sig, o) == nil
		} else {
			valid = rsa.VerifyPKCS1v15(pub, m.alg.opts.HashFunc(), digest, sig) == nil
		}
	case ed25519.PublicKey:
		valid = ed25519.Verify(pub, input, sig)
	}
	if !valid {
		return errors.New("the private key does not match its public key")
	}
	return nil
}

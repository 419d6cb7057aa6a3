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

// An algorithm is a JWS algorithm: how a crypto.Signer is called, and what
// becomes of what it returns.
type algorithm struct {
	name string
	opts crypto.SignerOpts
	size int // ECDSA: octets of R and of S
}

// algorithms has the default of each kind of key first.
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

// fits reports whether keys like pub sign by a.
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

// digest returns what a signer is given: the hash of input, or for EdDSA all of it.
func (a algorithm) digest(input []byte) []byte {
	h := a.opts.HashFunc()
	if h == 0 {
		return input
	}
	w := h.New()
	w.Write(input)
	return w.Sum(nil)
}

// algorithmFor returns the algorithm called name, or the default for pub where
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
	return algorithm{}, fmt.Errorf("algorithm %.20q does not fit the key, which signs by %s", name, strings.Join(fit, ", "))
}

// The header of a JWS (RFC 7515, section 4.1). A proof shows the key, an assertion
// names it.
type header struct {
	Type      string          `json:"typ"`
	Algorithm string          `json:"alg"`
	JWK       json.RawMessage `json:"jwk,omitempty"`
	ID        string          `json:"kid,omitempty"`
}

// SignProof returns a DPoP proof (RFC 9449, section 4.2) of these claims. They
// encode as a JSON object, and a random jti in them is what makes each proof a new
// one. The header is encoded once a key, so that the rest costs little more than the
// signature. An error is the encoder's or the signer's, and a far-away signer may
// take its time.
func (k *Key) SignProof(claims any) (string, error) { return k.m.compact(k.m.proof, claims) }

// SignAssertion returns a client assertion (RFC 7523, section 3) of these claims,
// likewise. Its header has the key's id, if there is one.
func (k *Key) SignAssertion(claims any) (string, error) {
	return k.m.compact(encode(header{Type: "JWT", Algorithm: k.m.alg.name, ID: k.id}), claims)
}

// compact returns a JWS in compact form (RFC 7515, section 7.1). The header is
// encoded already.
func (m *material) compact(header string, claims any) (string, error) {
	payload, err := marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	const enough = 1 << 10 // for the signature too, so that buf grows only for RSA
	buf := append(make([]byte, 0, enough), header...)
	buf = base64.RawURLEncoding.AppendEncode(append(buf, '.'), payload)
	sig, err := m.sign(buf)
	if err != nil {
		return "", err
	}
	return string(base64.RawURLEncoding.AppendEncode(append(buf, '.'), sig)), nil
}

// marshal returns v as JSON with no more escapes than JSON needs.
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

// sign returns the signature over input in the form that JWS has it.
//
// crypto/ecdsa signs by RFC 6979 where it is given no randomness, in four fifths
// of the time. Its own way adds randomness for the case that one message is signed
// many times and faults are provoked meanwhile; proofs and assertions have a random
// id in them, so that each is signed once, and what check signs leaves no trace.
func (m *material) sign(input []byte) ([]byte, error) {
	signer, random := m.signer(), rand.Reader
	if _, ok := signer.(*ecdsa.PrivateKey); ok {
		random = nil
	}
	sig, err := signer.Sign(random, m.alg.digest(input), m.alg.opts)
	if err != nil {
		return nil, fmt.Errorf("sign by %s: %w", m.alg.name, err)
	}
	if m.alg.size == 0 {
		return sig, nil
	}
	return raw(sig, m.alg.size)
}

// raw turns an ASN.1 ECDSA signature into R and S side by side, each padded to
// size octets (RFC 7518, section 3.4).
func raw(der []byte, size int) ([]byte, error) {
	var sig struct{ R, S asn1.RawValue }
	rest, err := asn1.Unmarshal(der, &sig)
	out := make([]byte, 2*size)
	if err != nil || len(rest) > 0 || !pad(out[:size], sig.R) || !pad(out[size:], sig.S) {
		return nil, errors.New("signer returned no ASN.1 ECDSA signature")
	}
	return out, nil
}

// pad writes a positive integer into all of dst.
func pad(dst []byte, n asn1.RawValue) bool {
	digits := bytes.TrimLeft(n.Bytes, "\x00")
	if n.Class != asn1.ClassUniversal || n.Tag != asn1.TagInteger || len(digits) == 0 || len(digits) > len(dst) || n.Bytes[0] >= 0x80 {
		return false
	}
	copy(dst[len(dst)-len(digits):], digits)
	return true
}

// check signs once and verifies, so that a private key that does not belong to
// its public one is found at load and not by the server.
func (m *material) check() error {
	input := []byte("dpopauth")
	sig, err := m.sign(input)
	if err != nil {
		return err
	}
	digest, good := m.alg.digest(input), false
	switch pub := m.signer().Public().(type) {
	case *ecdsa.PublicKey:
		n := m.alg.size
		good = ecdsa.Verify(pub, digest, new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
	case *rsa.PublicKey:
		if o, ok := m.alg.opts.(*rsa.PSSOptions); ok {
			good = rsa.VerifyPSS(pub, o.Hash, digest, sig, o) == nil
		} else {
			good = rsa.VerifyPKCS1v15(pub, m.alg.opts.HashFunc(), digest, sig) == nil
		}
	case ed25519.PublicKey:
		good = ed25519.Verify(pub, input, sig)
	}
	if !good {
		return errors.New("private key does not belong to its public key")
	}
	return nil
}

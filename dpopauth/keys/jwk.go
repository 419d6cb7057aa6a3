package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A jwk contains the raw members of a JSON Web Key (RFC 7517).
type jwk map[string]jsontext.Value

func parseJWK(data []byte) (*Key, error) {
	var j jwk
	defer func() { j.wipe() }()
	if json.Unmarshal(data, &j) != nil { // also rejects duplicate members and invalid UTF-8
		return nil, found("broken JSON")
	}
	if set, ok := j["keys"]; ok {
		var keys []jwk
		err := json.Unmarshal(set, &keys)
		defer func() {
			for _, k := range keys {
				k.wipe()
			}
		}()
		if err != nil || len(keys) != 1 {
			return nil, found("a JWK set that does not contain exactly one key; one is needed")
		}
		return keys[0].parse()
	}
	return j.parse()
}

func (j jwk) parse() (*Key, error) {
	if j.text("kty") == "oct" {
		return nil, found("a symmetric key; EC, RSA or Ed25519 is needed")
	}
	if _, ok := j["d"]; !ok {
		return nil, found("a JWK without d, a public key; the private key is needed")
	}
	if use := j.text("use"); use != "" && use != "sig" {
		return nil, found("a JWK that is not for signing")
	}
	s, err := j.signer()
	if err != nil {
		return nil, err
	}
	return newKey(s, j.text("kid"), j.text("alg"))
}

// wipe overwrites the members, which are copies of parts of the file.
func (j jwk) wipe() {
	for _, value := range j {
		clear(value)
	}
}

// text returns a string member, or "" for other types.
func (j jwk) text(name string) string {
	var s string
	_ = json.Unmarshal(j[name], &s)
	return s
}

// octets returns a base64url member, padded on the left to width. It returns nil
// if the member is absent or malformed; the checks of the key then fail.
func (j jwk) octets(name string, width int) []byte {
	raw := j[name]
	if raw.Kind() != jsontext.KindString {
		return nil
	}
	text := raw[1 : len(raw)-1] // not a string, which could not be wiped
	if bytes.IndexByte(text, '\\') >= 0 {
		text = []byte(j.text(name))
	}
	b, err := base64.RawURLEncoding.AppendDecode(nil, bytes.TrimRight(text, "="))
	if err != nil {
		return nil
	}
	if b = bytes.TrimLeft(b, "\x00"); len(b) < width {
		b = append(make([]byte, width-len(b)), b...)
	}
	return b
}

var errMismatch = errors.New("the private members of the JWK do not match its public ones")

func (j jwk) signer() (crypto.Signer, error) {
	switch kty, crv := j.text("kty"), j.text("crv"); {
	case kty == "EC":
		for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			if c.Params().Name != crv {
				continue
			}
			n := (c.Params().BitSize + 7) / 8
			key, err := ecdsa.ParseRawPrivateKey(c, j.octets("d", n))
			if err != nil {
				return nil, errMismatch
			}
			point, err := key.PublicKey.Bytes()
			if err != nil || !bytes.Equal(point[1:], append(j.octets("x", n), j.octets("y", n)...)) {
				return nil, errMismatch
			}
			return key, nil
		}
		return nil, found("an EC key on a curve other than P-256, P-384 and P-521")
	case kty == "RSA":
		return j.rsa()
	case kty == "OKP" && crv == "Ed25519":
		seed := j.octets("d", ed25519.SeedSize)
		if len(seed) != ed25519.SeedSize {
			return nil, errMismatch
		}
		key := ed25519.NewKeyFromSeed(seed)
		if !bytes.Equal(key[ed25519.SeedSize:], j.octets("x", ed25519.PublicKeySize)) {
			return nil, errMismatch
		}
		return key, nil
	case kty == "OKP":
		return nil, found("an OKP key on a curve other than Ed25519, such as X25519, which can't sign")
	default:
		return nil, found("a JWK of unknown kty")
	}
}

func (j jwk) rsa() (crypto.Signer, error) {
	if _, ok := j["oth"]; ok {
		return nil, found("an RSA key with more than two primes")
	}
	num := func(name string) *big.Int { return new(big.Int).SetBytes(j.octets(name, 0)) }
	n, e := num("n"), num("e")
	if bits := n.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("RSA key has %d bits, not %d to %d", bits, minRSABits, maxRSABits)
	}
	d, p, q := num("d"), num("p"), num("q")
	if e.BitLen() > 31 || d.Cmp(n) >= 0 || p.BitLen()+q.BitLen() > n.BitLen()+1 || new(big.Int).Mul(p, q).Cmp(n) != 0 {
		return nil, errMismatch
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: int(e.Int64())}, D: d, Primes: []*big.Int{p, q}}
	key.Precompute()
	if key.Validate() != nil {
		return nil, errMismatch
	}
	return key, nil
}

package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"oktasync/dpopauth/internal/parse"
)

func parseJWK(data []byte) (*Key, error) {
	o, err := parse.JSON(data)
	if err != nil {
		return nil, found("broken JSON")
	}
	defer o.Wipe()
	if set, ok := o["keys"]; ok {
		if o, err = onlyKey(set); err != nil {
			return nil, err
		}
		defer o.Wipe()
	}
	j := jwk{o}
	if j.Text("kty") == "oct" {
		return nil, found("a symmetric key; EC, RSA or Ed25519 is needed")
	}
	if _, ok := o["d"]; !ok {
		return nil, found("a JWK without d, a public key; the private one is needed")
	}
	if use := j.Text("use"); use != "" && use != "sig" {
		return nil, found("a JWK that is not for signing")
	}
	s, err := j.signer()
	if err != nil {
		return nil, err
	}
	return newKey(s, j.Text("kid"), j.Text("alg"))
}

// onlyKey returns the members of the one key of a set.
func onlyKey(set json.RawMessage) (parse.Object, error) {
	var keys []json.RawMessage
	err := json.Unmarshal(set, &keys)
	defer func() {
		for _, k := range keys {
			clear(k)
		}
	}()
	if err != nil || len(keys) != 1 {
		return nil, found("a JWK set that has not just one key; one is needed")
	}
	o, err := parse.JSON(keys[0])
	if err != nil {
		return nil, found("broken JSON")
	}
	return o, nil
}

// jwk has the members of a JSON Web Key as they stand in the file.
type jwk struct{ parse.Object }

// octets returns a member that is a base64url string, padded on the left to
// width. One that is absent or malformed fails the check of the key it is for.
func (j jwk) octets(name string, width int) []byte {
	raw := j.Object[name]
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	text := raw[1 : len(raw)-1] // not as a string, which could not be wiped
	if bytes.IndexByte(text, '\\') >= 0 {
		text = []byte(j.Text(name))
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

var errMismatch = errors.New("JWK's private members do not belong to its public ones")

func (j jwk) signer() (crypto.Signer, error) {
	switch kty, crv := j.Text("kty"), j.Text("crv"); {
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
		return nil, found("an EC key on another curve than P-256, P-384 and P-521")
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
		return nil, found("an OKP key on another curve than Ed25519, such as X25519, which can't sign")
	default:
		return nil, found("a JWK of an unknown kty")
	}
}

func (j jwk) rsa() (crypto.Signer, error) {
	if _, ok := j.Object["oth"]; ok {
		return nil, found("an RSA key of more than two primes")
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

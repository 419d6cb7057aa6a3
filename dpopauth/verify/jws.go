package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // hashes of the algorithms below
	_ "crypto/sha512"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json" // refuses doubled members, tells "alg" from "ALG"
)

// maxDepth is how deep JSON may nest. A proof needs 2.
const maxDepth = 8

// A jws is a JWS in compact form (RFC 7515, section 3.1) of which nothing but
// the form is checked yet.
type jws struct {
	header, claims object
	signed         string // the first two parts as they came: what was signed is what was parsed
	signature      []byte
}

// parseJWS reads a compact JWS of at most size bytes whose payload is a JSON
// object, as that of every JWT. There is exactly one way to write what it
// accepts, but for white space and order inside the JSON.
func parseJWS(compact string, size int) (*jws, bool) {
	if len(compact) > size {
		return nil, false
	}
	t, payload, ok := splitJWS(compact)
	if !ok {
		return nil, false
	}
	t.claims, ok = unmarshalObject(payload)
	return t, ok
}

// splitJWS reads a compact JWS with any payload.
func splitJWS(compact string) (t *jws, payload []byte, ok bool) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	t = &jws{signed: compact[:len(compact)-len(parts[2])-1]}
	header, okHeader := decode(parts[0])
	payload, okPayload := decode(parts[1])
	t.signature, ok = decode(parts[2])
	if !ok || !okHeader || !okPayload {
		return nil, nil, false
	}
	if t.header, ok = unmarshalObject(header); !ok {
		return nil, nil, false
	}
	// An extension that must be understood is one that we don't
	// (RFC 7515, section 4.1.11). b64 is valid only together with it.
	return t, payload, !t.header.has("crit") && !t.header.has("b64")
}

// algorithm returns the header's alg if it is among allowed.
func (t *jws) algorithm(allowed []string) (algorithm, bool) {
	name, _ := t.header.string("alg")
	if !slices.Contains(allowed, name) {
		return algorithm{}, false
	}
	alg, ok := algorithms[name]
	alg.name = name
	return alg, ok
}

var base64url = base64.RawURLEncoding.Strict() // Strict: no stray bits at the end

// decode reads base64url without padding in its one canonical form
// (RFC 7515, section 2; RFC 4648, section 3.5).
func decode(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // encoding/base64 skips them
		return nil, false
	}
	b, err := base64url.DecodeString(s)
	return b, err == nil
}

// An object is a JSON object whose members have not been checked yet.
type object map[string]any

// unmarshalObject reads exactly one JSON object: no doubled members at any
// level, nothing after it, valid UTF-8, not too deep.
func unmarshalObject(data []byte) (object, bool) {
	var o object
	if !utf8.Valid(data) || nesting(data) > maxDepth || json.Unmarshal(data, &o) != nil {
		return nil, false
	}
	return o, o != nil // null is no object
}

// nesting bounds the depth of JSON from above: brackets inside strings do not
// count, and what is not JSON is found later.
func nesting(data []byte) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

func (o object) has(name string) bool { _, ok := o[name]; return ok }

func (o object) string(name string) (string, bool) {
	s, ok := o[name].(string)
	return s, ok
}

func (o object) object(name string) (object, bool) {
	m, ok := o[name].(map[string]any)
	return m, ok
}

// bytes decodes a member in base64url.
func (o object) bytes(name string) ([]byte, bool) {
	s, ok := o.string(name)
	if !ok {
		return nil, false
	}
	return decode(s)
}

// time reads a NumericDate (RFC 7519, section 2). Fractions are legal and
// are cut off; beyond 2⁵³ JSON numbers are no longer exact.
func (o object) time(name string) (time.Time, bool) {
	seconds, ok := o[name].(float64)
	if !ok || seconds < 0 || seconds > 1<<53 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

// strings reads a member that is one string or a list of them, such as aud.
func (o object) strings(name string) ([]string, bool) {
	switch v := o[name].(type) {
	case string:
		return []string{v}, true
	case []any:
		list := make([]string, len(v))
		for i := range v {
			s, ok := v[i].(string)
			if !ok {
				return nil, false
			}
			list[i] = s
		}
		return list, true
	}
	return nil, false
}

// An algorithm is a way to sign (RFC 7518, section 3; RFC 8037, section 3.1;
// RFC 9864, section 2.2).
type algorithm struct {
	name  string
	curve elliptic.Curve // of ECDSA
	hash  crypto.Hash
	pss   bool
	eddsa bool
}

var algorithms = map[string]algorithm{
	"ES256":   {curve: elliptic.P256(), hash: crypto.SHA256},
	"ES384":   {curve: elliptic.P384(), hash: crypto.SHA384},
	"ES512":   {curve: elliptic.P521(), hash: crypto.SHA512},
	"RS256":   {hash: crypto.SHA256},
	"RS384":   {hash: crypto.SHA384},
	"RS512":   {hash: crypto.SHA512},
	"PS256":   {hash: crypto.SHA256, pss: true},
	"PS384":   {hash: crypto.SHA384, pss: true},
	"PS512":   {hash: crypto.SHA512, pss: true},
	"EdDSA":   {eddsa: true},
	"Ed25519": {eddsa: true},
}

// Algorithms returns the names of all signature algorithms that this package
// knows. None of them is symmetric, and none is "none".
func Algorithms() []string {
	return []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519"}
}

// allowed checks a configured list of algorithms; nil stands for all.
func allowed(names []string) ([]string, error) {
	if names == nil {
		return Algorithms(), nil
	}
	for _, name := range names {
		if _, ok := algorithms[name]; !ok {
			return nil, fmt.Errorf("unknown signature algorithm %q", name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no signature algorithm allowed")
	}
	return slices.Clone(names), nil
}

// fits says whether key is of the kind that a needs (RFC 8725, section 3.1).
func (a algorithm) fits(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return a.curve != nil && key.Curve == a.curve
	case *rsa.PublicKey:
		return a.curve == nil && !a.eddsa
	case ed25519.PublicKey:
		return a.eddsa
	}
	return false
}

// verifies says whether key, which must fit a, signed t.
func (a algorithm) verifies(key crypto.PublicKey, t *jws) bool {
	if key, ok := key.(ed25519.PublicKey); ok {
		return ed25519.Verify(key, []byte(t.signed), t.signature)
	}
	h := a.hash.New()
	h.Write([]byte(t.signed))
	digest := h.Sum(nil)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		// R‖S, each as wide as the curve's order (RFC 7518, section 3.4); ecdsa
		// refuses what is not in 1…n-1.
		width := (a.curve.Params().BitSize + 7) / 8
		if len(t.signature) != 2*width {
			return false
		}
		r := new(big.Int).SetBytes(t.signature[:width])
		s := new(big.Int).SetBytes(t.signature[width:])
		return ecdsa.Verify(key, digest, r, s)
	case *rsa.PublicKey:
		if a.pss {
			salt := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash} // RFC 7518, section 3.5
			return rsa.VerifyPSS(key, a.hash, digest, t.signature, salt) == nil
		}
		return rsa.VerifyPKCS1v15(key, a.hash, digest, t.signature) == nil
	}
	return false
}

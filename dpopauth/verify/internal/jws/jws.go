// Package jws reads what a stranger has signed: JSON web signatures (RFC 7515), the
// JSON in them, and keys (RFC 7517). It takes everything in one form only:
// base64url, JSON members, points and RSA numbers, and refuses what nobody here could
// use: extensions that must be understood, private keys, RSA keys that are too small
// or too large. What must be in a header, which key may sign and by which algorithm is
// its callers' business.
package jws

import (
	"encoding/base64"
	"slices"
	"strings"
)

// A JWS is one in compact form (RFC 7515, section 3.1) of which nothing but the
// form is checked yet.
type JWS struct {
	Header, Claims Object
	Signed         string // the first two parts as they came: what was signed is what was parsed
	Signature      []byte
}

// Parse reads a compact JWS of at most size bytes whose payload is a JSON
// object, as that of every JWT. There is exactly one way to write what it
// accepts, but for white space and order inside the JSON.
func Parse(compact string, size int) (*JWS, bool) {
	if len(compact) > size {
		return nil, false
	}
	t, payload, ok := Split(compact)
	if !ok {
		return nil, false
	}
	t.Claims, ok = ReadObject(payload)
	return t, ok
}

// Split reads a compact JWS with any payload.
func Split(compact string) (t *JWS, payload []byte, ok bool) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	t = &JWS{Signed: compact[:len(compact)-len(parts[2])-1]}
	header, okHeader := Decode(parts[0])
	payload, okPayload := Decode(parts[1])
	t.Signature, ok = Decode(parts[2])
	if !ok || !okHeader || !okPayload {
		return nil, nil, false
	}
	if t.Header, ok = ReadObject(header); !ok {
		return nil, nil, false
	}
	// An extension that must be understood is one that we don't
	// (RFC 7515, section 4.1.11). b64 is valid only together with it.
	return t, payload, !t.Header.Has("crit") && !t.Header.Has("b64")
}

// Algorithm returns the header's alg if it is among allowed.
func (t *JWS) Algorithm(allowed []string) (Algorithm, bool) {
	name, _ := t.Header.Text("alg")
	if !slices.Contains(allowed, name) {
		return Algorithm{}, false
	}
	alg, ok := algorithms[name]
	alg.Name = name
	return alg, ok
}

var strict = base64.RawURLEncoding.Strict() // no stray bits at the end

// Decode reads base64url without padding in its one canonical form
// (RFC 7515, section 2; RFC 4648, section 3.5).
func Decode(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // encoding/base64 skips them
		return nil, false
	}
	b, err := strict.DecodeString(s)
	return b, err == nil
}

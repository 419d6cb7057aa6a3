package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// Register adds an app, or replaces the one with the same ID.
func (o *Org) Register(app ClientApp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.apps[app.ID] = app
}

// AddKey adds a key to an app. No other key of the app can have its KID.
func (o *Org) AddKey(client string, key PublicKey) error {
	return o.changeKeys(client, func(keys []PublicKey) ([]PublicKey, error) {
		if slices.ContainsFunc(keys, func(k PublicKey) bool { return k.KID == key.KID }) {
			return nil, fmt.Errorf("kid %q exists already", key.KID)
		}
		return append(slices.Clone(keys), key), nil
	})
}

// RemoveKey removes the key with a KID from an app.
func (o *Org) RemoveKey(client, kid string) error {
	return o.changeKeys(client, func(keys []PublicKey) ([]PublicKey, error) {
		left := slices.DeleteFunc(slices.Clone(keys), func(k PublicKey) bool { return k.KID == kid })
		if len(left) == len(keys) {
			return nil, fmt.Errorf("no key with kid %q", kid)
		}
		return left, nil
	})
}

func (o *Org) changeKeys(client string, change func([]PublicKey) ([]PublicKey, error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	app, ok := o.apps[client]
	if !ok {
		return fmt.Errorf("change keys of app %s: no such app", client)
	}
	keys, err := change(app.Keys)
	if err != nil {
		return fmt.Errorf("change keys of app %s: %w", client, err)
	}
	app.Keys = keys
	o.apps[client] = app
	return nil
}

func (o *Org) app(id string) (ClientApp, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	app, ok := o.apps[id]
	return app, ok
}

// parseJWK parses a public key as Okta's console accepts it: P-256 or RSA, with a
// kid.
func parseJWK(data []byte) (PublicKey, error) {
	var jwk struct {
		KeyType    string `json:"kty"`
		Curve      string `json:"crv"`
		KID        string `json:"kid"`
		D          string `json:"d"`
		X, Y, N, E b64
	}
	if json.Unmarshal(data, &jwk) != nil {
		return PublicKey{}, errors.New("no JWK")
	}
	var key crypto.PublicKey
	var err error
	switch {
	case jwk.D != "":
		err = errors.New("a private key; only public keys are accepted")
	case jwk.KID == "":
		err = errors.New("a key without a kid")
	case jwk.KeyType == "EC" && jwk.Curve == "P-256":
		key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, jwk.X, jwk.Y))
	case jwk.KeyType == "RSA" && len(jwk.N) >= 256 && len(jwk.E) > 0 && len(jwk.E) <= 4:
		key = &rsa.PublicKey{N: new(big.Int).SetBytes(jwk.N), E: int(new(big.Int).SetBytes(jwk.E).Int64())}
	default:
		err = errors.New("a key that is neither P-256 nor RSA of 2048 bits or more")
	}
	return PublicKey{jwk.KID, key}, err
}

// b64 is base64url data in a JWK.
type b64 []byte

func (b *b64) UnmarshalJSON(data []byte) (err error) {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*b, err = base64.RawURLEncoding.DecodeString(text)
	return err
}

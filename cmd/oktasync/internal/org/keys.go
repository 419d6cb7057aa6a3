package org

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/dpopauth/keys"
)

// ClientKey returns the key that signs client assertions.
func ClientKey(cfg *config.Config) (*keys.Key, error) {
	key, err := LoadKey(cfg.Okta.PrivateKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, config.WithHint(fmt.Errorf("%s: %w", cfg.Name("okta.private_key_file"), err),
			"name the key that the app has; `oktasync init` makes one, and prints the public half to add to the app")

	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Name("okta.private_key_file"), err)
	}
	if cfg.Okta.PrivateKeyID != "" {
		key = key.WithID(cfg.Okta.PrivateKeyID)
	}
	return key, nil
}

// LoadKey loads a key that Okta can be shown.
func LoadKey(file string) (*keys.Key, error) {
	if problem := config.PathProblem(file); problem != "" {
		return nil, errors.New(problem)
	}
	key, err := keys.Load(file)
	if err != nil {
		return nil, config.WrapFileError(file, err)
	}
	if err := oktaTakes(key); err != nil {
		return nil, fmt.Errorf("%s %w", file, err)
	}
	return key, nil
}

// oktaTakes refuses keys of algorithms that Okta doesn't know: it takes
// RS256/384/512 and ES256/384/512 (developer.okta.com, client authentication
// methods and DPoP).
func oktaTakes(key *keys.Key) error {
	switch alg := key.Algorithm(); alg[:2] {
	case "RS", "ES":
		return nil
	default:
		return fmt.Errorf("is a key for %s, which Okta does not take; use a P-256 or an RSA key (`oktasync init` makes one)", alg)
	}
}

// PublicJWK is the public key in the form that Okta's console takes. Where the
// configuration names no kid, it gets the key's thumbprint (RFC 7638).
func PublicJWK(key *keys.Key) ([]byte, error) {
	var members map[string]any
	if err := json.Unmarshal(key.PublicJWK(), &members); err != nil {
		return nil, err
	}
	members["kid"] = cmp.Or(key.ID(), key.Thumbprint())
	members["use"], members["alg"] = "sig", key.Algorithm()
	return json.MarshalIndent(members, "", "  ")
}

// DPoPKey returns the key that the configuration names, or nil for a new
// one in memory. The walk-through's .env names the public key too; one that
// does not belong to the private key is a mix-up that Okta would answer with a
// refusal that says nothing of it.
func DPoPKey(cfg *config.Config) (*keys.Key, error) {
	if cfg.Okta.DPoP.PrivateKeyFile == "" {
		return nil, nil
	}
	key, err := LoadKey(cfg.Okta.DPoP.PrivateKeyFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Name("okta.dpop.private_key_file"), err)
	}
	if cfg.DPoPPublicKeyFile == "" {
		return key, nil
	}
	data, err := config.ReadFile(cfg.DPoPPublicKeyFile, 64<<10)
	if err != nil {
		return nil, fmt.Errorf("OKTA_DPOP_PUBLIC_KEY_FILE: %w", err)
	}
	same, err := isPublicKeyOf(key, data)
	if err != nil {
		return nil, fmt.Errorf("OKTA_DPOP_PUBLIC_KEY_FILE: %s: %w", cfg.DPoPPublicKeyFile, err)
	}
	if !same {
		return nil, fmt.Errorf("OKTA_DPOP_PUBLIC_KEY_FILE: %s is not the public key of %s",
			cfg.DPoPPublicKeyFile, cfg.Okta.DPoP.PrivateKeyFile)
	}
	return key, nil
}

// isPublicKeyOf reports whether data, PEM or JWK, is the public key of key.
func isPublicKeyOf(key *keys.Key, data []byte) (bool, error) {
	if trimmed := bytes.TrimSpace(data); bytes.HasPrefix(trimmed, []byte("{")) {
		return isPublicJWKOf(key, trimmed)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return false, errors.New("holds no public key in PEM or JWK form")
	}
	var public crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return false, fmt.Errorf("holds a PEM block %q, not a public key", block.Type)
	}
	if err != nil {
		return false, errors.New("holds a public key that can't be read")
	}
	own, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && own.Equal(public), nil
}

// isPublicJWKOf compares the members that make up a public key (RFC 7638,
// section 3.2); others, such as kid and use, don't matter.
func isPublicJWKOf(key *keys.Key, data []byte) (bool, error) {
	var have, want map[string]any
	if json.Unmarshal(data, &have) != nil || have["kty"] == nil {
		return false, errors.New("holds JSON that is no JWK")
	}
	if err := json.Unmarshal(key.PublicJWK(), &want); err != nil {
		return false, err
	}
	for _, member := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if have[member] != want[member] {
			return false, nil
		}
	}
	return true, nil
}

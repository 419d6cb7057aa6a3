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
		return nil, config.WithHint(cfg.Problem("okta.private_key_file", err),
			"name the file of the app's key; or create a key with `oktasync init --new-key FILE`, and add the public key that it prints to the app")
	}
	if err != nil {
		return nil, cfg.Problem("okta.private_key_file", err)
	}
	if cfg.Okta.PrivateKeyID != "" {
		key = key.WithID(cfg.Okta.PrivateKeyID)
	}
	return key, nil
}

// LoadKey loads a key of an algorithm that Okta supports: RS256, RS384, RS512,
// ES256, ES384 and ES512 (developer.okta.com, client authentication methods and
// DPoP).
func LoadKey(file string) (*keys.Key, error) {
	if problem := config.PathProblem(file); problem != "" {
		return nil, errors.New(problem)
	}
	key, err := keys.Load(file)
	if err != nil {
		return nil, config.WrapFileError(file, err)
	}
	if alg := key.Algorithm(); alg[:2] != "RS" && alg[:2] != "ES" {
		return nil, fmt.Errorf("%s is a key for %s, which Okta doesn't support; use a P-256 or an RSA key (`oktasync init --new-key FILE` creates one)", file, alg)
	}
	return key, nil
}

// PublicJWK returns the public key in the format of Okta's console. If the
// configuration names no kid, the kid is the thumbprint of the key (RFC 7638).
func PublicJWK(key *keys.Key) ([]byte, error) {
	var members map[string]any
	if err := json.Unmarshal(key.PublicJWK(), &members); err != nil {
		return nil, err
	}
	members["kid"] = cmp.Or(key.ID(), key.Thumbprint())
	members["use"], members["alg"] = "sig", key.Algorithm()
	return json.MarshalIndent(members, "", "  ")
}

// DPoPKey returns the key that the configuration names, or nil for a new key in
// memory. It also compares the public key of the walk-through's .env file, because
// Okta's error for a mismatch doesn't show the cause.
func DPoPKey(cfg *config.Config) (*keys.Key, error) {
	file, publicFile := cfg.Okta.DPoP.PrivateKeyFile, cfg.DPoPPublicKeyFile
	if file == "" {
		return nil, nil
	}
	key, err := LoadKey(file)
	if err != nil {
		return nil, cfg.Problem("okta.dpop.private_key_file", err)
	}
	if publicFile == "" {
		return key, nil
	}
	data, err := config.ReadFile(publicFile, 64<<10)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config.EnvDPoPPublic, err)
	}
	same, err := isPublicKeyOf(key, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", config.EnvDPoPPublic, publicFile, err)
	}
	if !same {
		return nil, fmt.Errorf("%s: %s is not the public key of %s", config.EnvDPoPPublic, publicFile, file)
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
		return false, errors.New("contains no public key in PEM or JWK")
	}
	var public crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return false, fmt.Errorf("contains a PEM block %q, not a public key", block.Type)
	}
	if err != nil {
		return false, errors.New("contains an invalid public key")
	}
	own, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && own.Equal(public), nil
}

// isPublicJWKOf compares the members of a public key (RFC 7638, section 3.2), and
// ignores others such as kid and use.
func isPublicJWKOf(key *keys.Key, data []byte) (bool, error) {
	var have, want map[string]any
	if json.Unmarshal(data, &have) != nil || have["kty"] == nil {
		return false, errors.New("contains JSON that is not a JWK")
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

package keys

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Parse parses a private key: PEM with PKCS#8, PKCS#1 or SEC 1, or a JWK
// (RFC 7517) with optional kid and alg. The format is detected from the content.
// The error describes the content, but contains no part of it. Parse keeps no
// reference to data.
func Parse(data []byte) (*Key, error) {
	k, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("parse key: %w", err)
	}
	return k, nil
}

func parseKey(data []byte) (*Key, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	switch {
	case len(data) == 0:
		return nil, errors.New("the file is empty")
	case data[0] == '{':
		return parseJWK(data)
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return parsePEM(data)
	case bytes.HasPrefix(data, []byte("ssh-")), bytes.HasPrefix(data, []byte("ecdsa-sha2-")):
		return nil, found("an OpenSSH public key")
	case !utf8.Valid(data):
		return nil, found("binary data; PEM or a JWK is needed")
	default:
		return nil, found("text that is neither PEM nor a JWK")
	}
}

// otherPEM describes PEM blocks that are not usable, by their type.
var otherPEM = map[string]string{
	"PUBLIC KEY":              "a public key; the private key is needed",
	"RSA PUBLIC KEY":          "a public key; the private key is needed",
	"CERTIFICATE":             "a certificate; its private key is needed",
	"CERTIFICATE REQUEST":     "a certificate request; its private key is needed",
	"NEW CERTIFICATE REQUEST": "a certificate request; its private key is needed",
	"OPENSSH PRIVATE KEY":     "an OpenSSH key; convert it with `ssh-keygen -p -m PKCS8 -f FILE`",
	"DSA PRIVATE KEY":         "a DSA key; EC, RSA or Ed25519 is needed",
	"ENCRYPTED PRIVATE KEY":   "an encrypted key; decrypt it with `openssl pkey -in FILE -out NEW`",
}

func parsePEM(data []byte) (*Key, error) {
	var key *Key
	var other error
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		k, err := parseBlock(block)
		clear(block.Bytes)
		switch {
		case k != nil && key != nil:
			return nil, found("several private keys; one is needed")
		case k != nil:
			key = k
		case err != nil && strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, err
		case other == nil:
			other = err
		}
	}
	switch {
	case key != nil:
		return key, nil
	case other != nil:
		return nil, other
	default:
		return nil, found("broken PEM")
	}
}

// parseBlock returns the key of one PEM block. It returns nil for EC PARAMETERS,
// which openssl writes before a SEC 1 key.
func parseBlock(b *pem.Block) (*Key, error) {
	if strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, found(otherPEM["ENCRYPTED PRIVATE KEY"])
	}
	var key any
	var err error
	switch b.Type {
	case "EC PARAMETERS":
		return nil, nil
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		if what, ok := otherPEM[b.Type]; ok {
			return nil, found(what)
		}
		return nil, found("PEM that is not a private key")
	}
	if err != nil {
		return nil, found(brokenDER(b.Bytes)) // the error of crypto/x509 is for developers
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, found("a key for key exchange, such as X25519, which can't sign")
	}
	return newKey(s, "", "")
}

// brokenDER describes DER that crypto/x509 rejects.
func brokenDER(der []byte) string {
	for oid, what := range map[string]string{
		"\x06\x05\x2b\x81\x04\x00\x0a":         "a secp256k1 key; P-256 is needed",
		"\x06\x07\x2a\x86\x48\xce\x38\x04\x01": "a DSA key; EC, RSA or Ed25519 is needed",
		"\x06\x03\x2b\x65\x6f":                 "an X448 key, which can't sign",
		"\x06\x03\x2b\x65\x71":                 "an Ed448 key; Ed25519 is needed",
	} {
		if bytes.Contains(der, []byte(oid)) {
			return what
		}
	}
	return "a private key that is broken or inconsistent"
}

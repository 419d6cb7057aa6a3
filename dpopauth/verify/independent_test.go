package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// independent checks a proof a second time, by another JOSE library and its own
// reading of the RFC. It knows nothing of replays and is lenient about form.
func independent(proof, method, target, token, thumbprint string, now time.Time) error {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}),
		jwt.WithoutClaimsValidation(),
	)
	var found string
	parsed, err := parser.Parse(proof, func(t *jwt.Token) (any, error) {
		var key crypto.PublicKey
		var err error
		key, found, err = readJWK(t.Header["jwk"])
		return key, err
	})
	if err != nil {
		return err
	}
	claims := parsed.Claims.(jwt.MapClaims)
	text := func(name string) string { s, _ := claims[name].(string); return s }
	seconds, ok := claims["iat"].(float64)
	htu, err := url.Parse(text("htu"))
	switch {
	case err != nil:
		return err
	case parsed.Header["typ"] != "dpop+jwt":
		return errors.New("typ")
	case text("jti") == "":
		return errors.New("jti")
	case text("htm") != method:
		return errors.New("htm")
	case htu.RawQuery != "" || htu.Fragment != "" || !sameResource(htu, target):
		return errors.New("htu")
	case !ok || now.Sub(time.Unix(int64(seconds), 0)) > time.Minute || now.Sub(time.Unix(int64(seconds), 0)) < -5*time.Second:
		return errors.New("iat")
	}
	if token == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(token))
	if text("ath") != base64.RawURLEncoding.EncodeToString(sum[:]) || found != thumbprint {
		return errors.New("binding")
	}
	return nil
}

// sameResource compares by what net/url makes of both.
func sameResource(a *url.URL, target string) bool {
	b, err := url.Parse(target)
	if err != nil {
		return false
	}
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" {
			return p
		}
		return map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	path := func(u *url.URL) string {
		kept := strings.NewReplacer("%2F", "%252F", "%2f", "%252F").Replace(u.EscapedPath())
		decoded, _ := url.PathUnescape(kept)
		var out []string
		for part := range strings.SplitSeq(strings.TrimPrefix(decoded, "/"), "/") {
			switch part {
			case "..":
				out = out[:max(len(out)-1, 0)]
			case ".":
			default:
				out = append(out, part)
			}
		}
		return strings.TrimRight(strings.Join(out, "/"), "/")
	}
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b) && path(a) == path(b)
}

// readJWK returns a key and its thumbprint.
func readJWK(value any) (crypto.PublicKey, string, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, "", err
	}
	var jwk struct{ Kty, Crv, X, Y, N, E string }
	if err := json.Unmarshal(raw, &jwk); err != nil {
		return nil, "", err
	}
	number := func(s string) *big.Int {
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return new(big.Int).SetBytes(b)
	}
	hash := func(format string, values ...any) string {
		sum := sha256.Sum256(fmt.Appendf(nil, format, values...))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	switch jwk.Kty + jwk.Crv {
	case "RSA":
		return &rsa.PublicKey{N: number(jwk.N), E: int(number(jwk.E).Int64())}, hash(`{"e":"%s","kty":"RSA","n":"%s"}`, jwk.E, jwk.N), nil
	case "ECP-256", "ECP-384", "ECP-521":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[jwk.Crv]
		size := (curve.Params().BitSize + 7) / 8
		point := append([]byte{4}, make([]byte, 2*size)...) // uncompressed
		number(jwk.X).FillBytes(point[1 : 1+size])
		number(jwk.Y).FillBytes(point[1+size:])
		key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		return key, hash(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, jwk.Crv, jwk.X, jwk.Y), err
	case "OKPEd25519":
		x, err := base64.RawURLEncoding.DecodeString(jwk.X)
		return ed25519.PublicKey(x), hash(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, jwk.X), err
	}
	return nil, "", errors.New("unknown kind of key")
}

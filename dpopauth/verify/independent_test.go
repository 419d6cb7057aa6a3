package verify_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// independent is a second implementation of the checks, with other JOSE libraries.
// It doesn't check replay, and is less strict about form.
func independent(proof, method, target, token, thumbprint string, now time.Time) error {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}),
		jwt.WithoutClaimsValidation(),
	)
	var found string
	parsed, err := parser.Parse(proof, func(t *jwt.Token) (any, error) {
		data, err := json.Marshal(t.Header["jwk"])
		if err != nil {
			return nil, err
		}
		var jwk jose.JSONWebKey
		if err := jwk.UnmarshalJSON(data); err != nil {
			return nil, err
		}
		sum, err := jwk.Thumbprint(crypto.SHA256)
		found = base64.RawURLEncoding.EncodeToString(sum)
		return jwk.Key, err
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

// sameResource compares two URLs as net/url parses them.
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

package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"oktasync/dpopauth/verify"
)

// AuthServer is a custom authorization server: its tokens are for an API of the
// org's owner, and Okta's takes none of them ("API Access Management"). It is at
// /oauth2/{ID}, with its metadata and keys; that path is part of its issuer.
type AuthServer struct {
	ID        string              // "default", or as Okta makes them up, "aus…"
	Audience  string              // aud of its tokens: the API that they are for
	Scopes    []string            // that it knows; none of Okta's own
	Policies  map[string][]string // what each client may have of them, by its ID; nil: every client all
	TokenLife time.Duration       // 0: the org's
}

func (c AuthServer) check() error {
	switch {
	case c.ID == "" || c.ID == "v1" || strings.ContainsAny(c.ID, "/?#%"):
		return fmt.Errorf("authorization server %q: its ID is no part of a path", c.ID)
	case c.Audience == "":
		return fmt.Errorf("authorization server %s: no audience", c.ID)
	case slices.ContainsFunc(c.Scopes, func(s string) bool { return strings.HasPrefix(s, "okta.") }):
		return fmt.Errorf("authorization server %s: scopes of Okta's API are the org's to give", c.ID)
	}
	return nil
}

// authServer is an authorization server at work: the org's own, whose tokens the
// org's API takes, or a custom one.
type authServer struct {
	AuthServer
	org    *Org
	own    bool
	path   string // of its endpoints
	nonces *nonces
	proofs *verify.Verifier

	mu   sync.Mutex
	made int          // keys so far
	keys []signingKey // the first one signs, the others are still published
}

type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

// addAuthServer has the org serve an authorization server; proofs says how it
// checks them, but for its nonces, which no other server knows.
func (o *Org) addAuthServer(s *authServer, proofs verify.Config) error {
	s.org = o
	if s.TokenLife <= 0 {
		s.TokenLife = o.cfg.TokenLife
	}
	s.nonces = newNonces(o.cfg.NonceLife, o.cfg.NonceEvery, o.now)
	proofs.Nonces = s.nonces
	var err error
	if s.proofs, err = verify.New(proofs); err != nil {
		return err
	}
	s.rotateKey()
	well := strings.TrimSuffix(s.path, ownPath) + "/.well-known/"
	for path, serve := range map[string]func(*answer, *http.Request){
		s.path + "/v1/token":                func(a *answer, r *http.Request) { o.serveToken(a, r, s) },
		s.path + "/v1/keys":                 func(a *answer, _ *http.Request) { a.json(http.StatusOK, s.jwks()) },
		well + "oauth-authorization-server": func(a *answer, _ *http.Request) { a.json(http.StatusOK, s.metadata()) },
		well + "openid-configuration":       func(a *answer, _ *http.Request) { a.json(http.StatusOK, s.metadata()) },
	} {
		if o.endpoints[path] != nil {
			return fmt.Errorf("authorization server %s is there twice", s.ID)
		}
		o.endpoints[path] = serve
	}
	o.servers = append(o.servers, s)
	return nil
}

const ownPath = "/oauth2"

// issuer is the name that the server goes by, in its tokens and its metadata.
func (s *authServer) issuer() string {
	if s.own {
		return s.org.URL()
	}
	return s.org.URL() + s.path
}

func (s *authServer) audience() string {
	if s.own {
		return s.org.URL()
	}
	return s.Audience
}

func (s *authServer) tokenURL() string { return s.org.URL() + s.path + "/v1/token" }

// metadata says how to get a token, and how to check one (RFC 8414).
func (s *authServer) metadata() any {
	document := map[string]any{
		"issuer": s.issuer(), "token_endpoint": s.tokenURL(), "jwks_uri": s.org.URL() + s.path + "/v1/keys",
		"grant_types_supported":                            []string{"client_credentials"},
		"token_endpoint_auth_methods_supported":            []string{"private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": algorithms,
		"dpop_signing_alg_values_supported":                algorithms,
	}
	if !s.own {
		document["scopes_supported"] = s.Scopes
	}
	return document
}

// allow returns the scopes to grant at a custom server: all that are asked for,
// or none.
func (s *authServer) allow(asked string, app ClientApp) ([]string, error) {
	scopes := strings.Fields(asked)
	if len(scopes) == 0 {
		return nil, badRequest("invalid_scope", "The authorization server resource does not have any configured default scopes, 'scope' must be provided.")
	}
	policy, ok := s.Policies[app.ID]
	if s.Policies == nil {
		policy, ok = s.Scopes, true
	}
	var denied []string
	for _, scope := range scopes {
		switch {
		case scope == "openid":
			return nil, badRequest("invalid_scope", noOpenID)
		case !slices.Contains(s.Scopes, scope):
			return nil, badRequest("invalid_scope", unknownScope)
		case !slices.Contains(policy, scope):
			denied = append(denied, scope)
		}
	}
	switch {
	case !ok:
		return nil, &oauthError{401, "access_denied", "Policy evaluation failed for this request, please check the policy configurations."}
	case len(denied) == len(scopes):
		return nil, badRequest("access_denied", "Policy evaluation succeeded, but all the requested scopes were rejected.")
	case denied != nil:
		return nil, badRequest("access_denied", "Some of the requested scopes were denied by the policy. Denied scopes: ["+strings.Join(denied, ", ")+"].")
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}

// RotateKeys has every authorization server sign by a new key from now on. The
// key before it stays published, for the tokens that are out.
func (o *Org) RotateKeys() {
	for _, s := range o.servers {
		s.rotateKey()
	}
}

func (s *authServer) rotateKey() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the curve is sound and rand.Reader never fails
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	name := s.ID
	if s.own {
		name = "at"
	}
	s.keys = slices.Insert(s.keys[:min(len(s.keys), 1)], 0, signingKey{fmt.Sprintf("brightwater-%s-%d", name, s.made), key})
}

// sign makes an ES256 JWT (RFC 7515, RFC 7518 section 3.4). The org's own server
// marks its tokens as none of anybody else's business; custom ones name no typ.
func (s *authServer) sign(claims any) string {
	s.mu.Lock()
	by := s.keys[0]
	s.mu.Unlock()
	header := map[string]string{"kid": by.id, "alg": "ES256"}
	if s.own {
		header["typ"] = "application/okta-internal-at+jwt"
	}
	encode := func(v any) string {
		b, _ := json.Marshal(v) // of strings and numbers
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := encode(header) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	x, y, err := ecdsa.Sign(rand.Reader, by.key, digest[:])
	if err != nil {
		panic(err) // the key is sound and rand.Reader never fails
	}
	signature := append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// jwks is the public halves of the server's keys as a JWK set (RFC 7517).
func (s *authServer) jwks() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	encode := base64.RawURLEncoding.EncodeToString
	set := []map[string]string{}
	for _, k := range s.keys {
		point, err := k.key.PublicKey.Bytes() // 4, X, Y
		if err != nil {
			panic(err) // the key was made by us
		}
		set = append(set, map[string]string{
			"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": k.id,
			"x": encode(point[1:33]), "y": encode(point[33:]),
		})
	}
	return map[string]any{"keys": set}
}

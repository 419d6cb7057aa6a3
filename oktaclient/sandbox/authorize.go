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
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"

	"oktasync/dpopauth/verify"
	"oktasync/oktaclient/sandbox/internal/roles"
)

// authorize checks the token and the proof of an API request, and the scope that
// its endpoint requires. It returns the token, if the org issued it, also with an
// error.
func (o *Org) authorize(r *http.Request, e *endpoint) (*accessToken, error) {
	scheme, credential, err := o.credentials(r)
	if err != nil {
		return nil, err
	}
	dpop := scheme == "DPoP"
	invalid := func(description string) error {
		return &challengeError{status: 401, scheme: scheme, code: "invalid_token", description: description}
	}
	token, ok := o.tokens.lookup(credential)
	bound := token.thumbprint != ""
	switch {
	case !ok:
		o.stats.addViolation("an access token that was never issued")
		if iss := issuer(credential); iss != "" && iss != o.URL() {
			return nil, invalid("The access token provided has an invalid issuer.")
		}
		return nil, invalid("The access token is invalid.")
	case bound && !dpop && len(r.Header.Values("DPoP")) == 0:
		o.stats.addViolation("a bound token without a proof")
		return &token, badAPIRequest("The resource request requires a DPoP proof.")
	case bound && !dpop:
		o.stats.addViolation("a bound token as Bearer")
		return &token, badAPIRequest("The resource request must use the DPoP authentication scheme when using a DPoP bound token.")
	case !bound && dpop:
		o.stats.addViolation("a plain token as DPoP")
		return &token, invalid("The presented access_token is not DPoP bound.")
	case token.revoked:
		return &token, invalid("The access token has been revoked.")
	case !o.now().Before(token.expires):
		return &token, invalid("The token has expired.")
	}
	if dpop {
		if _, err := o.apiProof.BoundProof(r, credential, token.thumbprint); err != nil {
			return &token, o.proofError(err)
		}
	}
	if e != nil && !slices.Contains(token.scopes, e.scope) {
		return &token, &challengeError{status: 403, code: "insufficient_scope", scope: e.scope,
			description: "The access token provided does not contain the required scopes."}
	}
	return &token, nil
}

// credentials returns the scheme of the Authorization header, DPoP or Bearer, and
// its token.
func (o *Org) credentials(r *http.Request) (scheme, token string, err error) {
	fields := r.Header.Values("Authorization")
	if len(fields) > 1 || r.URL.Query().Has("access_token") { // RFC 6750, section 2
		o.stats.addViolation("several access tokens in a request")
		return "", "", badAPIRequest("Multiple access tokens are not allowed.")
	}
	scheme, token, _ = strings.Cut(strings.Join(fields, ""), " ")
	switch strings.ToLower(scheme) {
	case "dpop":
		return "DPoP", token, nil
	case "bearer":
		return "Bearer", token, nil
	case "ssws":
		o.stats.addViolation("an API token")
		return "", "", newError("E0000011")
	}
	o.stats.addViolation("a request without credentials")
	return "", "", newError("E0000005")
}

// proofError returns the API's error for a bad proof: 400, not 401.
func (o *Org) proofError(err error) error {
	o.noteRejection("API", err)
	var bad *verify.Error
	if !errors.As(err, &bad) {
		return newError("E0000009")
	}
	if bad.Reason.Code() == verify.UseNonce {
		o.stats.add(func(s *Stats) { s.Challenges++ })
		return &challengeError{status: o.cfg.APINonceCode, scheme: "DPoP", code: verify.UseNonce,
			description: "Resource server requires nonce in DPoP proof.", nonce: bad.Nonce}
	}
	return &challengeError{status: 400, scheme: "DPoP", code: verify.InvalidProof, description: proofText(bad.Reason)}
}

// noteRejection counts a rejected proof or assertion as a violation, with two
// exceptions: a missing or stale nonce, and a wrong time if the org's clock is wrong.
func (o *Org) noteRejection(where string, err error) {
	var bad *verify.Error
	if !errors.As(err, &bad) || bad.Reason.Code() == verify.UseNonce {
		return
	}
	switch bad.Reason {
	case verify.ProofTooOld, verify.ProofInFuture, verify.AssertionExpired, verify.AssertionTooLong, verify.AssertionIssuedAt, verify.AssertionNotYet:
		if o.offset.Load() != 0 {
			return
		}
	}
	o.stats.addViolation(where + ": " + bad.Reason.Description())
}

// coverage is the part of the org that a client's role includes.
type coverage struct {
	role  string
	users map[string]bool // nil: role decides
}

// coverage returns the coverage of a token's role. Don't call it with a lock.
func (o *Org) coverage(token *accessToken) coverage {
	c := coverage{role: token.role}
	if token.role == RoleHalf {
		c.users = o.coveredUsers()
	}
	return c
}

// includes reports whether the role includes an object of a store. All roles
// include all apps and rules.
func (c coverage) includes(s *store, obj *object) bool {
	department, scoped := strings.CutPrefix(c.role, groupRole)
	switch {
	case s.department == "":
		return true
	case scoped:
		return text(obj.text(), s.department) == department
	case c.role == RoleHalf && s.kind == "User":
		return c.users[obj.id()]
	case c.role == RoleHalf:
		return text(obj.text(), "type") == typeBuiltIn || isCovered(obj.id())
	}
	return true
}

// isCovered reports whether [RoleHalf] includes a group: the last character of its
// id has an even number.
func isCovered(group string) bool { return group[len(group)-1]%2 == 0 }

// Register adds an app, or replaces the one with the same ID.
func (o *Org) Register(app ClientApp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clientApps[app.ID] = app
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
	app, ok := o.clientApps[client]
	if !ok {
		return fmt.Errorf("change keys of app %s: no such app", client)
	}
	keys, err := change(app.Keys)
	if err != nil {
		return fmt.Errorf("change keys of app %s: %w", client, err)
	}
	app.Keys = keys
	o.clientApps[client] = app
	return nil
}

func (o *Org) app(id string) (ClientApp, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	app, ok := o.clientApps[id]
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

// coveredUsers returns the users that [RoleHalf] includes.
func (o *Org) coveredUsers() map[string]bool {
	g := o.edges()
	g.RLock()
	defer g.RUnlock()
	o.access.mu.Lock()
	defer o.access.mu.Unlock()
	if o.access.covered != nil && o.access.coveredVersion == g.Version() {
		return o.access.covered
	}
	users, everyone, administrators := map[string]bool{}, o.groupID(everyone), o.groupID(administrators)
	for _, group := range g.Members.Parents() {
		if group != everyone && group != administrators && isCovered(group) {
			maps.Copy(users, g.Members.Children(group))
		}
	}
	o.access.covered, o.access.coveredVersion = users, g.Version()
	return users
}

// hasRole reports whether a group has a role.
func (o *Org) hasRole(group string) bool { return len(o.Roles().Of(roles.Group, group)) > 0 }

// issuer returns the unverified issuer of a JWT.
func issuer(assertion string) string {
	part := strings.Split(assertion, ".")
	if len(part) != 3 {
		return ""
	}
	var claims struct{ Iss string }
	b, _ := base64.RawURLEncoding.DecodeString(part[1])
	_ = json.Unmarshal(b, &claims)
	return claims.Iss
}

// Roles returns the admin roles of the org. Principals that don't exist are accepted;
// the API shows no roles of theirs.
func (o *Org) Roles() *roles.Registry { return o.lazy.roles() }

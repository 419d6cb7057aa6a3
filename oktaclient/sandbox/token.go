package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"oktasync/dpopauth/verify"
)

// algorithms that Okta takes, for assertions and for proofs: no PS*, no EdDSA.
var algorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"}

const (
	maxProofAge   = 5 * time.Minute // "The DPoP proof JWT is issued more than five minutes in the past."
	maxReplays    = 1 << 20         // jti that are remembered
	maxForm       = 64 << 10        // bytes of a token request
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// setVerifiers makes what checks clients, and the authorization servers.
func (o *Org) setVerifiers() (err error) {
	if o.clients, err = verify.NewClients(verify.ClientsConfig{
		Keys: o.keys, Algorithms: algorithms, MaxLife: time.Hour, Leeway: -1, OptionalID: true,
		Replay: verify.NewReplayCache(maxReplays), Now: o.now,
	}); err != nil {
		return err
	}
	proofs := verify.Config{
		OriginOf:   func(*http.Request) string { return o.URL() },
		Algorithms: algorithms, MaxAge: maxProofAge, Leeway: -1,
		Replay: verify.NewReplayCache(maxReplays), Now: o.now, DecodedPath: true,
	}
	if o.apiNonce != nil {
		proofs.Nonces = o.apiNonce
	}
	if o.apiProof, err = verify.New(proofs); err != nil {
		return err
	}
	if err := o.addAuthServer(&authServer{own: true, path: ownPath}, proofs); err != nil {
		return err
	}
	for _, custom := range o.cfg.AuthServers {
		if err := custom.check(); err != nil {
			return err
		}
		if err := o.addAuthServer(&authServer{AuthServer: custom, path: ownPath + "/" + custom.ID}, proofs); err != nil {
			return err
		}
	}
	return nil
}

func (o *Org) keys(_ context.Context, id string) ([]verify.Key, error) {
	app, ok := o.app(id)
	if !ok {
		return nil, verify.ErrUnknownClient
	}
	var keys []verify.Key
	for _, k := range app.Keys {
		keys = append(keys, verify.Key{ID: k.KID, Public: k.Key})
	}
	return keys, nil
}

// oauthError is an error of the token endpoint (RFC 6749, section 5.2).
type oauthError struct {
	Status      int    `json:"-"`
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func (e *oauthError) Error() string { return e.Code + ": " + e.Description }

func badRequest(code, description string) error { return &oauthError{400, code, description} }

func badClient(description string) error { return &oauthError{401, "invalid_client", description} }

// serveToken is POST /oauth2/v1/token, and that of a custom server.
func (o *Org) serveToken(a *answer, r *http.Request, s *authServer) {
	a.header.Set("Cache-Control", "no-cache, no-store")
	a.header.Set("Pragma", "no-cache")
	if o.cfg.NonceOnGrant {
		a.header.Set("DPoP-Nonce", s.nonces.Nonce())
	}
	g, err := o.grant(r, s)
	var api *oktaError
	var oauth *oauthError
	var proof *verify.Error
	switch {
	case errors.As(err, &api):
		a.fail(api)
	case errors.As(err, &proof) && proof.Reason.Code() == verify.UseNonce:
		o.stats.challenged()
		a.header.Set("DPoP-Nonce", proof.Nonce)
		a.json(400, &oauthError{0, verify.UseNonce, "Authorization server requires nonce in DPoP proof."})
	case errors.As(err, &proof):
		a.json(400, &oauthError{0, verify.InvalidProof, proofText(proof.Reason)})
	case errors.As(err, &oauth):
		a.json(oauth.Status, oauth)
	case err == nil:
		o.stats.granted()
		answer := map[string]any{"token_type": "Bearer", "expires_in": max(1, int(s.TokenLife/time.Second)),
			"access_token": g.token, "scope": strings.Join(g.scopes, " ")}
		if g.thumbprint != "" {
			answer["token_type"] = "DPoP"
		}
		a.json(http.StatusOK, answer)
	}
}

// grant goes through a token request in Okta's order: the form, the client, the
// proof, the scopes. Only a client that has authenticated is given a nonce, and by
// then its assertion is spent.
func (o *Org) grant(r *http.Request, s *authServer) (*grant, error) {
	form, err := o.tokenForm(r)
	if err != nil {
		return nil, err
	}
	app, err := o.authenticate(r, form, s)
	if err != nil {
		return nil, err
	}
	thumbprint := ""
	if app.RequireDPoP { // otherwise the proof is ignored and the token a bearer's
		proof, err := s.proofs.Proof(r)
		if err != nil {
			o.objection("token endpoint", err)
			return nil, err
		}
		thumbprint = proof.Thumbprint
	}
	allow := s.allow
	if s.own {
		allow = grantable
	}
	scopes, err := allow(form.Get("scope"), app)
	if err != nil {
		return nil, err
	}
	return s.issue(app, scopes, thumbprint), nil
}

// tokenForm reads what was posted.
func (o *Org) tokenForm(r *http.Request) (url.Values, error) {
	if r.Method != http.MethodPost {
		o.stats.violate("token request that is no POST: " + r.Method)
		return nil, newError("E0000022")
	}
	query := r.URL.Query()
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type", "client_id"} {
		if query.Has(name) {
			o.stats.violate("client credentials in a query")
			return nil, badRequest("invalid_request", "Client credentials must not be sent in the query.")
		}
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxForm))
	if large := (*http.MaxBytesError)(nil); err != nil && !errors.As(err, &large) {
		return nil, badRequest("invalid_request", "The request was broken off.") // by a client that was told to stop
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if formErr := r.ParseForm(); err != nil || formErr != nil || kind != "application/x-www-form-urlencoded" {
		o.stats.violate("token request that is no form")
		return nil, badRequest("invalid_request", "The token request must be a form.")
	}
	switch r.PostForm.Get("grant_type") {
	case "client_credentials":
		return r.PostForm, nil
	case "":
		return nil, badRequest("invalid_request", "The token request must specify a 'grant_type'.")
	case "authorization_code", "refresh_token", "password":
		return nil, badRequest("unauthorized_client", "The client is not authorized to use the provided grant type.")
	}
	return nil, badRequest("unsupported_grant_type", "The authorization grant type is not supported by the authorization server.")
}

// authenticate finds out which app asks. A service app at an org's own
// authorization server has private_key_jwt and nothing else; at a custom one it
// could have a secret, but none of ours has.
func (o *Org) authenticate(r *http.Request, form url.Values, s *authServer) (ClientApp, error) {
	assertion := form.Get("client_assertion")
	secret := r.Header.Get("Authorization") != "" || form.Has("client_secret")
	if secret {
		o.stats.violate("token endpoint: credentials other than an assertion")
	}
	switch {
	case secret && assertion != "":
		return ClientApp{}, &oauthError{401, "invalid_request", "Cannot supply multiple client credentials."}
	case secret && !s.own:
		return ClientApp{}, badClient("The client secret supplied for a confidential client is invalid.")
	case secret:
		return ClientApp{}, badClient("Client Credentials requests to the Org Authorization Server must use the private_key_jwt token_endpoint_auth_method.")
	case assertion == "":
		return ClientApp{}, badClient("No client credentials found.")
	case form.Get("client_assertion_type") != assertionType:
		return ClientApp{}, badRequest("invalid_request", "The client_assertion_type is invalid.")
	}
	checked, err := o.clients.Assertion(r.Context(), assertion, s.tokenURL())
	var refused *verify.Error
	if errors.As(err, &refused) {
		o.objection("token endpoint", err)
		if refused.Reason == verify.AssertionIssuer && issuer(assertion) != "" {
			e := newError("invalid_client") // this one comes in the API's shape
			e.Status, e.Summary = 401, "Invalid value for 'client_id' parameter."
			return ClientApp{}, e
		}
		return ClientApp{}, badClient(assertionText(refused.Reason))
	}
	if id := form.Get("client_id"); id != "" && id != checked.ClientID {
		return ClientApp{}, badClient(assertionText(verify.AssertionIssuer))
	}
	app, _ := o.app(checked.ClientID)
	return app, nil
}

// issuer reads who an assertion says it is from, without believing it.
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

const ( // said by both kinds of servers
	noOpenID     = "Cannot request 'openid' scopes using client credentials."
	unknownScope = "One or more scopes are not configured for the authorization server resource."
)

// grantable returns what of the scopes asked for the app has been granted for
// Okta's API: fewer come back without a word, and only none at all is an error.
func grantable(asked string, app ClientApp) (scopes []string, err error) {
	words := strings.Fields(asked)
	if len(words) == 0 {
		return nil, badRequest("invalid_scope", "No scopes were requested.")
	}
	for _, scope := range words {
		switch {
		case scope == "openid":
			return nil, badRequest("invalid_scope", noOpenID)
		case !strings.HasPrefix(scope, "okta."):
			return nil, badRequest("invalid_scope", unknownScope)
		case slices.Contains(app.Scopes, scope) && !slices.Contains(scopes, scope):
			scopes = append(scopes, scope)
		}
	}
	if scopes == nil {
		return nil, badRequest("consent_required", "You are not allowed any of the requested scopes.")
	}
	return scopes, nil
}

// grant is an access token and what it is good for.
type grant struct {
	token      string
	client     string
	role       string
	scopes     []string
	thumbprint string // "": not bound
	expires    time.Time
	revoked    bool
}

// issue makes a token in the form that Okta's have.
func (s *authServer) issue(app ClientApp, scopes []string, thumbprint string) *grant {
	now := s.org.now()
	g := &grant{client: app.ID, role: app.Role, scopes: scopes, thumbprint: thumbprint, expires: now.Add(s.TokenLife)}
	claims := map[string]any{
		"ver": 1, "jti": "AT." + rand.Text(), "iss": s.issuer(), "aud": s.audience(), "sub": app.ID, "cid": app.ID,
		"iat": now.Unix(), "exp": g.expires.Unix(), "scp": scopes,
	}
	if thumbprint != "" {
		claims["cnf"] = map[string]string{"jkt": thumbprint}
	}
	g.token = s.sign(claims)
	if s.own { // the org's API takes no others
		s.org.tokens.add(g, now)
	}
	return g
}

// tokens are those for the org's API that are good, and those that were not long
// ago.
type tokens struct {
	mu     sync.Mutex
	issued map[string]*grant
}

func (t *tokens) add(g *grant, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.issued == nil {
		t.issued = map[string]*grant{}
	}
	for token, old := range t.issued {
		if now.Sub(old.expires) > time.Hour {
			delete(t.issued, token)
		}
	}
	t.issued[g.token] = g
}

// find returns a copy of what a token is good for.
func (t *tokens) find(token string) (grant, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.issued[token]
	if !ok {
		return grant{}, false
	}
	return *g, true
}

// revoke ends tokens: the given one, or all where it is empty.
func (t *tokens) revoke(token string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.issued {
		if !g.revoked && (token == "" || token == g.token) {
			g.revoked = true
			n++
		}
	}
	return n
}

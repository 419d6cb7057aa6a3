package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"oktasync/dpopauth/verify"
)

const (
	maxProofAge   = 5 * time.Minute // "The DPoP proof JWT is issued more than five minutes in the past."
	maxReplays    = 1 << 20         // jti that are stored
	maxForm       = 64 << 10        // bytes of a token request
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// setVerifiers sets the verifiers of assertions and proofs, and adds the
// authorization servers.
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

// serveToken is POST /oauth2/v1/token, and that of a custom server.
func (o *Org) serveToken(resp *response, r *http.Request, s *authServer) {
	resp.header.Set("Cache-Control", "no-cache, no-store")
	resp.header.Set("Pragma", "no-cache")
	if o.cfg.NonceOnGrant {
		resp.header.Set("DPoP-Nonce", s.nonces.Nonce())
	}
	token, err := o.issueToken(r, s)
	var api *oktaError
	var oauth *oauthError
	var proof *verify.Error
	switch {
	case errors.As(err, &api):
		resp.writeError(api)
	case errors.As(err, &proof) && proof.Reason.Code() == verify.UseNonce:
		o.stats.add(func(s *Stats) { s.Challenges++ })
		resp.header.Set("DPoP-Nonce", proof.Nonce)
		resp.writeJSON(400, &oauthError{0, verify.UseNonce, "Authorization server requires nonce in DPoP proof."})
	case errors.As(err, &proof):
		resp.writeJSON(400, &oauthError{0, verify.InvalidProof, proofText(proof.Reason)})
	case errors.As(err, &oauth):
		resp.writeJSON(oauth.Status, oauth)
	case err == nil:
		o.stats.add(func(s *Stats) { s.Grants++ })
		grant := map[string]any{"token_type": "Bearer", "expires_in": max(1, int(s.TokenLife/time.Second)),
			"access_token": token.value, "scope": strings.Join(token.scopes, " ")}
		if token.thumbprint != "" {
			grant["token_type"] = "DPoP"
		}
		resp.writeJSON(http.StatusOK, grant)
	}
}

// issueToken checks a token request in Okta's order: the form, the client, the
// proof, the scopes. Only an authenticated client gets a nonce, and its assertion
// can't be used again.
func (o *Org) issueToken(r *http.Request, s *authServer) (*accessToken, error) {
	form, err := o.tokenForm(r)
	if err != nil {
		return nil, err
	}
	app, err := o.authenticate(r, form, s)
	if err != nil {
		return nil, err
	}
	thumbprint := ""
	if app.RequireDPoP { // otherwise Okta ignores the proof and issues a bearer token
		proof, err := s.proofs.Proof(r)
		if err != nil {
			o.noteRejection("token endpoint", err)
			return nil, err
		}
		thumbprint = proof.Thumbprint
	}
	requested, err := s.requestedScopes(form)
	if err != nil {
		return nil, err
	}
	scopes, err := s.grantedScopes(requested, app)
	if err != nil {
		return nil, err
	}
	return s.issue(app, scopes, thumbprint), nil
}

// tokenForm returns the form of a token request. Its values can also be in the
// query: okta-sdk-golang 5.0.2 sends all of them there, and Okta accepts them. Okta
// rejects a secret there ("OAuth 2.0 error codes").
func (o *Org) tokenForm(r *http.Request) (url.Values, error) {
	if r.Method != http.MethodPost {
		o.stats.addViolation("a token request other than POST: " + r.Method)
		return nil, newError("E0000022")
	}
	if r.URL.Query().Has("client_secret") {
		o.stats.addViolation("a client secret in a query")
		return nil, badTokenRequest("invalid_request", "Client credentials must not be sent in the query.")
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxForm))
	if large := (*http.MaxBytesError)(nil); err != nil && !errors.As(err, &large) {
		return nil, badTokenRequest("invalid_request", "The request was broken off.") // the client has disconnected
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if formErr := r.ParseForm(); err != nil || formErr != nil || kind != "application/x-www-form-urlencoded" {
		o.stats.addViolation("a token request that is not a form")
		return nil, badTokenRequest("invalid_request", "The token request must be a form.")
	}
	for name, values := range r.Form {
		if len(values) > 1 { // RFC 6749, section 3.2
			o.stats.addViolation("a token request with a repeated parameter")
			return nil, badTokenRequest("invalid_request", "The parameter '"+name+"' must not be repeated.")
		}
	}
	switch r.Form.Get("grant_type") {
	case "client_credentials":
		return r.Form, nil
	case "":
		return nil, badTokenRequest("invalid_request", "The token request must specify a 'grant_type'.")
	case "authorization_code", "refresh_token", "password":
		return nil, badTokenRequest("unauthorized_client", "The client is not authorized to use the provided grant type.")
	}
	return nil, badTokenRequest("unsupported_grant_type", "The authorization grant type is not supported by the authorization server.")
}

// authenticate returns the app that sent the request. The org's own authorization
// server accepts only private_key_jwt from a service app. A custom one would also
// accept a secret, but no app of the sandbox has one.
func (o *Org) authenticate(r *http.Request, form url.Values, s *authServer) (ClientApp, error) {
	assertion := form.Get("client_assertion")
	secret := r.Header.Get("Authorization") != "" || form.Has("client_secret")
	if secret {
		o.stats.addViolation("token endpoint: credentials other than an assertion")
	}
	switch {
	case secret && assertion != "":
		return ClientApp{}, &oauthError{401, "invalid_request", "Cannot supply multiple client credentials."}
	case secret && !s.own:
		return ClientApp{}, invalidClient("The client secret supplied for a confidential client is invalid.")
	case secret:
		return ClientApp{}, invalidClient("Client Credentials requests to the Org Authorization Server must use the private_key_jwt token_endpoint_auth_method.")
	case assertion == "":
		return ClientApp{}, invalidClient("No client credentials found.")
	case form.Get("client_assertion_type") != assertionType:
		return ClientApp{}, badTokenRequest("invalid_request", "The client_assertion_type is invalid.")
	}
	checked, err := o.clients.Assertion(r.Context(), assertion, s.tokenURL())
	var rejected *verify.Error
	if errors.As(err, &rejected) {
		o.noteRejection("token endpoint", err)
		if rejected.Reason == verify.AssertionIssuer && issuer(assertion) != "" {
			e := newError("invalid_client") // this error is in the JSON of the API
			e.Status, e.Summary = 401, "Invalid value for 'client_id' parameter."
			return ClientApp{}, e
		}
		return ClientApp{}, invalidClient(assertionText(rejected.Reason))
	}
	if id := form.Get("client_id"); id != "" && id != checked.ClientID {
		return ClientApp{}, invalidClient(assertionText(verify.AssertionIssuer))
	}
	app, _ := o.app(checked.ClientID)
	return app, nil
}

// requestedScopes returns the scopes of a token request. It rejects scopes that
// the server can't grant to any client.
func (s *authServer) requestedScopes(form url.Values) ([]string, error) {
	scopes := strings.Fields(form.Get("scope"))
	if len(scopes) == 0 && s.own {
		return nil, badTokenRequest("invalid_scope", "No scopes were requested.")
	}
	if len(scopes) == 0 {
		return nil, badTokenRequest("invalid_scope", "The authorization server resource does not have any configured default scopes, 'scope' must be provided.")
	}
	for _, scope := range scopes {
		switch {
		case scope == "openid":
			return nil, badTokenRequest("invalid_scope", "Cannot request 'openid' scopes using client credentials.")
		case s.own && !strings.HasPrefix(scope, "okta."), !s.own && !slices.Contains(s.Scopes, scope):
			return nil, badTokenRequest("invalid_scope", "One or more scopes are not configured for the authorization server resource.")
		}
	}
	return scopes, nil
}

// grantedScopes returns the requested scopes that the app gets. The org's own server
// omits scopes that the app has not been granted, and returns an error if none is
// left. A custom server returns an error if a policy denies a scope.
func (s *authServer) grantedScopes(requested []string, app ClientApp) ([]string, error) {
	allowed, ok := app.Scopes, true
	if !s.own && s.Policies == nil {
		allowed = s.Scopes
	} else if !s.own {
		allowed, ok = s.Policies[app.ID]
	}
	var granted, denied []string
	for _, scope := range requested {
		switch {
		case !slices.Contains(allowed, scope):
			denied = append(denied, scope)
		case !slices.Contains(granted, scope):
			granted = append(granted, scope)
		}
	}
	switch {
	case s.own && granted == nil:
		return nil, badTokenRequest("consent_required", "You are not allowed any of the requested scopes.")
	case s.own:
		return granted, nil
	case denied == nil:
		slices.Sort(granted)
		return granted, nil
	case !ok:
		return nil, &oauthError{401, "access_denied", "Policy evaluation failed for this request, please check the policy configurations."}
	case granted == nil:
		return nil, badTokenRequest("access_denied", "Policy evaluation succeeded, but all the requested scopes were rejected.")
	}
	return nil, badTokenRequest("access_denied", "Some of the requested scopes were denied by the policy. Denied scopes: ["+strings.Join(denied, ", ")+"].")
}

// issue returns a new token with the same claims as Okta's.
func (s *authServer) issue(app ClientApp, scopes []string, thumbprint string) *accessToken {
	now := s.org.now()
	token := &accessToken{client: app.ID, role: app.Role, permissions: app.Permissions, scopes: scopes, thumbprint: thumbprint, expires: now.Add(s.TokenLife)}
	claims := map[string]any{
		"ver": 1, "jti": "AT." + rand.Text(), "iss": s.issuer(), "aud": s.audience(), "sub": app.ID, "cid": app.ID,
		"iat": now.Unix(), "exp": token.expires.Unix(), "scp": scopes,
	}
	if thumbprint != "" {
		claims["cnf"] = map[string]string{"jkt": thumbprint}
	}
	token.value = s.sign(claims)
	if s.own { // the org's API accepts only these
		s.org.tokens.add(token, now)
	}
	return token
}

// addAuthServer adds an authorization server. It checks proofs as configured, with
// nonces of its own.
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
	wellKnown := strings.TrimSuffix(s.path, ownPath) + "/.well-known/"
	for path, serve := range map[string]func(*response, *http.Request){
		s.path + "/v1/token":                     func(resp *response, r *http.Request) { o.serveToken(resp, r, s) },
		s.path + "/v1/keys":                      func(resp *response, _ *http.Request) { resp.writeJSON(http.StatusOK, s.jwks()) },
		wellKnown + "oauth-authorization-server": func(resp *response, _ *http.Request) { resp.writeJSON(http.StatusOK, s.metadata()) },
		wellKnown + "openid-configuration":       func(resp *response, _ *http.Request) { resp.writeJSON(http.StatusOK, s.metadata()) },
	} {
		if o.endpoints[path] != nil {
			return fmt.Errorf("authorization server %s: duplicate ID", s.ID)
		}
		o.endpoints[path] = serve
	}
	o.servers = append(o.servers, s)
	return nil
}

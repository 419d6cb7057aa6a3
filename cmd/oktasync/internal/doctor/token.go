package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
)

// Which check's failure a refusal by Okta is.
const (
	causeEndpoint = "token_endpoint"
	causeZone     = "network_zone"
	causeClient   = "client_id"
	causeKey      = "key_known"
	causeDPoP     = "dpop"
	causeNonce    = "nonce"
	causeScopes   = "scopes"
	causeAPI      = "api"
	causeLimit    = "rate_limit"
	causeRole     = "role"
)

// An tokenResult is what came of asking for a token.
type tokenResult struct {
	auth  *dpopauth.Transport
	err   error
	cause string  // "": there is a token
	kid   *string // another kid with which there is one; "": none at all
}

func (a *tokenResult) oauth() *dpopauth.Error {
	var e *dpopauth.Error
	errors.As(a.err, &e)
	return e
}

// requestToken asks for a token, once for all checks. Where the key is what was
// refused, it tries whether only its kid was wrong.
func (x *checker) requestToken(ctx context.Context) *tokenResult {
	if x.token != nil {
		return x.token
	}
	x.token = x.fetchToken(ctx, x.clientKey, x.cfg.Okta.Scopes)
	if x.token.cause == causeKey {
		x.tryKeyIDs(ctx)
	}
	return x.token
}

// tryKeyIDs asks with other kids. A key that no configuration names yet is looked
// at by the one that does.
func (x *checker) tryKeyIDs(ctx context.Context) {
	for _, kid := range []string{"", x.clientKey.Thumbprint()} {
		if kid == x.clientKey.ID() {
			continue
		}
		key := x.clientKey.WithID(kid)
		a := x.fetchToken(ctx, key, x.cfg.Okta.Scopes)
		switch {
		case a.cause == causeKey:
			continue
		case x.Key != "":
			x.clientKey, x.token = key, a
		default:
			x.token.kid = &kid
		}
		return
	}
}

func (x *checker) fetchToken(ctx context.Context, key *keys.Key, scopes []string) *tokenResult {
	cfg := org.AuthConfig(x.cfg, x.base, key, x.dpopKey)
	cfg.Scopes, cfg.Logger = scopes, x.log
	auth, err := dpopauth.New(cfg)
	if err == nil {
		err = auth.Fetch(ctx)
	}
	return &tokenResult{auth: auth, err: err, cause: tokenCause(err)}
}

// tokenCause goes by types and codes, never by words.
func tokenCause(err error) string {
	var e *dpopauth.Error
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e):
		return causeEndpoint
	case errors.Is(err, dpopauth.ErrScope):
		return causeScopes
	case errors.Is(err, dpopauth.ErrTokenType):
		return causeDPoP
	case errors.Is(err, dpopauth.ErrNonce):
		return causeNonce
	}
	switch e.Code {
	case "access_denied":
		return causeZone
	case "unauthorized_client":
		return causeClient
	case "invalid_dpop_proof":
		return causeDPoP
	case "invalid_scope", "consent_required":
		return causeScopes
	case "invalid_client":
		return map[dpopauth.Part]string{dpopauth.PartClient: causeClient, dpopauth.PartMethod: causeClient,
			dpopauth.PartAudience: causeEndpoint, dpopauth.PartTime: causeEndpoint, dpopauth.PartReplay: causeEndpoint,
			dpopauth.PartMissing: causeEndpoint, dpopauth.PartKey: causeKey}[e.Part]
	}
	if e.Status == http.StatusForbidden {
		return causeZone
	}
	return causeEndpoint
}

func checkClientID(ctx context.Context, x *checker) Finding {
	a, id := x.requestToken(ctx), x.cfg.Okta.ClientID
	if a.cause != causeClient {
		return ok("%s is an app of the org", id)
	}
	if a.oauth().Part == dpopauth.PartClient {
		return failed(inConfig, "set okta.client_id to the Client ID that stands at the app > General, and see that the app is active and of this org", "the org has no app %s", id)
	}
	return failed(inOkta, "make a new app of type API Services: only that may have tokens for itself, with \"Public key / Private key\" as client authentication", "%s is no service app: %v", id, a.err)
}

func checkKeyKnown(ctx context.Context, x *checker) Finding {
	a, key := x.requestToken(ctx), x.clientKey
	sent := "no kid"
	if key.ID() != "" {
		sent = "kid " + clean(key.ID())
	}
	switch {
	case a.cause != causeKey && x.Key != "" && key.ID() == "":
		return ok("the app takes the key in %s, and has no other: leave okta.private_key_id out", x.Key)
	case a.cause != causeKey && x.Key != "":
		return ok("the app takes the key in %s with %s; set okta.private_key_id to that when you set okta.private_key_file to it", x.Key, sent)
	case a.cause != causeKey:
		return ok("the app takes the key with thumbprint %s and %s", key.Thumbprint(), sent)
	case a.kid != nil && *a.kid != "" && key.ID() == "":
		return failed(inConfig, "set okta.private_key_id to "+*a.kid, "the app has this key and others, and nothing says which is meant")
	case a.kid != nil && *a.kid != "":
		return failed(inConfig, "set okta.private_key_id to "+*a.kid, "the app has the key, but not by %s", sent)
	case a.kid != nil:
		return failed(inConfig, "correct okta.private_key_id, or leave it out: the app has no other key", "the app has the key, but not by %s", sent)
	}
	return failed(inOkta, fmt.Sprintf("the app > General > Client Credentials > Edit > Add key: paste what `%s` prints", x.jwkCommand()),
		"the app %s does not have the key with thumbprint %s (%v)", x.cfg.Okta.ClientID, key.Thumbprint(), a.err)
}

// jwkCommand prints the public half of the key that is looked at.
func (x *checker) jwkCommand() string {
	if x.Key != "" {
		return "oktasync validate --public-jwk --key " + term.ShellWord(x.Key)
	}
	return "oktasync validate --public-jwk"
}

func checkDPoP(ctx context.Context, x *checker) Finding {
	const setting = "the app > General > General Settings > Proof of possession: require DPoP"
	a := x.requestToken(ctx)
	here := x.cfg.Okta.DPoP.Mode != config.DPoPOff
	switch {
	case a.cause != causeDPoP && here:
		status, in := a.auth.Status(), ""
		if a.cause == "" || status.Counters.Challenges["token"] > 0 {
			in = " and in the app"
		}
		return ok("required here%s; tokens are bound to thumbprint %s", in, status.Thumbprint)
	case a.cause != causeDPoP:
		return warning(inOkta, setting+"; then set okta.dpop.mode to required", "off here and in the app: whoever sees a token can use it")
	case errors.Is(a.err, dpopauth.ErrTokenType):
		return failed(inOkta, setting, "required here, but not in the app: Okta gave a token that is bound to no key")
	case !here:
		return failed(inConfig, "set okta.dpop.mode to required", "required in the app, but off here")
	}
	return failed(onHost, "see that no proxy changes the URL or takes headers away", "Okta refuses the proof: %v", a.err)
}

func checkNonce(ctx context.Context, x *checker) Finding {
	a := x.requestToken(ctx)
	switch {
	case a.cause == causeNonce:
		return failed(onHost, "have the proxy let the header DPoP-Nonce through", "Okta demands a nonce, and none that it takes arrives: %v", a.err)
	case a.auth.Status().Counters.Challenges["token"] > 0:
		return ok("demanded and met")
	}
	return ok("none demanded")
}

func checkScopes(ctx context.Context, x *checker) Finding {
	a, wanted := x.requestToken(ctx), strings.Join(x.cfg.Okta.Scopes, " ")
	required := x.cfg.RequiredScopes()
	needed := strings.Join(required, " ")
	const tab = "the app > Okta API Scopes: grant "
	var partly *dpopauth.ScopeError
	switch {
	case errors.As(a.err, &partly):
		missing := strings.Join(partly.Missing, " ")
		for _, scope := range required {
			if slices.Contains(partly.Missing, scope) {
				return failed(inOkta, tab+scope, "not granted: %s", missing)
			}
		}
		return failed(inConfig, "take "+missing+" out of okta.scopes; oktasync needs no more than "+needed, "asked for, but not granted: %s", missing)
	case a.cause == causeScopes:
		return failed(inOkta, tab+needed, "none of those asked for is granted: %s", wanted)
	case x.firstPage(ctx).cause == causeScopes:
		return failed(inOkta, tab+needed, "the API says that the token lacks the scope: %s", x.firstPage(ctx).answer())
	}
	return ok("granted: %s", wanted)
}

// furtherScopes are those for which it is seen whether the app has them: what
// orgs have had for years, so that none is unknown and spoils the answer for all
// (developer.okta.com, OAuth 2.0 scopes).
func furtherScopes(required []string) (scopes []string) {
	for _, resource := range strings.Fields(`apps authenticators authorizationServers brands clients devices domains eventHooks
		groups idps inlineHooks linkedObjects policies profileMappings roles schemas sessions trustedOrigins userTypes users`) {
		scopes = append(scopes, "okta."+resource+".read", "okta."+resource+".manage")
	}
	return append(slices.DeleteFunc(scopes, func(s string) bool { return slices.Contains(required, s) }), "okta.logs.read")
}

// checkExtraScopes asks for all of them at once: Okta gives those that the app
// has. The token is forgotten at once; nothing is sent with it.
func checkExtraScopes(ctx context.Context, x *checker) Finding {
	required := x.cfg.RequiredScopes()
	tried := furtherScopes(required)
	a := x.fetchToken(ctx, x.clientKey, slices.Concat(required, tried))
	granted := tried
	var partly *dpopauth.ScopeError
	switch {
	case errors.As(a.err, &partly):
		granted = partly.Granted
	case a.err != nil:
		return ok("Okta does not say; the app > Okta API Scopes does")
	}
	extra := slices.DeleteFunc(slices.Clone(append(granted, x.cfg.Okta.Scopes...)), func(s string) bool { return slices.Contains(required, s) })
	slices.Sort(extra)
	extra = slices.Compact(extra)
	if len(extra) == 0 {
		return ok("none beyond %s, of %d that were tried", strings.Join(required, " "), len(tried))
	}
	return warning(inOkta, "the app > Okta API Scopes: revoke them, unless `oktasync api` needs them; and ask for none in okta.scopes", "granted, and not needed: %s", strings.Join(extra, " "))
}

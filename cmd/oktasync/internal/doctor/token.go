package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
)

// The ids of the checks that report a rejection by Okta.
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

func (t *tokenResult) oauth() *dpopauth.Error {
	e, _ := errors.AsType[*dpopauth.Error](t.err)
	return e
}

// requestToken requests a token, once for all checks. If Okta rejects the key, it
// finds out whether only the kid is wrong.
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

// tryKeyIDs requests a token with other kids. With --key, the kid that Okta
// accepts is used from then on.
func (x *checker) tryKeyIDs(ctx context.Context) {
	for _, kid := range []string{"", x.clientKey.Thumbprint()} {
		if kid == x.clientKey.ID() {
			continue
		}
		key := x.clientKey.WithID(kid)
		t := x.fetchToken(ctx, key, x.cfg.Okta.Scopes)
		switch {
		case t.cause == causeKey:
			continue
		case x.Key != "":
			x.clientKey, x.token = key, t
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

// tokenCause returns the id of the check that reports the error of a token
// request. It depends on types and codes, never on texts.
func tokenCause(err error) string {
	e, ok := errors.AsType[*dpopauth.Error](err)
	switch {
	case err == nil:
		return ""
	case !ok:
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
		switch e.Part {
		case dpopauth.PartClient, dpopauth.PartMethod:
			return causeClient
		case dpopauth.PartKey:
			return causeKey
		}
		return causeEndpoint
	}
	if e.Status == http.StatusForbidden {
		return causeZone
	}
	return causeEndpoint
}

// checkClientID checks that the app exists and is a service app.
func checkClientID(ctx context.Context, x *checker) Finding {
	t, id := x.requestToken(ctx), x.cfg.Okta.ClientID
	if t.cause != causeClient {
		return ok("%s is an app of the org", id)
	}
	if t.oauth().Part == dpopauth.PartClient {
		return failed(org.InConfig, "set okta.client_id to the Client ID of the app (the app > General), and check that the app is active and in this org", "the org has no app %s", id)
	}
	return failedWith(&dpopauth.Error{Code: "unauthorized_client"}, org.Remedy{}, "%s is not a service app: %v", id, t.err)
}

// checkKeyKnown checks that the app has the client key.
func checkKeyKnown(ctx context.Context, x *checker) Finding {
	t, key := x.requestToken(ctx), x.clientKey
	sent := "no kid"
	if key.ID() != "" {
		sent = "kid " + clean(key.ID())
	}
	switch {
	case t.cause != causeKey && x.Key != "" && key.ID() == "":
		return ok("the app accepts the key in %s, and has no other key: remove okta.private_key_id", x.Key)
	case t.cause != causeKey && x.Key != "":
		return ok("the app accepts the key in %s with %s; when you set okta.private_key_file to it, set okta.private_key_id too", x.Key, sent)
	case t.cause != causeKey:
		return ok("the app accepts the key with thumbprint %s and %s", key.Thumbprint(), sent)
	case t.kid != nil && *t.kid != "" && key.ID() == "":
		return failed(org.InConfig, "set okta.private_key_id to "+*t.kid, "the app has several keys, so each client assertion needs the kid of its key, and okta.private_key_id isn't set")
	case t.kid != nil && *t.kid != "":
		return failed(org.InConfig, "set okta.private_key_id to "+*t.kid, "the app has several keys, and none with %s", sent)
	case t.kid != nil:
		return failed(org.InConfig, "correct okta.private_key_id, or remove it: the app has no other key", "the app has the key, but not with %s", sent)
	}
	command := "oktasync validate --public-jwk"
	if x.Key != "" {
		command += " --key " + term.ShellWord(x.Key)
	}
	return failed(org.InOkta, fmt.Sprintf("add the key that `%s` prints (the app > General > Client Credentials > Edit > Add key)", command),
		"the app %s does not have the key with thumbprint %s (%v)", x.cfg.Okta.ClientID, key.Thumbprint(), t.err)
}

// checkDPoP checks that configuration and app both require DPoP.
func checkDPoP(ctx context.Context, x *checker) Finding {
	const setting = "require DPoP (the app > General > General Settings > Proof of possession)"
	t := x.requestToken(ctx)
	here := x.cfg.Okta.DPoP.Mode != config.DPoPOff
	switch {
	case t.cause != causeDPoP && here:
		status, in := t.auth.Status(), ""
		if t.cause == "" || status.Counters.Challenges["token"] > 0 {
			in = " and in the app"
		}
		return ok("required here%s; tokens are bound to thumbprint %s", in, status.Thumbprint)
	case t.cause != causeDPoP:
		return warning(org.InOkta, setting+"; then set okta.dpop.mode to required", "off here and in the app: a stolen token can be used")
	case errors.Is(t.err, dpopauth.ErrTokenType):
		return failed(org.InOkta, setting, "required here, but not in the app: Okta's token is not bound to a key")
	case !here:
		return failed(org.InConfig, "set okta.dpop.mode to required", "required in the app, but off here")
	}
	return failedWith(t.err, otherResponder, "Okta rejects the proof: %v", t.err)
}

// checkNonce checks that DPoP nonces arrive.
func checkNonce(ctx context.Context, x *checker) Finding {
	t := x.requestToken(ctx)
	switch {
	case t.cause == causeNonce:
		return failedWith(&dpopauth.Error{Code: "use_dpop_nonce"}, otherResponder, "Okta requires a nonce, and no valid one arrives: %v", t.err)
	case t.auth.Status().Counters.Challenges["token"] > 0:
		return ok("required and received")
	}
	return ok("not required")
}

package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"oktasync/dpopauth/verify"
)

// refusal is an answer of the API that OAuth gives: no body, the reason in
// WWW-Authenticate (as captured in okta-sdk-nodejs#453).
type refusal struct {
	status      int
	scheme      string
	code        string
	description string
	nonce       string
	scope       string
}

func (e *refusal) Error() string { return e.code + ": " + e.description }

// authorize finds out whose request it is, and whether it may read what it asks
// for. The grant comes back as soon as it is known, also with an error.
func (o *Org) authorize(r *http.Request, asked *endpoint) (*grant, error) {
	scheme, token, err := o.credentials(r)
	if err != nil {
		return nil, err
	}
	dpop := strings.EqualFold(scheme, "DPoP")
	g, ok := o.tokens.find(token)
	proofs := len(r.Header.Values("DPoP"))
	switch {
	case !ok:
		o.stats.violate("an access token that was never issued")
		return nil, invalidToken(dpop, unknownToken(token, o.URL()))
	case g.thumbprint != "" && !dpop && proofs == 0:
		o.stats.violate("a bound token without a proof")
		return &g, &refusal{status: 400, code: "invalid_request", description: "The resource request requires a DPoP proof."}
	case g.thumbprint != "" && !dpop:
		o.stats.violate("a bound token as Bearer")
		return &g, &refusal{status: 400, code: "invalid_request",
			description: "The resource request must use the DPoP authentication scheme when using a DPoP bound token."}
	case g.thumbprint == "" && dpop:
		o.stats.violate("a plain token as DPoP")
		return &g, invalidToken(dpop, "The presented access_token is not DPoP bound.")
	case g.revoked:
		return &g, invalidToken(dpop, "The access token has been revoked.")
	case !o.now().Before(g.expires):
		return &g, invalidToken(dpop, "The token has expired.")
	}
	if dpop {
		if _, err := o.apiProof.BoundProof(r, token, g.thumbprint); err != nil {
			return &g, o.proofRefusal(err)
		}
	}
	if asked != nil && !slices.Contains(g.scopes, asked.scope) {
		return &g, &refusal{status: 403, code: "insufficient_scope", scope: asked.scope,
			description: "The access token provided does not contain the required scopes."}
	}
	return &g, nil
}

// credentials cuts the Authorization header in two.
func (o *Org) credentials(r *http.Request) (scheme, token string, err error) {
	fields := r.Header.Values("Authorization")
	if len(fields) > 1 || r.URL.Query().Has("access_token") { // RFC 6750, section 2
		o.stats.violate("several access tokens in a request")
		return "", "", &refusal{status: 400, code: "invalid_request", description: "Multiple access tokens are not allowed."}
	}
	scheme, token, _ = strings.Cut(strings.Join(fields, ""), " ")
	switch {
	case strings.EqualFold(scheme, "SSWS"):
		o.stats.violate("an API token")
		return "", "", newError("E0000011")
	case !strings.EqualFold(scheme, "DPoP") && !strings.EqualFold(scheme, "Bearer"):
		o.stats.violate("a request without credentials")
		return "", "", newError("E0000005")
	}
	return scheme, token, nil
}

func invalidToken(dpop bool, description string) error {
	e := &refusal{status: 401, code: "invalid_token", description: description}
	if dpop {
		e.scheme = "DPoP"
	}
	return e
}

// unknownToken says what is wrong with a token that the org has not issued.
func unknownToken(token, url string) string {
	if iss := issuer(token); iss != "" && iss != url {
		return "The access token provided has an invalid issuer."
	}
	return "The access token is invalid."
}

// proofRefusal is what Okta's API answers to a bad proof: 400, not 401.
func (o *Org) proofRefusal(err error) error {
	o.objection("API", err)
	var bad *verify.Error
	if !errors.As(err, &bad) {
		return newError("E0000009")
	}
	if bad.Reason.Code() == verify.UseNonce {
		o.stats.challenged()
		return &refusal{status: o.cfg.APINonceCode, scheme: "DPoP", code: verify.UseNonce,
			description: "Resource server requires nonce in DPoP proof.", nonce: bad.Nonce}
	}
	return &refusal{status: 400, scheme: "DPoP", code: verify.InvalidProof, description: proofText(bad.Reason)}
}

// refuse writes the challenge. Okta's realm says http even over TLS.
func (o *Org) refuse(a *answer, r *http.Request, e *refusal) {
	_, host, _ := strings.Cut(o.URL(), "://")
	scope, scheme := e.scope, e.scheme
	if scope == "" {
		scope = "okta.users.read"
	}
	if scheme == "" {
		scheme = "Bearer"
	}
	algs := ""
	if scheme == "DPoP" {
		algs = `algs="` + strings.Join(algorithms, " ") + `", `
	}
	challenge := fmt.Sprintf(`%s %sauthorization_uri="http://%s/oauth2/v1/authorize", realm="http://%s", scope="%s", error="%s", error_description="%s", resource="%s"`,
		scheme, algs, host, host, scope, e.code, e.description, r.URL.EscapedPath())
	if e.nonce != "" {
		a.header.Set("DPoP-Nonce", e.nonce)
		a.header.Set("Cache-Control", "no-store")
		if o.cfg.APINonceBody {
			a.json(e.status, &oauthError{0, e.code, e.description})
			return
		}
	}
	a.empty(e.status, challenge)
}

// objection notes what verify refused. A missing or stale nonce is how a nonce
// is got; a wrong time is no fault of the client where the org's clock is off.
func (o *Org) objection(where string, err error) {
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
	o.stats.violate(where + ": " + bad.Reason.Description())
}

// proofText is Okta's wording of what is wrong with a proof ("OAuth 2.0 error
// codes"; those on iat, jti, htu and ath have been seen in live answers).
func proofText(reason verify.Reason) string {
	switch reason {
	case verify.ProofMissing:
		return "The DPoP proof JWT header is missing."
	case verify.ProofMultiple:
		return "Multiple DPoP proof JWT headers are not allowed."
	case verify.ProofID:
		return "'jti' claim in the DPoP proof JWT is invalid."
	case verify.ProofMethodMalformed, verify.ProofMethod:
		return "'htm' claim in the DPoP proof JWT is invalid."
	case verify.ProofURLMalformed, verify.ProofURL:
		return "'htu' claim in the DPoP proof JWT is invalid."
	case verify.ProofIssuedAtMalformed:
		return "'iat' claim in the DPoP proof JWT is invalid."
	case verify.ProofType:
		return "'typ' must be 'dpop+jwt' in the DPoP proof JWT."
	case verify.ProofAlgorithm:
		return "The DPoP proof JWT signature algorithm is invalid."
	case verify.ProofSignature:
		return "The DPoP proof JWT signature is invalid."
	case verify.ProofTooOld:
		return "The DPoP proof JWT is issued more than five minutes in the past."
	case verify.ProofInFuture:
		return "The DPoP proof JWT is issued in the future."
	case verify.ProofTokenHash:
		return "'ath' claim in the DPoP proof does not match the presented access_token."
	case verify.ProofOtherKey:
		return "The access_token is not bound to the provided DPoP proof."
	case verify.ProofReplayed, verify.ReplayUnavailable:
		return "The DPoP proof JWT has already been used."
	}
	return "The DPoP proof JWT cannot be parsed."
}

// assertionText is Okta's wording of what is wrong with a client assertion.
func assertionText(reason verify.Reason) string {
	const assertion = "The client_assertion "
	switch reason {
	case verify.AssertionIssuer:
		return "The issuer claim for client_assertion is not a valid client_id."
	case verify.AssertionSubject:
		return "The subject claim for client_assertion is not a valid client_id."
	case verify.AssertionAudience:
		return "The audience claim for client_assertion must be the endpoint invoked for the request."
	case verify.AssertionNoExpiry:
		return assertion + "must contain the 'exp' claim as seconds since epoch."
	case verify.AssertionExpired:
		return assertion + "token is expired."
	case verify.AssertionTooLong:
		return assertion + "token has an expiration too far into the future."
	case verify.AssertionIssuedAt, verify.AssertionNotYet:
		return assertion + "token must be issued before the current time."
	case verify.AssertionReplayed, verify.ReplayUnavailable:
		return assertion + "token has already been used."
	case verify.AssertionSignature:
		return assertion + "signature is invalid."
	case verify.AssertionKeyID:
		return assertion + "JWT kid is invalid."
	case verify.AssertionAlgorithm:
		return assertion + "JWT signature algorithm is invalid."
	case verify.AssertionNoKeys:
		return "The client does not have a JWKSet configured, but the client_assertion requires one."
	}
	return "The parsing of the client_assertion failed."
}

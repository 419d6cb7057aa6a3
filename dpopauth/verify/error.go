package verify

import "strings"

// A Reason is the reason for a rejection: an OAuth error code (RFC 6749, section
// 5.2; RFC 6750, section 3.1; RFC 9449, sections 5 and 7.1), a colon, and a
// description. It contains no part of the rejected value and can be sent to the
// client. Each cause has its own Reason, so that a server can count it.
type Reason string

// The reasons, in the order of the checks.
const (
	// Proofs (RFC 9449, section 4.3).
	ProofMissing           Reason = "invalid_dpop_proof: the request has no DPoP proof"
	ProofMultiple          Reason = "invalid_dpop_proof: the request has more than one DPoP proof"
	ProofMalformed         Reason = "invalid_dpop_proof: the DPoP proof is not a well-formed JWT"
	ProofID                Reason = "invalid_dpop_proof: the DPoP proof has no valid jti"
	ProofMethodMalformed   Reason = "invalid_dpop_proof: the DPoP proof has no valid htm"
	ProofURLMalformed      Reason = "invalid_dpop_proof: the DPoP proof has no valid htu"
	ProofIssuedAtMalformed Reason = "invalid_dpop_proof: the DPoP proof has no valid iat"
	ProofType              Reason = "invalid_dpop_proof: the typ of the DPoP proof is not dpop+jwt"
	ProofAlgorithm         Reason = "invalid_dpop_proof: the alg of the DPoP proof is not accepted"
	ProofKey               Reason = "invalid_dpop_proof: the jwk of the DPoP proof is not an accepted public key"
	ProofSignature         Reason = "invalid_dpop_proof: the signature of the DPoP proof is not valid"
	ProofMethod            Reason = "invalid_dpop_proof: the htm of the DPoP proof is not the method of the request"
	ProofURL               Reason = "invalid_dpop_proof: the htu of the DPoP proof is not the URL of the request"
	NonceMissing           Reason = "use_dpop_nonce: the DPoP proof requires a nonce of this server"
	NonceUnknown           Reason = "use_dpop_nonce: the nonce of the DPoP proof is not of this server"
	NonceExpired           Reason = "use_dpop_nonce: the nonce of the DPoP proof has expired"
	ProofTooOld            Reason = "invalid_dpop_proof: the iat of the DPoP proof is too far in the past"
	ProofInFuture          Reason = "invalid_dpop_proof: the iat of the DPoP proof is in the future"
	ProofTokenHash         Reason = "invalid_dpop_proof: the ath of the DPoP proof is not the hash of the access token"
	ProofOtherKey          Reason = "invalid_token: the access token is bound to another key"
	ProofReplayed          Reason = "invalid_dpop_proof: the DPoP proof has been used before"
	ReplayUnavailable      Reason = "temporarily_unavailable: the replay check is not available"

	// Client assertions (RFC 7523, section 3).
	AssertionMalformed Reason = "invalid_client: the client assertion is not a well-formed JWT"
	AssertionAlgorithm Reason = "invalid_client: the alg of the client assertion is not accepted"
	AssertionIssuer    Reason = "invalid_client: the iss of the client assertion is not a client"
	AssertionNoKeys    Reason = "invalid_client: the client has no key registered"
	AssertionKeyID     Reason = "invalid_client: the kid of the client assertion is not that of a key of the client"
	AssertionSignature Reason = "invalid_client: the signature of the client assertion is not valid"
	AssertionSubject   Reason = "invalid_client: the sub of the client assertion is not its iss"
	AssertionAudience  Reason = "invalid_client: the aud of the client assertion is not this endpoint"
	AssertionNoExpiry  Reason = "invalid_client: the client assertion has no valid exp"
	AssertionExpired   Reason = "invalid_client: the client assertion has expired"
	AssertionTooLong   Reason = "invalid_client: the exp of the client assertion is too far in the future"
	AssertionIssuedAt  Reason = "invalid_client: the iat of the client assertion is malformed or in the future"
	AssertionNotYet    Reason = "invalid_client: the nbf of the client assertion is malformed or in the future"
	AssertionID        Reason = "invalid_client: the client assertion has no valid jti"
	AssertionReplayed  Reason = "invalid_client: the client assertion has been used before"

	// Access tokens at a resource server (RFC 6750, section 3.1; RFC 9449, section 7).
	TokenMissing    Reason = ": the request has no access token"
	TokenMultiple   Reason = "invalid_request: the request has more than one access token"
	TokenScheme     Reason = "invalid_token: the access token must be sent with the DPoP scheme and a proof"
	TokenMalformed  Reason = "invalid_token: the access token is malformed"
	TokenType       Reason = "invalid_token: the JWT is not an access token"
	TokenAlgorithm  Reason = "invalid_token: the alg of the access token is not accepted"
	TokenKeyID      Reason = "invalid_token: the access token is signed by an unknown key"
	TokenSignature  Reason = "invalid_token: the signature of the access token is not valid"
	TokenIssuer     Reason = "invalid_token: the access token is from another issuer"
	TokenAudience   Reason = "invalid_token: the access token is for another audience"
	TokenExpired    Reason = "invalid_token: the access token has expired or has no valid exp"
	TokenNotYet     Reason = "invalid_token: the access token is not valid yet"
	TokenNotBound   Reason = "invalid_token: the access token is not bound to a key"
	TokenScope      Reason = "insufficient_scope: the access token lacks a required scope"
	KeysUnavailable Reason = "temporarily_unavailable: the keys of the issuer are not available"
)

// The error codes of the reasons (RFC 6749, RFC 6750, RFC 9449).
const (
	InvalidProof           = "invalid_dpop_proof"
	UseNonce               = "use_dpop_nonce"
	InvalidClient          = "invalid_client"
	InvalidRequest         = "invalid_request"
	InvalidToken           = "invalid_token"
	InsufficientScope      = "insufficient_scope"
	TemporarilyUnavailable = "temporarily_unavailable"
)

// Code returns the error code. It is empty for [TokenMissing] (RFC 6750, section
// 3.1).
func (r Reason) Code() string {
	code, _, _ := strings.Cut(string(r), ": ")
	return code
}

// Description returns the description.
func (r Reason) Description() string {
	_, text, _ := strings.Cut(string(r), ": ")
	return text
}

// An Error is a rejection. It contains no part of the proof, the assertion or the
// token.
type Error struct {
	Reason Reason
	Nonce  string // with the code [UseNonce]: the DPoP-Nonce to send
	Err    error  // the error of a dependency, such as the replay cache; for logs, not for responses
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Reason.Description() + ": " + e.Err.Error()
	}
	return e.Reason.Description()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

func reject(r Reason) error { return &Error{Reason: r} }

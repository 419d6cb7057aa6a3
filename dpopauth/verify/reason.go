package verify

import "strings"

// A Reason says why something was refused: an OAuth error code (RFC 6749 section
// 5.2, RFC 6750 section 3.1, RFC 9449 sections 5 and 7.1), a colon, and words for
// the cause that are safe to send, since they hold nothing of what was refused.
// There is one for each cause that a server may want to word or count on its own.
type Reason string

// Reasons, in the order of the checks that find them.
const (
	// Of a proof (RFC 9449, section 4.3).
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
	NonceMissing           Reason = "use_dpop_nonce: the DPoP proof needs a nonce of this server"
	NonceUnknown           Reason = "use_dpop_nonce: the nonce of the DPoP proof is not of this server"
	NonceExpired           Reason = "use_dpop_nonce: the nonce of the DPoP proof has expired"
	ProofTooOld            Reason = "invalid_dpop_proof: the iat of the DPoP proof lies too far back"
	ProofInFuture          Reason = "invalid_dpop_proof: the iat of the DPoP proof lies in the future"
	ProofTokenHash         Reason = "invalid_dpop_proof: the ath of the DPoP proof is not the hash of the access token"
	ProofOtherKey          Reason = "invalid_token: the access token is bound to another key"
	ProofReplayed          Reason = "invalid_dpop_proof: the DPoP proof has been used before"
	ReplayUnavailable      Reason = "temporarily_unavailable: whether this was used before can't be known at the moment"

	// Of a client assertion (RFC 7523, section 3).
	AssertionMalformed Reason = "invalid_client: the client assertion is not a well-formed JWT"
	AssertionAlgorithm Reason = "invalid_client: the alg of the client assertion is not accepted"
	AssertionIssuer    Reason = "invalid_client: the iss of the client assertion is not a client"
	AssertionNoKeys    Reason = "invalid_client: the client has no key registered"
	AssertionKeyID     Reason = "invalid_client: the kid of the client assertion names no key of the client"
	AssertionSignature Reason = "invalid_client: the signature of the client assertion is not valid"
	AssertionSubject   Reason = "invalid_client: the sub of the client assertion is not its iss"
	AssertionAudience  Reason = "invalid_client: the aud of the client assertion is not this endpoint"
	AssertionNoExpiry  Reason = "invalid_client: the client assertion has no valid exp"
	AssertionExpired   Reason = "invalid_client: the client assertion has expired"
	AssertionTooLong   Reason = "invalid_client: the exp of the client assertion lies too far ahead"
	AssertionIssuedAt  Reason = "invalid_client: the iat of the client assertion is malformed or lies in the future"
	AssertionNotYet    Reason = "invalid_client: the nbf of the client assertion is malformed or lies in the future"
	AssertionID        Reason = "invalid_client: the client assertion has no valid jti"
	AssertionReplayed  Reason = "invalid_client: the client assertion has been used before"

	// Of an access token at a resource server (RFC 6750, section 3.1; RFC 9449, section 7).
	TokenMissing    Reason = ": the request has no access token"
	TokenMultiple   Reason = "invalid_request: the request has more than one access token"
	TokenScheme     Reason = "invalid_token: the access token must come under the DPoP scheme, with a proof"
	TokenMalformed  Reason = "invalid_token: the access token is malformed"
	TokenType       Reason = "invalid_token: the JWT is not an access token"
	TokenAlgorithm  Reason = "invalid_token: the alg of the access token is not accepted"
	TokenKeyID      Reason = "invalid_token: the access token is signed by an unknown key"
	TokenSignature  Reason = "invalid_token: the signature of the access token is not valid"
	TokenIssuer     Reason = "invalid_token: the access token is of another issuer"
	TokenAudience   Reason = "invalid_token: the access token is for another audience"
	TokenExpired    Reason = "invalid_token: the access token has expired or does not say when"
	TokenNotYet     Reason = "invalid_token: the access token is not valid yet"
	TokenNotBound   Reason = "invalid_token: the access token is not bound to a key"
	TokenScope      Reason = "insufficient_scope: the access token lacks a scope that this needs"
	KeysUnavailable Reason = "temporarily_unavailable: the keys of the issuer can't be had at the moment"
)

// The codes of RFC 6749, 6750 and 9449 that reasons have.
const (
	InvalidProof           = "invalid_dpop_proof"
	UseNonce               = "use_dpop_nonce"
	InvalidClient          = "invalid_client"
	InvalidRequest         = "invalid_request"
	InvalidToken           = "invalid_token"
	InsufficientScope      = "insufficient_scope"
	TemporarilyUnavailable = "temporarily_unavailable"
)

// Code is r's error code. It is empty for [TokenMissing], which RFC 6750 section
// 3.1 answers without one.
func (r Reason) Code() string {
	code, _, _ := strings.Cut(string(r), ": ")
	return code
}

// Description says in words what the cause is.
func (r Reason) Description() string {
	_, text, _ := strings.Cut(string(r), ": ")
	return text
}

// An Error is a refusal. It says why and holds nothing of the proof, the
// assertion or the token that was refused.
type Error struct {
	Reason Reason
	Nonce  string // with the code [UseNonce]: what to send as DPoP-Nonce
	Err    error  // what a part given by the caller reported, such as a cache; for the log, not for the answer
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Reason.Description() + ": " + e.Err.Error()
	}
	return e.Reason.Description()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

func refuse(r Reason) error { return &Error{Reason: r} }

package verify

import "fmt"

// A Reason says why something was refused. There is one for each cause that a
// server may want to word or count differently; [Reason.Code] groups them into
// the error codes of the RFCs.
type Reason int

// Reasons, in the order of the checks that find them.
const (
	// Of a proof (RFC 9449, section 4.3).
	ProofMissing           Reason = iota + 1 // no DPoP field
	ProofMultiple                            // several DPoP fields, or several proofs in one
	ProofMalformed                           // not a compact JWS of two JSON objects, or too large
	ProofID                                  // jti absent, not a string, empty or too long
	ProofMethodMalformed                     // htm absent or not a string
	ProofURLMalformed                        // htu absent or not an http URL without query and fragment
	ProofIssuedAtMalformed                   // iat absent or not a number of seconds
	ProofType                                // typ is not dpop+jwt
	ProofAlgorithm                           // alg is not allowed
	ProofKey                                 // jwk absent, private, weak, off its curve, or not of the kind alg needs
	ProofSignature                           // the signature is not by that key
	ProofMethod                              // htm is not the request's method
	ProofURL                                 // htu is not the request's URL
	NonceMissing                             // a nonce is demanded, the proof has none
	NonceUnknown                             // not a nonce of this server
	NonceExpired                             // a nonce of this server, too old
	ProofTooOld                              // iat lies too far back
	ProofInFuture                            // iat lies ahead
	ProofTokenHash                           // ath is not the hash of the access token
	ProofOtherKey                            // the access token is bound to another key
	ProofReplayed                            // the jti was seen before
	ReplayUnavailable                        // the replay cache is full or does not answer

	// Of a client assertion (RFC 7523, section 3).
	AssertionMalformed // not a compact JWS of two JSON objects, or too large
	AssertionAlgorithm // alg is not allowed, or not what the client's key needs
	AssertionIssuer    // iss absent, or not a client
	AssertionNoKeys    // the client has no key registered
	AssertionKeyID     // kid names no key of the client, or is absent where there are several
	AssertionSignature // the signature is not by that key
	AssertionSubject   // sub is not iss
	AssertionAudience  // aud is not this endpoint
	AssertionNoExpiry  // exp absent or not a number of seconds
	AssertionExpired   // exp lies behind
	AssertionTooLong   // exp lies too far ahead
	AssertionIssuedAt  // iat is not a number of seconds, or lies ahead
	AssertionNotYet    // nbf is not a number of seconds, or lies ahead
	AssertionID        // jti absent, not a string, empty or too long
	AssertionReplayed  // the jti was seen before

	// Of an access token at a resource server (RFC 6750, section 3.1; RFC 9449, section 7).
	TokenMissing    // no credentials at all
	TokenMultiple   // several Authorization fields, or a token in the query or body too
	TokenScheme     // a bound token under another scheme than DPoP
	TokenMalformed  // not a token
	TokenType       // a JWT of another kind
	TokenAlgorithm  // alg is not allowed, or not what the issuer's key needs
	TokenKeyID      // kid names no key of the issuer
	TokenSignature  // the signature is not by that key
	TokenIssuer     // iss is not the issuer
	TokenAudience   // aud does not name this resource server
	TokenExpired    // exp absent or behind
	TokenNotYet     // nbf or iat lies ahead
	TokenNotBound   // no cnf.jkt: a plain bearer token
	TokenScope      // a scope that the request needs is not among the token's
	KeysUnavailable // the issuer's keys can't be had at the moment
)

// The codes that OAuth has for refusals: RFC 6749 section 5.2, RFC 6750
// section 3.1 and RFC 9449 sections 5 and 7.1.
const (
	InvalidProof           = "invalid_dpop_proof"
	UseNonce               = "use_dpop_nonce"
	InvalidClient          = "invalid_client"
	InvalidRequest         = "invalid_request"
	InvalidToken           = "invalid_token"
	InsufficientScope      = "insufficient_scope"
	TemporarilyUnavailable = "temporarily_unavailable"
)

var reasons = [...]struct{ code, text string }{
	ProofMissing:           {InvalidProof, "the request has no DPoP proof"},
	ProofMultiple:          {InvalidProof, "the request has more than one DPoP proof"},
	ProofMalformed:         {InvalidProof, "the DPoP proof is not a well-formed JWT"},
	ProofID:                {InvalidProof, "the DPoP proof has no valid jti"},
	ProofMethodMalformed:   {InvalidProof, "the DPoP proof has no valid htm"},
	ProofURLMalformed:      {InvalidProof, "the DPoP proof has no valid htu"},
	ProofIssuedAtMalformed: {InvalidProof, "the DPoP proof has no valid iat"},
	ProofType:              {InvalidProof, "the typ of the DPoP proof is not dpop+jwt"},
	ProofAlgorithm:         {InvalidProof, "the alg of the DPoP proof is not accepted"},
	ProofKey:               {InvalidProof, "the jwk of the DPoP proof is not an accepted public key"},
	ProofSignature:         {InvalidProof, "the signature of the DPoP proof is not valid"},
	ProofMethod:            {InvalidProof, "the htm of the DPoP proof is not the method of the request"},
	ProofURL:               {InvalidProof, "the htu of the DPoP proof is not the URL of the request"},
	NonceMissing:           {UseNonce, "the DPoP proof needs a nonce of this server"},
	NonceUnknown:           {UseNonce, "the nonce of the DPoP proof is not of this server"},
	NonceExpired:           {UseNonce, "the nonce of the DPoP proof has expired"},
	ProofTooOld:            {InvalidProof, "the iat of the DPoP proof lies too far back"},
	ProofInFuture:          {InvalidProof, "the iat of the DPoP proof lies in the future"},
	ProofTokenHash:         {InvalidProof, "the ath of the DPoP proof is not the hash of the access token"},
	ProofOtherKey:          {InvalidToken, "the access token is bound to another key"},
	ProofReplayed:          {InvalidProof, "the DPoP proof has been used before"},
	ReplayUnavailable:      {TemporarilyUnavailable, "whether this was used before can't be known at the moment"},

	AssertionMalformed: {InvalidClient, "the client assertion is not a well-formed JWT"},
	AssertionAlgorithm: {InvalidClient, "the alg of the client assertion is not accepted"},
	AssertionIssuer:    {InvalidClient, "the iss of the client assertion is not a client"},
	AssertionNoKeys:    {InvalidClient, "the client has no key registered"},
	AssertionKeyID:     {InvalidClient, "the kid of the client assertion names no key of the client"},
	AssertionSignature: {InvalidClient, "the signature of the client assertion is not valid"},
	AssertionSubject:   {InvalidClient, "the sub of the client assertion is not its iss"},
	AssertionAudience:  {InvalidClient, "the aud of the client assertion is not this endpoint"},
	AssertionNoExpiry:  {InvalidClient, "the client assertion has no valid exp"},
	AssertionExpired:   {InvalidClient, "the client assertion has expired"},
	AssertionTooLong:   {InvalidClient, "the exp of the client assertion lies too far ahead"},
	AssertionIssuedAt:  {InvalidClient, "the iat of the client assertion lies in the future"},
	AssertionNotYet:    {InvalidClient, "the nbf of the client assertion lies in the future"},
	AssertionID:        {InvalidClient, "the client assertion has no valid jti"},
	AssertionReplayed:  {InvalidClient, "the client assertion has been used before"},

	TokenMissing:    {"", "the request has no access token"},
	TokenMultiple:   {InvalidRequest, "the request has more than one access token"},
	TokenScheme:     {InvalidToken, "the access token is bound to a key and needs the DPoP scheme and a proof"},
	TokenMalformed:  {InvalidToken, "the access token is malformed"},
	TokenType:       {InvalidToken, "the JWT is not an access token"},
	TokenAlgorithm:  {InvalidToken, "the alg of the access token is not accepted"},
	TokenKeyID:      {InvalidToken, "the access token is signed by an unknown key"},
	TokenSignature:  {InvalidToken, "the signature of the access token is not valid"},
	TokenIssuer:     {InvalidToken, "the access token is of another issuer"},
	TokenAudience:   {InvalidToken, "the access token is for another audience"},
	TokenExpired:    {InvalidToken, "the access token has expired"},
	TokenNotYet:     {InvalidToken, "the access token is not valid yet"},
	TokenNotBound:   {InvalidToken, "the access token is not bound to a key"},
	TokenScope:      {InsufficientScope, "the access token lacks a scope that this needs"},
	KeysUnavailable: {TemporarilyUnavailable, "the keys of the issuer can't be had at the moment"},
}

// Code is the OAuth error code that goes with r: one of [InvalidProof],
// [UseNonce], [InvalidClient], [InvalidRequest], [InvalidToken],
// [InsufficientScope], [TemporarilyUnavailable], or empty for [TokenMissing],
// which RFC 6750 section 3.1 answers without one.
func (r Reason) Code() string {
	if r <= 0 || int(r) >= len(reasons) {
		return ""
	}
	return reasons[r].code
}

// String describes r in words that are safe to send as an error_description:
// they hold nothing of what was refused.
func (r Reason) String() string {
	if r <= 0 || int(r) >= len(reasons) {
		return fmt.Sprintf("reason %d", int(r))
	}
	return reasons[r].text
}

// An Error is a refusal. It says why and holds nothing of the proof, the
// assertion or the token that was refused.
type Error struct {
	Reason Reason
	Nonce  string // with the code [UseNonce]: what to send as DPoP-Nonce
	Err    error  // what an injected part (a cache, a key source) reported; for the log, not for the answer
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Reason.String() + ": " + e.Err.Error()
	}
	return e.Reason.String()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, &Error{Reason: r}) ask for the reason alone.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

func refuse(r Reason) error { return &Error{Reason: r} }

package dpopauth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"oktasync/dpopauth/internal/parse"
)

// What an [Error] wraps, where the server did not just say no.
var (
	ErrOrigin    error = final("origin is not configured")
	ErrRequest   error = final("request can't be signed")
	ErrTokenType error = final("token type is not the configured one")
	ErrScope     error = final("scopes were not granted")
	ErrNonce     error = final("nonce demanded again")
	ErrAlgorithm error = final("algorithm is not supported")
	ErrClock     error = final("clocks differ")
	ErrRedirect  error = final("redirect is not followed")
	ErrAnswer    error = final("answer is malformed")
)

// final is an error that another try would not mend.
type final string

func (f final) Error() string { return string(f) }

// An Error says why there is no token, or how a resource server refused one. It
// holds nothing of a token, a proof, an assertion or an answer's body.
type Error struct {
	Op          string // "get token" or "call API"
	Status      int    // of the answer; 0: none came
	Code        string // OAuth's error code, or Okta's: invalid_client, E0000015
	Description string // the server's words, cut and cleaned
	RequestID   string // by which the server's operator finds the request
	Err         error  // one of the errors above, or what the network said; may be nil

	// Part is what invalid_client of the token endpoint finds fault with: OAuth has
	// this one code for all that makes up a client assertion. It is told by the
	// server's words, and is PartKey where they do not tell. Else it is empty.
	Part Part

	hint  string
	again bool // see Retryable
}

// A Part of a client's authentication.
type Part string

const (
	PartClient   Part = "client"   // the server knows no such client
	PartMethod   Part = "method"   // the client authenticates in another way
	PartKey      Part = "key"      // the client has no such key
	PartAudience Part = "audience" // the assertion is made out to another server
	PartTime     Part = "time"     // it is dated wrongly
	PartReplay   Part = "replay"   // the server has had it before
	PartMissing  Part = "missing"  // none arrived
)

// A ScopeError says that fewer scopes were granted than were asked for. It is an
// [ErrScope].
type ScopeError struct{ Granted, Missing []string } // both of those asked for

func (e *ScopeError) Error() string { return ErrScope.Error() + ": " + strings.Join(e.Missing, " ") }
func (e *ScopeError) Unwrap() error { return ErrScope }

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + ":")
	if e.Status != 0 {
		fmt.Fprintf(&b, " %d", e.Status)
	}
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	if e.Description != "" {
		fmt.Fprintf(&b, " %q", e.Description)
	}
	if e.Err != nil {
		if b.Len() > len(e.Op)+1 {
			b.WriteString(":")
		}
		b.WriteString(" " + e.Err.Error())
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Hint says what a person may do about the error, or nothing.
func (e *Error) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	if errors.Is(e.Err, ErrScope) {
		return "grant the scopes to the app, or ask for fewer"
	}
	switch e.Code {
	case "invalid_scope", "consent_required":
		return "grant the scopes to the app, or ask for fewer"
	case "unauthorized_client":
		return "the app may not use the client credentials grant: it has to be a service app with private_key_jwt"
	case "invalid_dpop_proof":
		return "the server refuses the proof: see that this machine's clock is right, that no proxy changes the URL, and that DPoP is on here if the app requires it"
	case "insufficient_scope":
		return "the token lacks the scope for this call: grant it to the app and ask for it, and see that the app has an admin role"
	}
	return ""
}

// Retryable reports whether the same call may succeed later with nothing
// changed: no answer came, the server was overloaded, or the API's nonce changed
// faster than we could follow.
func (e *Error) Retryable() bool {
	return e.again || overloaded(e.Status, e.Code) || e.Code == "" && e.Err != nil && !permanent(e.Err)
}

func permanent(err error) bool {
	var certificate *tls.CertificateVerificationError
	_, ok := errors.AsType[final](err)
	return ok || errors.As(err, &certificate)
}

// overloaded reports an answer that asks for patience. Okta says
// temporarily_unavailable by 400.
func overloaded(status int, code string) bool {
	return status >= 500 || status == http.StatusTooManyRequests || code == "temporarily_unavailable"
}

// newError takes from resp what an error may show.
func newError(op string, resp *http.Response) *Error {
	return &Error{Op: op, Status: resp.StatusCode, RequestID: parse.RequestID(resp.Header)}
}

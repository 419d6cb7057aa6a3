package dpopauth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// The causes that an [Error] wraps, in addition to network errors.
var (
	ErrOrigin    error = permanentError("origin is not configured")
	ErrRequest   error = permanentError("request can't be signed")
	ErrTokenType error = permanentError("unexpected token type")
	ErrScope     error = permanentError("scopes were not granted")
	ErrNonce     error = permanentError("the server required another nonce")
	ErrAlgorithm error = permanentError("algorithm is not supported")
	ErrClock     error = permanentError("clocks differ")
	ErrRedirect  error = permanentError("redirects are not followed")
	ErrResponse  error = permanentError("malformed response")
)

// A permanentError remains if the same call is repeated.
type permanentError string

func (e permanentError) Error() string { return string(e) }

// The values of [Error.Op].
const (
	opToken = "get token"
	opCall  = "call API"
)

// missingNonce returns the error for use_dpop_nonce without a usable nonce.
func missingNonce() error { return fmt.Errorf("%w, but sent no valid DPoP-Nonce", ErrNonce) }

// An Error reports why no token could be obtained, or how a resource server
// rejected one. It contains no part of a token, a proof, an assertion or a
// response body.
type Error struct {
	Op          string // "get token" or "call API"
	Status      int    // HTTP status; 0: no response
	Code        string // error code of OAuth or Okta: invalid_client, E0000015
	Description string // the server's description, shortened and cleaned
	RequestID   string // the server's id of the request
	Err         error  // one of the errors above, a network error, or nil

	// Part is set if Code is invalid_client: the rejected part of the client
	// authentication. OAuth has one code for all parts, so Part depends on the
	// description. It is PartKey if the description is unknown.
	Part Part

	hint      string
	retryable bool
}

// A Part is a part of the client authentication.
type Part string

const (
	PartClient   Part = "client"   // unknown client ID
	PartMethod   Part = "method"   // the client is registered with another method
	PartKey      Part = "key"      // the client has no such key
	PartAudience Part = "audience" // the assertion has the wrong audience
	PartTime     Part = "time"     // the assertion has expired, or is not valid yet
	PartReplay   Part = "replay"   // the assertion was already used
	PartMissing  Part = "missing"  // no assertion arrived
)

// A ScopeError reports that not all requested scopes were granted. It is an
// [ErrScope]. Both lists contain only requested scopes.
type ScopeError struct{ Granted, Missing []string }

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

// Response returns the status, the error code and the request id of the API response
// that rejected the request. They are zero if the API sent no response, for example
// because the token endpoint granted no token.
func (e *Error) Response() (status int, code, requestID string) {
	if e.Op != opCall {
		return 0, "", ""
	}
	return e.Status, e.Code, e.RequestID
}

// Hint returns what a person can do about the error, or "".
func (e *Error) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	if errors.Is(e.Err, ErrScope) {
		return "grant the scopes to the app, or request fewer"
	}
	switch e.Code {
	case "invalid_scope", "consent_required":
		return "grant the scopes to the app, or request fewer"
	case "unauthorized_client":
		return "the app can't use the client credentials grant: it must be a service app with private_key_jwt"
	case "invalid_dpop_proof":
		return "check that this machine's clock is correct, that no proxy changes the URL, and that DPoP is on in this client's configuration if the app requires it"
	case "insufficient_scope":
		return "the token lacks the scope for this call: grant it to the app, request it, and check that the app has an admin role"
	}
	return ""
}

// Retryable reports whether the same call may succeed later without a change: the
// response is missing, the server was overloaded, or the API required another nonce at
// every attempt.
func (e *Error) Retryable() bool {
	return e.retryable || overloaded(e.Status, e.Code) || e.Code == "" && e.Err != nil && !permanent(e.Err)
}

func permanent(err error) bool {
	var certificate *tls.CertificateVerificationError
	var lookup *net.DNSError
	_, ok := errors.AsType[permanentError](err)
	return ok || errors.As(err, &certificate) || errors.As(err, &lookup) && lookup.IsNotFound && !lookup.IsTemporary
}

// overloaded reports whether a response asks the client to wait. Okta sends
// temporarily_unavailable with status 400.
func overloaded(status int, code string) bool {
	return status >= 500 || status == http.StatusTooManyRequests || code == "temporarily_unavailable"
}

func newError(op string, resp *http.Response) *Error {
	return &Error{Op: op, Status: resp.StatusCode, RequestID: requestIDHeader(resp.Header)}
}

// A plainError is a network error whose text contains neither the URL nor the
// local port, which differs each time.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// networkError returns err with a short text, which contains nothing of a response.
func networkError(err error) error {
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		err = ue.Err
	}
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &plainError{"connection reset", err}
	case err == io.EOF:
		return &plainError{"connection closed", err}
	case errors.As(err, &op):
		return &plainError{networkText(op), err}
	}
	// net/http quotes malformed responses, which can contain anything.
	if text, _, quoted := strings.Cut(err.Error(), `"`); quoted {
		return &plainError{strings.TrimRight(text, ": "), err}
	}
	return err
}

// networkText returns "dial 192.0.2.1:443: connection refused", or only the cause
// if the connection was already established.
func networkText(err error) string {
	switch e := err.(type) {
	case *net.OpError:
		switch {
		case e.Source != nil:
			return networkText(e.Err)
		case e.Addr != nil:
			return e.Op + " " + e.Addr.String() + ": " + networkText(e.Err)
		}
		return e.Op + ": " + networkText(e.Err)
	case *net.DNSError: // its own text may contain the ports of the DNS server
		switch {
		case e.IsNotFound:
			return "lookup " + e.Name + ": no such host"
		case e.IsTimeout:
			return "lookup " + e.Name + ": timeout"
		}
		return "lookup " + e.Name + ": name service failed"
	case *os.SyscallError:
		return e.Err.Error()
	}
	return err.Error()
}

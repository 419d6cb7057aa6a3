package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const maxForm = 64 << 10 // bytes of a form body that are searched for an access token

// A Resource protects an API: it accepts only requests with an access token and a
// proof by the key to which the token is bound.
type Resource struct {
	// Proofs verifies the proofs. Required.
	Proofs *Verifier

	// Tokens verifies an access token: [Issuer.Token], or your own function, for
	// example with introspection. It rejects a token with an [*Error]. For any other
	// error the client gets status 503. Required.
	Tokens func(ctx context.Context, token string) (*Token, error)

	// Refused, if set, is called for each rejected request, before the response.
	Refused func(*http.Request, *Error)
}

// Protect returns a handler that calls next if access token and proof are valid
// and the token has all scopes. It rejects all other requests (RFC 6750, section
// 3; RFC 9449, section 7.1). In next, [TokenFrom] returns the token. Protect panics
// if Proofs or Tokens is nil.
func (s Resource) Protect(next http.Handler, scopes ...string) http.Handler {
	if s.Proofs == nil || s.Tokens == nil {
		panic("verify: Resource needs Proofs and Tokens")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, proof, err := s.authenticate(r)
		if err == nil && slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(token.Scopes, s) }) {
			err = reject(TokenScope)
		}
		if err != nil {
			s.writeError(w, r, err, scopes)
			return
		}
		s.Proofs.OfferNonce(w.Header(), proof)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, token)))
	})
}

type tokenKey struct{}

// TokenFrom returns the access token of a request that [Resource.Protect]
// accepted, from the request's context.
func TokenFrom(ctx context.Context) (*Token, bool) {
	token, ok := ctx.Value(tokenKey{}).(*Token)
	return token, ok
}

// authenticate verifies the access token and the proof of r.
func (s Resource) authenticate(r *http.Request) (*Token, *Proof, error) {
	raw, err := credentials(r)
	if err != nil {
		return nil, nil, err
	}
	token, err := s.Tokens(r.Context(), raw)
	if err != nil {
		return nil, nil, err
	}
	proof, err := s.Proofs.BoundProof(r, raw, token.Thumbprint)
	return token, proof, err
}

// credentials returns the access token of r. It accepts only the DPoP scheme: a
// bound token must not be used as a bearer token (RFC 9449, section 7.2).
func credentials(r *http.Request) (string, error) {
	fields := r.Header.Values("Authorization")
	if len(fields) == 0 {
		return "", reject(TokenMissing)
	}
	// A request must not contain more than one token (RFC 6750, section 2).
	if len(fields) > 1 || r.URL.Query().Has("access_token") || formHas(r, "access_token") {
		return "", reject(TokenMultiple)
	}
	scheme, token, _ := strings.Cut(fields[0], " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return "", reject(TokenScheme)
	case !strings.EqualFold(scheme, "DPoP"):
		return "", reject(TokenMissing)
	case token == "":
		return "", reject(TokenMalformed)
	}
	return token, nil
}

// formHas reports whether a form body contains a field. The body can still be read
// from its start.
func formHas(r *http.Request, name string) bool {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Body == nil || media != "application/x-www-form-urlencoded" {
		return false
	}
	start, _ := io.ReadAll(io.LimitReader(r.Body, maxForm)) // the handler's next Read returns the error again
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), r.Body), r.Body}
	form, _ := url.ParseQuery(string(start))
	return form.Has(name)
}

// writeError writes the response to a rejected request (RFC 9449, sections 7.1 and
// 9; RFC 6750, section 3). It contains no part of the request.
func (s Resource) writeError(w http.ResponseWriter, r *http.Request, err error, scopes []string) {
	rejection := asError(err)
	if s.Refused != nil {
		s.Refused(r, rejection)
	}
	challenge, status := "DPoP ", http.StatusUnauthorized
	code := rejection.Reason.Code()
	if code != "" { // empty for a request without credentials (RFC 6750, section 3.1)
		challenge += fmt.Sprintf(`error="%s", error_description="%s", `, code, rejection.Reason.Description())
	}
	switch code {
	case InvalidRequest:
		status = http.StatusBadRequest
	case InsufficientScope:
		status = http.StatusForbidden
		challenge += fmt.Sprintf(`scope="%s", `, strings.Join(scopes, " "))
	case TemporarilyUnavailable:
		status = http.StatusServiceUnavailable
	}
	challenge += fmt.Sprintf(`algs="%s"`, strings.Join(s.Proofs.cfg.Algorithms, " "))
	w.Header().Set("WWW-Authenticate", challenge)
	rejection.writeHeader(w, status)
}

// WriteTokenError writes the response to a token request that was rejected with
// err (RFC 6749, section 5.2; RFC 9449, sections 5 and 8).
func WriteTokenError(w http.ResponseWriter, err error) {
	rejection := asError(err)
	status := http.StatusBadRequest
	switch rejection.Reason.Code() {
	case InvalidClient:
		status = http.StatusUnauthorized
	case TemporarilyUnavailable:
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	rejection.writeHeader(w, status)
	json.NewEncoder(w).Encode(map[string]string{
		"error":             rejection.Reason.Code(),
		"error_description": rejection.Reason.Description(),
	})
}

// writeHeader writes the headers that all error responses have.
func (e *Error) writeHeader(w http.ResponseWriter, status int) {
	w.Header().Set("Cache-Control", "no-store")
	if e.Nonce != "" {
		w.Header().Set("DPoP-Nonce", e.Nonce)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
}

// asError returns the *Error in err, or wraps err in one of status 503.
func asError(err error) *Error {
	var rejection *Error
	if errors.As(err, &rejection) {
		return rejection
	}
	return &Error{Reason: KeysUnavailable, Err: err}
}

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

// maxForm is how much of a form body is searched for a second access token.
const maxForm = 64 << 10

// A Resource stands before a team's own API and lets those requests through that
// carry an access token and a proof by the key that the token is bound to.
type Resource struct {
	// Proofs checks the proofs. Needed.
	Proofs *Verifier

	// Tokens checks an access token: [Issuer.Token], or the caller's own, for
	// example by introspection. It refuses with an [*Error]; any other error
	// means that it can't say, and the client is to come again. Needed.
	Tokens func(ctx context.Context, token string) (*Token, error)

	// Refused, if set, is called for each refusal, before the answer goes out.
	Refused func(*http.Request, *Error)
}

// Protect returns a handler that calls next for requests whose access token and
// proof pass and whose token has all of scopes. Others it answers itself
// (RFC 6750, section 3; RFC 9449, section 7.1). In next, [TokenFrom] has the
// token.
func (s Resource) Protect(next http.Handler, scopes ...string) http.Handler {
	if s.Proofs == nil || s.Tokens == nil {
		panic("verify: Resource needs Proofs and Tokens")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, proof, err := s.authenticate(r)
		if err == nil && slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(token.Scopes, s) }) {
			err = refuse(TokenScope)
		}
		if err != nil {
			s.refuse(w, r, err, scopes)
			return
		}
		s.Proofs.OfferNonce(w.Header(), proof)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, token)))
	})
}

type tokenKey struct{}

// TokenFrom returns the access token of a request that [Resource.Protect] has
// let through, from its context.
func TokenFrom(ctx context.Context) (*Token, bool) {
	token, ok := ctx.Value(tokenKey{}).(*Token)
	return token, ok
}

// authenticate checks what r presents.
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

// credentials returns the access token that r presents under the DPoP scheme,
// and under no other: a bound token as a bearer token is a stolen one (RFC 9449,
// section 7.2), and with an unbound one there is nothing to prove.
func credentials(r *http.Request) (string, error) {
	fields := r.Header.Values("Authorization")
	if len(fields) == 0 {
		return "", refuse(TokenMissing)
	}
	// One way to present a token, not two (RFC 6750, section 2).
	if len(fields) > 1 || r.URL.Query().Has("access_token") || formHas(r, "access_token") {
		return "", refuse(TokenMultiple)
	}
	scheme, token, _ := strings.Cut(fields[0], " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return "", refuse(TokenScheme)
	case !strings.EqualFold(scheme, "DPoP"):
		return "", refuse(TokenMissing)
	case token == "":
		return "", refuse(TokenMalformed)
	}
	return token, nil
}

// formHas looks into a form body and leaves it unread for the handler.
func formHas(r *http.Request, name string) bool {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Body == nil || media != "application/x-www-form-urlencoded" {
		return false
	}
	start, _ := io.ReadAll(io.LimitReader(r.Body, maxForm)) // an error comes again when the handler reads on
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), r.Body), r.Body}
	form, _ := url.ParseQuery(string(start))
	return form.Has(name)
}

// refuse answers for err as RFC 9449 (sections 7.1 and 9) and RFC 6750 (section
// 3) have it. The answer holds nothing of the request.
func (s Resource) refuse(w http.ResponseWriter, r *http.Request, err error, scopes []string) {
	refusal := asError(err)
	if s.Refused != nil {
		s.Refused(r, refusal)
	}
	challenge, status := "DPoP ", http.StatusUnauthorized
	code := refusal.Reason.Code()
	if code != "" { // with no credentials at all, no error (RFC 6750, section 3.1)
		challenge += fmt.Sprintf(`error="%s", error_description="%s", `, code, refusal.Reason.Description())
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
	refusal.writeHeader(w, status)
}

// WriteTokenError answers a request to a token endpoint that was refused with
// err (RFC 6749, section 5.2; RFC 9449, sections 5 and 8).
func WriteTokenError(w http.ResponseWriter, err error) {
	refusal := asError(err)
	status := http.StatusBadRequest
	switch refusal.Reason.Code() {
	case InvalidClient:
		status = http.StatusUnauthorized
	case TemporarilyUnavailable:
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	refusal.writeHeader(w, status)
	json.NewEncoder(w).Encode(map[string]string{
		"error":             refusal.Reason.Code(),
		"error_description": refusal.Reason.Description(),
	})
}

// writeHeader writes the header that refusals everywhere have.
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

// asError makes every error a refusal: one that is none yet is of a part that
// could not do its work.
func asError(err error) *Error {
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal
	}
	return &Error{Reason: KeysUnavailable, Err: err}
}

package dpopauth

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

const maxSends = 3 // of one request: the first, and one retry each for two causes

// A Transport is an [http.RoundTripper] that adds an access token and a new
// proof to every request. It is safe for concurrent use, and must be below every
// layer that retries requests.
type Transport struct {
	sender  *sender
	tokens  *tokenSource
	origins map[string]bool
	clock   *clock // of the first origin
	stats   *stats
}

// RoundTrip sends req with an access token and a proof that is bound to it. It
// retries once after each of these: the server requires a nonce (RFC 9449,
// section 9), rejects the token (RFC 6750, section 3.1), or rejects the proof as
// too old or already used. It sends req at most three times, and retries only if
// req has no body or has GetBody.
//
// If the authentication is still rejected, RoundTrip returns an *[Error]. It
// returns all other responses unchanged, such as Okta's 401 with the code E0000015 for
// a feature that the org doesn't have. It also returns a rejection unchanged if it
// could not retry because of the body. It waits for a token until req's context ends.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.check(req); err != nil {
		closeBody(req)
		return nil, err
	}
	var tried []retryCause
	for sends := 1; ; sends++ {
		tok, err := t.tokens.get(req.Context())
		if err != nil {
			if sends == 1 {
				closeBody(req)
			}
			return nil, err
		}
		resp, seen, err := t.send(req, tok, sends)
		if err != nil {
			return nil, networkError(err)
		}
		resp.Request = req
		cause, rejection := t.classify(resp, seen)
		if rejection == nil {
			return resp, nil
		}
		if cause == causeNonce {
			t.stats.count(func(c *Counters) { c.Challenges[string(apiRole)]++ })
		}
		if cause != causeNone && !replayable(req) {
			if cause == causeToken {
				t.tokens.invalidate(tok) // for the next request
			}
			return resp, nil
		}
		discard(resp.Body)
		if cause == causeNone || slices.Contains(tried, cause) || sends == maxSends {
			return nil, rejection
		}
		tried = append(tried, cause)
		if cause == causeToken {
			t.tokens.invalidate(tok)
		}
		t.stats.count(func(c *Counters) { c.Retries[string(cause)]++ })
		t.sender.log.Debug("request sent again", "cause", cause, "status", rejection.Status, "request_id", rejection.RequestID)
	}
}

// Fetch obtains an access token if none is cached. It sends no API request. The
// error is an *[Error], or that of ctx if ctx ends first.
func (t *Transport) Fetch(ctx context.Context) error {
	_, err := t.tokens.get(ctx)
	return err
}

// check rejects a request before anything is signed or sent.
func (t *Transport) check(req *http.Request) error {
	u := req.URL
	reject := func(err error) error { return &Error{Op: opCall, Err: err} }
	switch {
	case u == nil || u.Opaque != "" || u.Host == "":
		return reject(fmt.Errorf("%w: the URL has no host", ErrRequest))
	case u.User != nil || strings.Contains(u.Host, "@"):
		return reject(fmt.Errorf("%w: the URL contains user information", ErrRequest))
	case u.Path != "" && u.Path[0] != '/':
		return reject(fmt.Errorf("%w: the path is relative", ErrRequest))
	}
	target := origin(u)
	if !visible(u.Host) || !t.origins[target] {
		t.stats.count(func(c *Counters) { c.Refused++ })
		return reject(fmt.Errorf("%w: %.100q", ErrOrigin, target))
	}
	if host := *u; req.Host != "" {
		if host.Host = req.Host; !visible(req.Host) || origin(&host) != target {
			return reject(fmt.Errorf("%w: the Host header differs from the URL's host", ErrRequest))
		}
	}
	return nil
}

// send sends a copy of req once.
func (t *Transport) send(req *http.Request, tok *token, sends int) (*http.Response, observation, error) {
	c := req.WithContext(req.Context()) // a shallow copy
	if c.Header = req.Header.Clone(); c.Header == nil {
		c.Header = http.Header{}
	}
	if sends > 1 && req.GetBody != nil && req.Body != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, observation{}, err
		}
		c.Body = body
	}
	for name := range c.Header { // in any case: the caller may not have used canonical names
		if strings.EqualFold(name, "Authorization") || strings.EqualFold(name, "DPoP") {
			delete(c.Header, name)
		}
	}
	c.Header.Set("Authorization", tok.scheme+" "+tok.value)
	return t.sender.send(c, apiRole, tok.ath)
}

// classify returns an error if resp rejects the authentication, and the cause for
// a retry if one may succeed. Both are zero for all other responses.
func (t *Transport) classify(resp *http.Response, seen observation) (retryCause, *Error) {
	unauthorized, forbidden := resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden
	if !unauthorized && !forbidden && resp.StatusCode != http.StatusBadRequest {
		return causeNone, nil
	}
	rejection := newError(opCall, resp)
	c, found := errorChallenge(resp.Header)
	if !found && (seen.nonce && !forbidden || unauthorized) {
		body := errorBody(resp)
		switch {
		case seen.nonce && text(body.Error) == "use_dpop_nonce":
			c, found = challenge{scheme: "dpop", params: map[string]string{"error": "use_dpop_nonce"}}, true
		case text(body.ErrorCode) == codeNotLicensed:
			return causeNone, nil
		}
	}
	if !found {
		if unauthorized {
			return causeToken, rejection
		}
		return causeNone, nil
	}
	rejection.Code, rejection.Description = errorCode(c.params["error"]), cleanText(c.params["error_description"], 200)
	aboutProof := c.scheme == "dpop" && t.sender.key != nil && !forbidden
	switch {
	case aboutProof && rejection.Code == "use_dpop_nonce" && seen.nonce:
		rejection.Err, rejection.retryable = ErrNonce, true
		return causeNonce, rejection
	case aboutProof && rejection.Code == "use_dpop_nonce":
		rejection.Err = missingNonce()
		return causeNone, rejection
	case aboutProof && rejection.Code == "invalid_dpop_proof":
		cause := t.sender.diagnose(rejection, c, seen)
		if rejection.Err == nil && cause == causeNone && newProofMayPass(c.params["error_description"]) {
			return causeProof, rejection
		}
		return cause, rejection
	case unauthorized:
		return causeToken, rejection
	}
	return causeNone, rejection
}

// newProofMayPass reports whether a description of invalid_dpop_proof names the
// time or reuse of the proof. Okta has no error code for these.
func newProofMayPass(description string) bool {
	d := strings.ToLower(description)
	for _, word := range []string{"already been used", "replay", "in the past", "in the future", "expired", "too old", "iat"} {
		if strings.Contains(d, word) {
			return true
		}
	}
	return false
}

// codeNotLicensed is Okta's code for a feature that the org doesn't have. Okta sends
// it with status 401, also if the token is valid.
const codeNotLicensed = "E0000015"

// errorBody parses a short JSON body, and returns the zero value for any other. The
// body of resp can still be read from its start.
func errorBody(resp *http.Response) tokenResponse {
	if mediaType(resp.Header) != "application/json" {
		return tokenResponse{}
	}
	start, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // the caller's next Read returns err again
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
	if err != nil {
		return tokenResponse{}
	}
	body, err := parseTokenResponse(start)
	if err != nil {
		return tokenResponse{}
	}
	return body
}

func replayable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// Client returns an http.Client that sends its requests through t, follows no
// redirects and stores no cookies.
func (t *Transport) Client() *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CloseIdleConnections closes the idle connections of the base transport.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.sender.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Format prints a placeholder for every verb, so that no secret is printed.
func (t Transport) Format(f fmt.State, verb rune) { _, _ = io.WriteString(f, "[redacted transport]") }

// MarshalText returns a placeholder, so that JSON and logs contain no secret.
func (t Transport) MarshalText() ([]byte, error) { return []byte("[redacted transport]"), nil }

package dpopauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"oktasync/dpopauth/keys"
)

const (
	assertionLife   = 5 * time.Minute  // Okta accepts up to an hour
	assertionMargin = 30 * time.Second // iat is this far in the past: Okta rejects an iat in its future
	attemptTimeout  = 30 * time.Second // of one HTTP request
	requestTimeout  = 2 * time.Minute  // with all attempts
	maxAttempts     = 4                // while the server is unavailable
	firstRetryWait  = 500 * time.Millisecond
	maxRetryWait    = 30 * time.Second // also for Retry-After
)

// A tokenEndpoint requests access tokens: the client credentials grant (RFC 6749,
// section 4.4) with a client assertion (RFC 7523, section 2.2).
type tokenEndpoint struct {
	*sender
	clock     *clock // of the server
	url       string
	audience  string
	clientID  string
	clientKey *keys.Key
	scopes    []string
	optional  []string // of scopes: a token without these is accepted
	report    func(TokenRequest)
	stats     *stats
}

// A TokenRequest describes one HTTP request to the token endpoint.
type TokenRequest struct {
	Time      time.Time // when it was sent, by the local clock
	URL       string
	Status    int    // 0: no response
	Error     string // error code of OAuth or Okta, or empty
	RequestID string
	Granted   bool // the response contained a valid token
}

// assertionClaims are the claims of a client assertion (RFC 7523, section 3).
// Each request needs a new one, because a server accepts a jti only once.
type assertionClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ID       string `json:"jti"`
	IssuedAt int64  `json:"iat"`
	Expiry   int64  `json:"exp"`
}

// requestToken obtains a token. It retries once if the server requires a nonce,
// once if the estimate of the server's clock was wrong, and up to three times if
// the server is unavailable. Each attempt has a new assertion and a new proof.
func (e *tokenEndpoint) requestToken(ctx context.Context) (*token, error) {
	var nonced, corrected bool
	for attempt := 1; ; {
		tok, again, err := e.attempt(ctx)
		if again.cause == causeNonce {
			e.stats.count(func(c *Counters) { c.Challenges[string(tokenRole)]++ })
		}
		switch {
		case err == nil:
			return tok, nil
		case again.cause == causeNonce && !nonced:
			nonced = true
		case again.cause == causeProof && !corrected:
			corrected = true
		case again.cause == causeUnavailable && attempt < maxAttempts:
			if wait(ctx, max(again.after, backoff(attempt))) != nil {
				return nil, err
			}
			attempt++
		default:
			return nil, err
		}
		e.stats.count(func(c *Counters) { c.Retries[string(again.cause)]++ })
		e.log.Debug("token request sent again", "cause", again.cause, "err", err)
	}
}

// A retry contains the cause for which a request may be sent again, if any, and
// the time to wait before.
type retry struct {
	cause retryCause
	after time.Duration
}

// A retryCause is the reason for sending a request again, as in [Counters].
type retryCause string

const (
	causeNone        retryCause = ""
	causeNonce       retryCause = "nonce"   // the server requires a nonce
	causeToken       retryCause = "token"   // the token was rejected
	causeProof       retryCause = "proof"   // the proof was too old, or already used
	causeUnavailable retryCause = "trouble" // no response, or an overloaded server
)

// attempt sends one request and reports it.
func (e *tokenEndpoint) attempt(ctx context.Context) (*token, retry, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	sentMono, sentWall := e.local.mono(), e.local.wall()
	r := TokenRequest{URL: e.url, Time: time.Now()}
	resp, seen, err := e.post(ctx)
	var tok *token
	var again retry
	if err == nil {
		defer discard(resp.Body)
		tok, again, err = e.readResponse(resp, seen)
		r.Status = resp.StatusCode
		r.RequestID = requestIDHeader(resp.Header)
	} else {
		if !permanent(err) {
			again.cause = causeUnavailable
		}
		err = &Error{Op: "get token", Err: incomplete(err)}
	}
	if tok != nil {
		tok.requestedWall, tok.requestedMono = sentWall, sentMono
		r.Granted = true
	}
	if oe := (*Error)(nil); errors.As(err, &oe) {
		r.Error = oe.Code
	}
	if e.report != nil {
		e.report(r)
	}
	return tok, again, err
}

func (e *tokenEndpoint) post(ctx context.Context) (*http.Response, observation, error) {
	now := e.clock.now()
	assertion, err := e.clientKey.SignAssertion(assertionClaims{
		Issuer: e.clientID, Subject: e.clientID, Audience: e.audience, ID: rand.Text(),
		IssuedAt: now.Add(-assertionMargin).Unix(), Expiry: now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return nil, observation{}, err
	}
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	if len(e.scopes) > 0 {
		form.Set("scope", strings.Join(e.scopes, " "))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, observation{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	return e.send(req, tokenRole, "")
}

// backoff returns the wait after an attempt: exponential, with full jitter.
func backoff(attempt int) time.Duration {
	return mathrand.N(min(firstRetryWait<<(attempt-1), maxRetryWait)) + 1
}

// incomplete returns err with the attempt's timeout, if that was the cause.
func incomplete(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no complete response within %v: %w", attemptTimeout, networkError(err))
	}
	return networkError(err)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// discard reads the rest of a body, so that the connection can be reused, and
// closes it.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}

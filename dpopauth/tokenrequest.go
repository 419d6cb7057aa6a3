package dpopauth

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	assertionLife   = 5 * time.Minute  // Okta accepts up to an hour
	assertionMargin = 30 * time.Second // iat is this far in the past: Okta rejects an iat in its future
	maxAttempts     = 4                // while the server is unavailable
	firstRetryWait  = 500 * time.Millisecond
)

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
		err = &Error{Op: opToken, Err: incomplete(err)}
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

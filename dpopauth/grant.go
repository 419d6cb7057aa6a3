package dpopauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"oktasync/dpopauth/internal/parse"
	"oktasync/dpopauth/keys"
)

const (
	maxAnswer    = 1 << 20          // octets of a token answer, uncompressed
	maxToken     = 16 << 10         // octets of a token
	defaultLife  = 5 * time.Minute  // where the server names none
	maxLife      = 24 * time.Hour   // whatever the server names
	tryTimeout   = 30 * time.Second // one request to the token endpoint
	fetchTimeout = 2 * time.Minute  // one token, with all retries
	maxTries     = 4                // a first and three more, where the server is in trouble
	firstWait    = 500 * time.Millisecond
	maxWait      = 30 * time.Second // what Retry-After may ask for
)

// An endpoint asks the token endpoint for tokens: the client credentials grant
// (RFC 6749, section 4.4) with a client assertion (RFC 7523, section 2.2).
type endpoint struct {
	*wire
	url      string
	audience string
	clientID string
	client   *keys.Key // signs the assertions
	scopes   []string
	report   func(TokenRequest)
	stats    *stats
}

// A TokenRequest tells of one request to the token endpoint.
type TokenRequest struct {
	Time      time.Time // when it was sent, by the server's clock as far as its answers show it
	URL       string
	Status    int    // 0: no answer
	Error     string // OAuth's error code, or Okta's; empty where there is none
	RequestID string
	Granted   bool // the answer was a token that is good to use
}

// fetch gets a token. A demand for a nonce is met once, a clock that turns out
// to be wrong is corrected once, and a server in trouble is asked three times
// more. Each request has an assertion and a proof of its own.
func (e *endpoint) fetch(ctx context.Context) (*token, error) {
	var nonced, corrected bool
	for try := 1; ; {
		tok, again, err := e.try(ctx)
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
		case again.cause == causeTrouble && try < maxTries:
			if wait(ctx, max(again.after, backoff(firstWait, try))) != nil {
				return nil, err
			}
			try++
		default:
			return nil, err
		}
		e.stats.count(func(c *Counters) { c.Retries[string(again.cause)]++ })
		e.log.Debug("token request sent again", "cause", again.cause, "err", err)
	}
}

// A retry says whether a request may be sent again: for what cause, and not
// before when.
type retry struct {
	cause cause
	after time.Duration
}

// A cause is why a request was sent again.
type cause string

const (
	causeNone    cause = ""
	causeNonce   cause = "nonce"   // the server demands its nonce
	causeToken   cause = "token"   // the token is not good any more
	causeProof   cause = "proof"   // the proof was late, or seen before
	causeTrouble cause = "trouble" // no answer, or an overloaded server
)

// try sends one request and reports it.
func (e *endpoint) try(ctx context.Context) (*token, retry, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	sentMono, sentWall := e.clock.mono(), e.clock.wall()
	resp, lesson, err := e.post(ctx)
	r := TokenRequest{URL: e.url}
	var tok *token
	var again retry
	if err == nil {
		defer discard(resp.Body)
		tok, again, err = e.answer(resp, lesson)
		r.Status = resp.StatusCode
		r.RequestID = parse.RequestID(resp.Header)
	} else {
		if !permanent(err) {
			again.cause = causeTrouble
		}
		err = &Error{Op: "get token", Err: lost(err)}
	}
	if tok != nil {
		tok.wall, tok.mono = sentWall, sentMono
		r.Granted = true
	}
	if oe := (*Error)(nil); errors.As(err, &oe) {
		r.Error = oe.Code
	}
	if e.report != nil {
		r.Time = e.clock.now().Add(sentMono - e.clock.mono())
		e.report(r)
	}
	return tok, again, err
}

func (e *endpoint) post(ctx context.Context) (*http.Response, lesson, error) {
	jwt, err := e.client.SignAssertion(newAssertion(e.clientID, e.audience, e.clock.now()))
	if err != nil {
		return nil, lesson{}, err
	}
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {jwt},
	}
	if len(e.scopes) > 0 {
		form.Set("scope", strings.Join(e.scopes, " "))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, lesson{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	return e.exchange(req, tokenRole, "")
}

// backoff returns a wait before try+1: exponential with full jitter.
func backoff(first time.Duration, try int) time.Duration {
	return rand.N(min(first<<min(try-1, 10), maxWait)) + 1
}

// lost says why there is no whole answer.
func lost(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no whole answer within %v: %w", tryTimeout, bare(err))
	}
	return bare(err)
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

// discard reads what is left of a body, so that the connection can be used
// again, and closes it.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}

package dpopauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
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
	key      *Key
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
		switch {
		case err == nil:
			return tok, nil
		case again.cause == causeNonce && !nonced:
			nonced = true
			e.stats.challenge(tokenRole)
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
		e.stats.retry(again.cause)
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
		r.RequestID = newError("", resp).RequestID
	} else {
		again.cause = causeTrouble
		if untrusted(err) {
			again.cause = causeNone
		}
		err = &Error{Op: "get token", Err: lost(err)}
	}
	if tok != nil {
		tok.start(sentWall, sentMono)
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
	jwt, err := assertion(e.key, e.clientID, e.audience, e.clock.now())
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

// answer reads the answer of the token endpoint.
func (e *endpoint) answer(resp *http.Response, l lesson) (*token, retry, error) {
	fail := newError("get token", resp)
	if resp.StatusCode/100 == 3 {
		fail.Err = ErrRedirect
		if to, err := resp.Location(); err == nil {
			fail.Err = fmt.Errorf("%w: it leads to host %.100q", ErrRedirect, to.Host)
		}
		return nil, retry{}, fail
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		fail.Err = lost(err)
		return nil, retry{cause: causeTrouble}, fail
	case len(body) > maxAnswer:
		fail.Err = fmt.Errorf("%w: it is longer than 1 MiB", ErrAnswer)
		return nil, retry{}, fail
	}
	m, err := members(body)
	if resp.StatusCode != http.StatusOK {
		return nil, e.refused(fail, resp, m, l), fail
	}
	if err != nil {
		fail.Err = fmt.Errorf("%w: %s, %s", ErrAnswer, mediaType(resp.Header), err)
		return nil, retry{}, fail
	}
	tok, err := e.token(m)
	if err != nil {
		fail.Err = err
		if errors.Is(err, ErrTokenType) {
			fail.hint = "see whether the app requires DPoP (dpop.mode), and whether a proxy strips the DPoP header"
		}
		return nil, retry{}, fail
	}
	return tok, retry{}, nil
}

// refused fills fail from an error answer, and says whether another request may
// fare better.
func (e *endpoint) refused(fail *Error, resp *http.Response, m map[string]json.RawMessage, l lesson) retry {
	j := jwk(m)
	fail.Code = code(j.text("error"), j.text("errorCode"))
	fail.Description = clean(j.text("error_description")+j.text("errorSummary"), 200)
	c, _ := refusal(resp.Header)
	demanded := fail.Code == "use_dpop_nonce" || c.scheme == "dpop" && c.params["error"] == "use_dpop_nonce"
	if fail.Code == "" {
		fail.Code = code(c.params["error"])
		fail.Description = clean(c.params["error_description"], 200)
	}
	if fail.Code == "invalid_client" {
		fail.hint = fmt.Sprintf("see that the app %s holds the public key with thumbprint %s (kid %q), and no other by that kid", e.clientID, e.key.Thumbprint(), e.key.ID())
	}
	switch {
	case overloaded(resp.StatusCode, fail.Code):
		return retry{causeTrouble, retryAfter(resp.Header, e.clock.now())}
	case fail.Code == "":
		fail.Err = fmt.Errorf("%w: %s, no OAuth error", ErrAnswer, mediaType(resp.Header))
		return retry{}
	case demanded && l.nonce:
		fail.Err = ErrNonce
		return retry{cause: causeNonce}
	case demanded:
		fail.Err = fmt.Errorf("%w, and no valid DPoP-Nonce given", ErrNonce)
		return retry{}
	}
	return e.blame(fail, c, l)
}

// blame names clocks or algorithms as the cause of a refusal, where they are.
func (w *wire) blame(fail *Error, c challenge, l lesson) retry {
	if l.misdated() {
		return retry{cause: causeProof}
	}
	if skew := w.clock.skew(); skew != nil {
		fail.Err = skew
		fail.hint = "set the clock of this machine (NTP): it is too far from the server's to work around"
	}
	algs := strings.Fields(c.params["algs"])
	if w.key != nil && len(algs) > 0 && !slices.Contains(algs, w.key.Algorithm()) {
		fail.Err = fmt.Errorf("%w: our key signs by %s, the server takes %s", ErrAlgorithm, w.key.Algorithm(), clean(c.params["algs"], 100))
	}
	return retry{}
}

// token returns the token of a successful answer (RFC 6749, section 5.1).
func (e *endpoint) token(m map[string]json.RawMessage) (*token, error) {
	value, kind := jwk(m).text("access_token"), jwk(m).text("token_type")
	want := "DPoP"
	if e.wire.key == nil {
		want = "Bearer"
	}
	switch {
	case !strings.EqualFold(kind, want):
		return nil, fmt.Errorf("%w: it is %.20q, not %s", ErrTokenType, clean(kind, 20), want)
	case value == "" || len(value) > maxToken || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, fmt.Errorf("%w: no access_token that can be sent", ErrAnswer)
	}
	life, err := lifeOf(m["expires_in"])
	if err != nil {
		return nil, err
	}
	if granted, ok := m["scope"]; ok && string(granted) != "null" {
		given := strings.Fields(jwk(m).text("scope"))
		missing := slices.DeleteFunc(slices.Clone(e.scopes), func(s string) bool { return slices.Contains(given, s) })
		if len(missing) > 0 {
			return nil, fmt.Errorf("%w: %s", ErrScope, strings.Join(missing, " "))
		}
	}
	return newToken(value, want, life), nil
}

// lifeOf reads expires_in, as a number or as a string that holds one.
func lifeOf(raw json.RawMessage) (time.Duration, error) {
	text := string(raw)
	if text == "" || text == "null" {
		return defaultLife, nil
	}
	if text[0] == '"' {
		_ = json.Unmarshal(raw, &text)
	}
	if text == "" || text[0] < '0' || text[0] > '9' || !json.Valid([]byte(text)) {
		return 0, fmt.Errorf("%w: expires_in is no positive number", ErrAnswer)
	}
	seconds, _ := strconv.ParseFloat(text, 64) // infinite where it is out of range
	if seconds < 1 {
		return 0, fmt.Errorf("%w: expires_in is no positive number", ErrAnswer)
	}
	return time.Duration(min(seconds, maxLife.Seconds()) * float64(time.Second)), nil
}

// code returns the first code that is one (RFC 6749, section 5.2).
func code(candidates ...string) string {
	for _, c := range candidates {
		if c != "" && len(c) <= 64 && c == clean(c, 64) && !strings.ContainsAny(c, " \"\\") {
			return c
		}
	}
	return ""
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3), in seconds or as a
// date by the server's clock.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	after := time.Duration(0)
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		after = time.Duration(s) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		after = t.Sub(now)
	}
	return min(max(after, 0), maxWait)
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

// untrusted reports an error of TLS that another try won't mend.
func untrusted(err error) bool {
	var cert *tls.CertificateVerificationError
	var host x509.HostnameError
	var ca x509.UnknownAuthorityError
	return errors.As(err, &cert) || errors.As(err, &host) || errors.As(err, &ca)
}

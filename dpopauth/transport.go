package dpopauth

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"oktasync/dpopauth/internal/parse"
)

const maxSends = 3 // of one request: the first, and one retry each for two causes

// A Transport is an http.RoundTripper that puts an access token and a new proof
// on every request. It is safe for concurrent use, and goes below every layer
// that sends requests again.
type Transport struct {
	wire    *wire
	tokens  *source
	origins map[string]bool
	stats   *stats
}

// RoundTrip sends req with an access token and a proof bound to it. It sends it
// again where the server demands a nonce (RFC 9449, section 9), has withdrawn
// the token (RFC 6750, section 3.1), or found the proof late or seen before: for
// each of these once, three times in all, and only if req has no body or a
// GetBody.
//
// An answer that refuses the authentication even so is returned as an *[Error];
// any other as it came, as is a refusal after which req would be sent again if it
// could. RoundTrip waits for a token for as long as req's context lasts.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.check(req); err != nil {
		closeBody(req)
		return nil, err
	}
	var tried []cause
	for sends := 1; ; sends++ {
		tok, err := t.tokens.get(req.Context())
		if err != nil {
			if sends == 1 {
				closeBody(req)
			}
			return nil, err
		}
		resp, l, err := t.send(req, tok, sends)
		if err != nil {
			return nil, bare(err)
		}
		resp.Request = req
		why, fail := t.judge(resp, l)
		if fail == nil {
			return resp, nil
		}
		if why == causeNonce {
			t.stats.count(func(c *Counters) { c.Challenges[string(apiRole)]++ })
		}
		if why != causeNone && !replayable(req) {
			if why == causeToken {
				t.tokens.refuse(tok) // the next request is not to meet the same answer
			}
			return resp, nil
		}
		discard(resp.Body)
		if why == causeNone || slices.Contains(tried, why) || sends == maxSends {
			return nil, fail
		}
		tried = append(tried, why)
		if why == causeToken {
			t.tokens.refuse(tok)
		}
		t.stats.count(func(c *Counters) { c.Retries[string(why)]++ })
		t.wire.log.Debug("request sent again", "cause", why, "status", fail.Status, "request_id", fail.RequestID)
	}
}

// Fetch gets a token, unless a good one is held, and sends nothing else: for
// whoever wants to know beforehand whether there is one to be had. It waits for as
// long as ctx lasts; an error is ctx's, or says as an *[Error] why there is none.
func (t *Transport) Fetch(ctx context.Context) error {
	_, err := t.tokens.get(ctx)
	return err
}

// check refuses a request before anything of it is sent or signed.
func (t *Transport) check(req *http.Request) error {
	u := req.URL
	refuse := func(err error) error { return &Error{Op: "call API", Err: err} }
	switch {
	case u == nil || u.Opaque != "" || u.Host == "":
		return refuse(fmt.Errorf("%w: its URL has no host", ErrRequest))
	case u.User != nil || strings.Contains(u.Host, "@"):
		return refuse(fmt.Errorf("%w: its URL has user information", ErrRequest))
	case u.Path != "" && u.Path[0] != '/':
		return refuse(fmt.Errorf("%w: its path is relative", ErrRequest))
	}
	to := origin(u)
	if !parse.Visible(u.Host) || !t.origins[to] {
		t.stats.count(func(c *Counters) { c.Refused++ })
		return refuse(fmt.Errorf("%w: %.100q", ErrOrigin, to))
	}
	if host := *u; req.Host != "" {
		if host.Host = req.Host; !parse.Visible(req.Host) || origin(&host) != to {
			return refuse(fmt.Errorf("%w: its Host is not its URL's", ErrRequest))
		}
	}
	return nil
}

// send sends a copy of req once.
func (t *Transport) send(req *http.Request, tok *token, sends int) (*http.Response, lesson, error) {
	c := req.WithContext(req.Context()) // a shallow copy
	if c.Header = req.Header.Clone(); c.Header == nil {
		c.Header = http.Header{}
	}
	if sends > 1 && req.GetBody != nil && req.Body != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, lesson{}, err
		}
		c.Body = body
	}
	for name := range c.Header { // however the caller spelt them
		if strings.EqualFold(name, "Authorization") || strings.EqualFold(name, "DPoP") {
			delete(c.Header, name)
		}
	}
	c.Header.Set("Authorization", tok.scheme+" "+tok.value)
	return t.wire.exchange(c, apiRole, tok.ath)
}

// judge says whether resp refuses the authentication, and if so, for what cause
// the request may be sent again.
func (t *Transport) judge(resp *http.Response, l lesson) (cause, *Error) {
	unauthorized := resp.StatusCode == http.StatusUnauthorized
	if !unauthorized && resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusForbidden {
		return causeNone, nil
	}
	fail := newError("call API", resp)
	c, named := parse.Refusal(resp.Header)
	if l.nonce && !named && resp.StatusCode != http.StatusForbidden && nonceInBody(resp) {
		c, named = parse.Challenge{Scheme: "dpop", Params: map[string]string{"error": "use_dpop_nonce"}}, true
	}
	if !named {
		if unauthorized {
			return causeToken, fail
		}
		return causeNone, nil
	}
	fail.Code, fail.Description = parse.Code(c.Params["error"]), parse.Clean(c.Params["error_description"], 200)
	ours := c.Scheme == "dpop" && t.wire.key != nil && resp.StatusCode != http.StatusForbidden
	switch {
	case ours && fail.Code == "use_dpop_nonce" && l.nonce:
		fail.Err, fail.again = ErrNonce, true
		return causeNonce, fail
	case ours && fail.Code == "use_dpop_nonce":
		fail.Err = fmt.Errorf("%w, and no valid DPoP-Nonce given", ErrNonce)
		return causeNone, fail
	case ours && fail.Code == "invalid_dpop_proof":
		again := t.wire.blame(fail, c, l)
		if fail.Err == nil && again.cause == causeNone && passing(c.Params["error_description"]) {
			return causeProof, fail
		}
		return again.cause, fail
	case unauthorized:
		return causeToken, fail
	}
	return causeNone, fail
}

// passing reports a reason for refusing a proof that a new one is rid of: its
// time, or that it was seen before. Okta has no code for them, only words.
func passing(description string) bool {
	d := strings.ToLower(description)
	for _, word := range []string{"already been used", "replay", "in the past", "in the future", "expired", "too old", "iat"} {
		if strings.Contains(d, word) {
			return true
		}
	}
	return false
}

// nonceInBody looks for the demand for a nonce in a JSON body, where some
// servers have it, and leaves the body to be read again.
func nonceInBody(resp *http.Response) bool {
	if parse.MediaType(resp.Header) != "application/json" {
		return false
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // an error comes again when the caller reads on
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	if err != nil {
		return false
	}
	o, err := parse.JSON(head)
	return err == nil && o.Text("error") == "use_dpop_nonce"
}

func replayable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// Status tells how t is doing.
func (t *Transport) Status() Status {
	s := Status{Offset: t.wire.clock.offset(), Counters: t.stats.counters()}
	if t.wire.key != nil {
		s.Thumbprint = t.wire.key.Thumbprint()
	}
	t.tokens.mu.Lock()
	defer t.tokens.mu.Unlock()
	s.LastError = t.tokens.err
	if cur := t.tokens.cur; cur != nil {
		s.Expiry = t.wire.clock.wall().Add(cur.life - cur.age(t.wire.clock))
	}
	return s
}

// Client returns an http.Client that sends through t, follows no redirect and
// keeps no cookies.
func (t *Transport) Client() *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CloseIdleConnections closes the idle connections of the base transport.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.wire.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Format prints t for every verb of fmt, without what it holds.
func (t Transport) Format(f fmt.State, verb rune) { _, _ = io.WriteString(f, "[redacted transport]") }

// MarshalText keeps what t holds out of JSON and logs as well.
func (t Transport) MarshalText() ([]byte, error) { return []byte("[redacted transport]"), nil }

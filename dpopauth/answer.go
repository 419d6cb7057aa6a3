package dpopauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

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
		fail.Status, fail.Err, fail.hint = 0, lost(err), hintPlain(resp)
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
			fail.hint = "see whether the app requires DPoP, as this client does or does not, and whether a proxy strips the DPoP header"
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
		fail.hint = e.hintClient(fail.Description)
	}
	switch {
	case overloaded(resp.StatusCode, fail.Code):
		return retry{causeTrouble, retryAfter(resp.Header, e.clock.now())}
	case fail.Code == "":
		fail.Err = fmt.Errorf("%w: %s, no OAuth error", ErrAnswer, mediaType(resp.Header))
		fail.hint = hintPlain(resp)
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

// hintClient says which of the things that make up a client assertion does not
// fit. Okta has one code for all of them; only its words differ, and where they
// are new the key is the likeliest.
func (e *endpoint) hintClient(description string) string {
	d := strings.ToLower(description)
	switch {
	case strings.Contains(d, "auth_method"):
		return fmt.Sprintf("the app %s has to be a service app with private_key_jwt", e.clientID)
	case strings.Contains(d, "client_id") || strings.Contains(d, "subject") || strings.Contains(d, "issuer"):
		return fmt.Sprintf("the org knows no app %.100q: see that the client ID is right, and the org URL is that of the app's org", e.clientID)
	case strings.Contains(d, "audience") || strings.Contains(d, "'aud'"):
		return "the assertion was made out to " + e.audience + ": see that the org URL is the org's own address, not an alias or -admin"
	case strings.Contains(d, "expir") || strings.Contains(d, "issued before"):
		return "see that this machine's clock is right"
	}
	kid := ", and that the app has no other key"
	if id := e.client.ID(); id != "" {
		kid = fmt.Sprintf(" (kid %q), and no other by that kid", id)
	}
	return fmt.Sprintf("see that the app %s holds the public key with thumbprint %s%s", e.clientID, e.client.Thumbprint(), kid)
}

// hintPlain is for what a server that speaks TLS answers to plain http.
func hintPlain(resp *http.Response) string {
	if resp.StatusCode != http.StatusBadRequest || resp.TLS != nil {
		return ""
	}
	return "the request went by plain http; if the server speaks TLS, its URL begins with https://"
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
	if e.key == nil {
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
// date by the server's clock. Okta has X-Rate-Limit-Reset in its place, which is
// such a date in seconds since 1970.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v, after := h.Get("Retry-After"), time.Duration(0)
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		after = time.Duration(s) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		after = t.Sub(now)
	} else if reset, err := strconv.ParseUint(h.Get("X-Rate-Limit-Reset"), 10, 40); err == nil {
		after = time.Unix(int64(reset)+1, 0).Sub(now)
	}
	return min(max(after, 0), maxWait)
}

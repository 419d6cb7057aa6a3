package dpopauth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"oktasync/dpopauth/internal/parse"
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
	o, err := parse.JSON(body)
	if resp.StatusCode != http.StatusOK {
		return nil, e.refused(fail, resp, o, l), fail
	}
	if err != nil {
		fail.Err = fmt.Errorf("%w: %s, %s", ErrAnswer, parse.MediaType(resp.Header), err)
		return nil, retry{}, fail
	}
	tok, err := e.token(o)
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
func (e *endpoint) refused(fail *Error, resp *http.Response, o parse.Object, l lesson) retry {
	fail.Code = parse.Code(o.Text("error"), o.Text("errorCode"))
	fail.Description = parse.Clean(o.Text("error_description")+o.Text("errorSummary"), 200)
	c, _ := parse.Refusal(resp.Header)
	demanded := fail.Code == "use_dpop_nonce" || c.Scheme == "dpop" && c.Params["error"] == "use_dpop_nonce"
	if fail.Code == "" {
		fail.Code = parse.Code(c.Params["error"])
		fail.Description = parse.Clean(c.Params["error_description"], 200)
	}
	if fail.Code == "invalid_client" {
		fail.Part, fail.hint = e.blameClient(fail.Description)
	}
	switch {
	case overloaded(resp.StatusCode, fail.Code):
		return retry{causeTrouble, parse.RetryAfter(resp.Header, e.clock.now(), maxWait)}
	case fail.Code == "":
		fail.Err = fmt.Errorf("%w: %s, no OAuth error", ErrAnswer, parse.MediaType(resp.Header))
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

// blameClient says which of the things that make up a client assertion does not
// fit. Okta has one code for all of them; only its words differ, and where they
// are new the key is the likeliest.
func (e *endpoint) blameClient(description string) (Part, string) {
	d := strings.ToLower(description)
	switch {
	case strings.Contains(d, "auth_method"):
		return PartMethod, fmt.Sprintf("the app %s has to be a service app with private_key_jwt", e.clientID)
	case strings.Contains(d, "client_id") || strings.Contains(d, "subject") || strings.Contains(d, "issuer"):
		return PartClient, fmt.Sprintf("the org knows no app %.100q: see that the client ID is right, and the org URL is that of the app's org", e.clientID)
	case strings.Contains(d, "audience") || strings.Contains(d, "'aud'"):
		return PartAudience, "the assertion was made out to " + e.audience + ": see that the org URL is the org's own address, not an alias or -admin"
	case strings.Contains(d, "expir") || strings.Contains(d, "issued before"):
		return PartTime, "see that this machine's clock is right"
	case strings.Contains(d, "already been used"):
		return PartReplay, "no assertion is sent twice from here: see what repeats requests on their way, a proxy or a gateway"
	case strings.Contains(d, "no client credentials"):
		return PartMissing, "the request arrived without its assertion: see what changes requests on their way, a proxy or a gateway, and that the org URL is the org's own address"
	}
	kid := ", and that the app has no other key"
	if id := e.client.ID(); id != "" {
		kid = fmt.Sprintf(" (kid %q), and no other by that kid", id)
	}
	return PartKey, fmt.Sprintf("see that the app %s holds the public key with thumbprint %s%s", e.clientID, e.client.Thumbprint(), kid)
}

// hintPlain is for what a server that speaks TLS answers to plain http.
func hintPlain(resp *http.Response) string {
	if resp.StatusCode != http.StatusBadRequest || resp.TLS != nil {
		return ""
	}
	return "the request went by plain http; if the server speaks TLS, its URL begins with https://"
}

// blame names clocks or algorithms as the cause of a refusal, where they are.
func (w *wire) blame(fail *Error, c parse.Challenge, l lesson) retry {
	if l.misdated() {
		return retry{cause: causeProof}
	}
	if skew := w.clock.skew(); skew != nil {
		fail.Err = skew
		fail.hint = "set the clock of this machine (NTP): it is too far from the server's to work around"
	}
	algs := strings.Fields(c.Params["algs"])
	if w.key != nil && len(algs) > 0 && !slices.Contains(algs, w.key.Algorithm()) {
		fail.Err = fmt.Errorf("%w: our key signs by %s, the server takes %s", ErrAlgorithm, w.key.Algorithm(), parse.Clean(c.Params["algs"], 100))
	}
	return retry{}
}

// token returns the token of a successful answer (RFC 6749, section 5.1).
func (e *endpoint) token(o parse.Object) (*token, error) {
	value, kind := o.Text("access_token"), o.Text("token_type")
	want := "DPoP"
	if e.key == nil {
		want = "Bearer"
	}
	switch {
	case !strings.EqualFold(kind, want):
		return nil, fmt.Errorf("%w: it is %.20q, not %s", ErrTokenType, parse.Clean(kind, 20), want)
	case value == "" || len(value) > maxToken || !parse.Visible(value):
		return nil, fmt.Errorf("%w: no access_token that can be sent", ErrAnswer)
	}
	life := defaultLife
	if o.Has("expires_in") {
		seconds, ok := o.Number("expires_in")
		if !ok || seconds < 1 {
			return nil, fmt.Errorf("%w: expires_in is no positive number", ErrAnswer)
		}
		life = time.Duration(min(seconds, maxLife.Seconds()) * float64(time.Second))
	}
	if o.Has("scope") {
		given := strings.Fields(o.Text("scope"))
		missing := slices.DeleteFunc(slices.Clone(e.scopes), func(s string) bool { return slices.Contains(given, s) })
		if len(missing) > 0 {
			asked := slices.DeleteFunc(slices.Clone(e.scopes), func(s string) bool { return !slices.Contains(given, s) })
			return nil, &ScopeError{Granted: asked, Missing: missing}
		}
	}
	return newToken(value, want, life), nil
}

package dpopauth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxResponse = 1 << 20         // bytes of a token response, uncompressed
	maxToken    = 16 << 10        // bytes of a token
	defaultLife = 5 * time.Minute // without expires_in
	maxLife     = 24 * time.Hour  // even if expires_in is larger
)

// A tokenResponse contains the raw members of a response of the token endpoint
// (RFC 6749, sections 5.1 and 5.2), and of Okta's own error format.
type tokenResponse struct {
	AccessToken      jsontext.Value `json:"access_token"`
	TokenType        jsontext.Value `json:"token_type"`
	ExpiresIn        jsontext.Value `json:"expires_in"`
	Scope            jsontext.Value `json:"scope"`
	Error            jsontext.Value `json:"error"`
	ErrorDescription jsontext.Value `json:"error_description"`
	ErrorCode        jsontext.Value `json:"errorCode"`
	ErrorSummary     jsontext.Value `json:"errorSummary"`
}

// parseTokenResponse parses one JSON object. It rejects duplicate members and
// invalid UTF-8.
func parseTokenResponse(data []byte) (tokenResponse, error) {
	var r *tokenResponse
	if json.Unmarshal(data, &r) != nil || r == nil { // the error would show parts of data
		return tokenResponse{}, errors.New("no valid JSON object")
	}
	return *r, nil
}

// present reports whether a member exists and is not null.
func present(v jsontext.Value) bool {
	return v.Kind() != jsontext.KindInvalid && v.Kind() != jsontext.KindNull
}

// text returns a string member, or "" for other types.
func text(v jsontext.Value) string {
	var s string
	_ = json.Unmarshal(v, &s)
	return s
}

// number returns a member that is a number, or a string that contains one. A
// number beyond float64 is returned as infinity.
func number(v jsontext.Value) (n float64, ok bool) {
	if v.Kind() == jsontext.KindString {
		v = jsontext.Value(text(v))
	}
	if v.Kind() != jsontext.KindNumber || !v.IsValid() {
		return 0, false
	}
	n, _ = strconv.ParseFloat(string(v), 64)
	return n, true
}

// readResponse returns the token of a response, or the error that it reports.
func (e *tokenEndpoint) readResponse(resp *http.Response, seen observation) (*token, retry, error) {
	fail := newError(opToken, resp)
	if resp.StatusCode/100 == 3 {
		fail.Err = ErrRedirect
		if to, err := resp.Location(); err == nil {
			fail.Err = fmt.Errorf("%w: its target is host %.100q", ErrRedirect, to.Host)
		}
		return nil, retry{}, fail
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		fail.Status, fail.Err, fail.hint = 0, incomplete(err), plainHTTPHint(resp)
		return nil, retry{cause: causeUnavailable}, fail
	case len(data) > maxResponse:
		fail.Err = fmt.Errorf("%w: longer than 1 MiB", ErrResponse)
		return nil, retry{}, fail
	}
	body, err := parseTokenResponse(data)
	if resp.StatusCode != http.StatusOK {
		return nil, e.readError(fail, resp, body, seen), fail
	}
	if err != nil {
		fail.Err = fmt.Errorf("%w: %s, %s", ErrResponse, mediaType(resp.Header), err)
		return nil, retry{}, fail
	}
	tok, err := e.readToken(body)
	if err != nil {
		fail.Err = err
		if errors.Is(err, ErrTokenType) {
			fail.hint = "check that DPoP is on in both the app's settings and this client's configuration, or off in both, and that no proxy removes the DPoP header"
		}
		return nil, retry{}, fail
	}
	return tok, retry{}, nil
}

// readToken returns the token of a successful response (RFC 6749, section 5.1).
func (e *tokenEndpoint) readToken(body tokenResponse) (*token, error) {
	value, kind := text(body.AccessToken), text(body.TokenType)
	want := "DPoP"
	if e.key == nil {
		want = "Bearer"
	}
	switch {
	case !strings.EqualFold(kind, want):
		return nil, fmt.Errorf("%w %.20q instead of %s", ErrTokenType, cleanText(kind, 20), want)
	case value == "" || len(value) > maxToken || !visible(value):
		return nil, fmt.Errorf("%w: no usable access_token", ErrResponse)
	}
	life := defaultLife
	if present(body.ExpiresIn) {
		seconds, ok := number(body.ExpiresIn)
		if !ok || seconds < 1 {
			return nil, fmt.Errorf("%w: expires_in is not a positive number", ErrResponse)
		}
		life = time.Duration(min(seconds, maxLife.Seconds()) * float64(time.Second))
	}
	if present(body.Scope) {
		scope := strings.Fields(text(body.Scope))
		missing := slices.DeleteFunc(slices.Clone(e.scopes), func(s string) bool { return slices.Contains(scope, s) || slices.Contains(e.optional, s) })
		if len(missing) > 0 {
			granted := slices.DeleteFunc(slices.Clone(e.scopes), func(s string) bool { return !slices.Contains(scope, s) })
			return nil, &ScopeError{Granted: granted, Missing: missing}
		}
	}
	return newToken(value, want, life), nil
}

// readError fills fail from an error response, and returns whether to retry.
func (e *tokenEndpoint) readError(fail *Error, resp *http.Response, body tokenResponse, seen observation) retry {
	fail.Code = errorCode(text(body.Error), text(body.ErrorCode))
	fail.Description = cleanText(text(body.ErrorDescription)+text(body.ErrorSummary), 200)
	c, _ := errorChallenge(resp.Header)
	nonceRequired := fail.Code == "use_dpop_nonce" || c.scheme == "dpop" && c.params["error"] == "use_dpop_nonce"
	if fail.Code == "" {
		fail.Code = errorCode(c.params["error"])
		fail.Description = cleanText(c.params["error_description"], 200)
	}
	if fail.Code == "invalid_client" {
		fail.Part, fail.hint = e.diagnoseClient(fail.Description)
	}
	switch {
	case overloaded(resp.StatusCode, fail.Code):
		return retry{causeUnavailable, retryAfterHeader(resp.Header, e.clock.now(), maxRetryWait)}
	case fail.Code == "":
		fail.Err = fmt.Errorf("%w: %s, no OAuth error", ErrResponse, mediaType(resp.Header))
		fail.hint = plainHTTPHint(resp)
		return retry{}
	case nonceRequired && seen.nonce:
		fail.Err = ErrNonce
		return retry{cause: causeNonce}
	case nonceRequired:
		fail.Err = missingNonce()
		return retry{}
	}
	return retry{cause: e.diagnose(fail, c, seen)}
}

// diagnoseClient returns the part of the client authentication that the server
// rejected, and a hint. Okta has one error code for all parts and differs only in
// the description. For an unknown description, the key is the most likely part.
func (e *tokenEndpoint) diagnoseClient(description string) (Part, string) {
	d := strings.ToLower(description)
	switch {
	case strings.Contains(d, "auth_method"):
		return PartMethod, fmt.Sprintf("the app %s must be a service app with private_key_jwt", e.clientID)
	case strings.Contains(d, "client_id") || strings.Contains(d, "subject") || strings.Contains(d, "issuer"):
		return PartClient, fmt.Sprintf("the org has no app %.100q: check the client ID, and that the org URL names the org that has the app", e.clientID)
	case strings.Contains(d, "audience") || strings.Contains(d, "'aud'"):
		return PartAudience, "the audience of the client assertion is " + e.audience + ": check that the org URL is the org's own address, not an alias or -admin"
	case strings.Contains(d, "expir") || strings.Contains(d, "issued before"):
		return PartTime, "check that this machine's clock is correct"
	case strings.Contains(d, "already been used"):
		return PartReplay, "the client sends each assertion once: check whether a proxy or gateway repeats requests"
	case strings.Contains(d, "no client credentials"):
		return PartMissing, "the request arrived without the client assertion: check whether a proxy or gateway changes requests, and that the org URL is the org's own address"
	}
	kid := ", and no other key"
	if id := e.clientKey.ID(); id != "" {
		kid = fmt.Sprintf(" (kid %q), and no other key with that kid", id)
	}
	return PartKey, fmt.Sprintf("check that the app %s has the public key with thumbprint %s%s", e.clientID, e.clientKey.Thumbprint(), kid)
}

// diagnose sets fail.Err if clocks or algorithms explain a rejected proof. It
// returns causeProof if a retry by the corrected clock may succeed.
func (s *sender) diagnose(fail *Error, c challenge, seen observation) retryCause {
	if seen.misdated() {
		return causeProof
	}
	if skew := seen.clock.skewError(); skew != nil {
		fail.Err = skew
		fail.hint = "set this machine's clock (NTP): it differs from the server's clock by more than the client corrects"
	}
	algs := strings.Fields(c.params["algs"])
	if s.key != nil && len(algs) > 0 && !slices.Contains(algs, s.key.Algorithm()) {
		fail.Err = fmt.Errorf("%w: the DPoP key uses %s, the server accepts %s", ErrAlgorithm, s.key.Algorithm(), cleanText(c.params["algs"], 100))
	}
	return causeNone
}

// plainHTTPHint returns a hint for the response of a TLS server to plain http.
func plainHTTPHint(resp *http.Response) string {
	if resp.StatusCode != http.StatusBadRequest || resp.TLS != nil {
		return ""
	}
	return "the request used plain http; if the server uses TLS, its URL begins with https://"
}

package sandbox

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"oktasync/dpopauth/verify"
)

// response is built completely before it is sent, so that a fault can change it.
type response struct {
	header  http.Header
	status  int
	body    bytes.Buffer
	gzipped []byte // the compressed body, if it is cached

	client string // id of the app that the access token belongs to
}

var responses = sync.Pool{New: func() any { return &response{} }}

func newResponse() *response {
	resp := responses.Get().(*response)
	resp.header = http.Header{"X-Okta-Request-Id": {"a" + rand.Text()}} // 27 characters, like Okta's
	resp.status, resp.client = http.StatusOK, ""
	resp.clear()
	return resp
}

// release makes the buffer available to another response.
func (resp *response) release() {
	if resp.body.Cap() < 1<<20 {
		responses.Put(resp)
	}
}

// clear removes the body.
func (resp *response) clear() {
	resp.gzipped = nil
	resp.body.Reset()
}

func (resp *response) writeJSON(status int, v any) {
	resp.status = status
	resp.clear()
	resp.header.Set("Content-Type", "application/json")
	e := json.NewEncoder(&resp.body)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // of maps, structs and strings, into memory
}

// writeRaw writes a body that is JSON already.
func (resp *response) writeRaw(body []byte) {
	resp.header.Set("Content-Type", "application/json")
	resp.body.Write(body)
}

func (resp *response) writeError(e *oktaError) { resp.writeJSON(e.Status, e) }

// writeHTML writes the page of a proxy in front of Okta, without a request id.
func (resp *response) writeHTML(status int) {
	resp.status = status
	resp.clear()
	resp.header = http.Header{"Content-Type": {"text/html"}}
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	resp.body.WriteString("<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
}

const minGzip = 1 << 10 // bytes of the smallest body that is compressed

// encode returns the body as it is sent, and completes the header.
func (resp *response) encode(r *http.Request) []byte {
	body := resp.body.Bytes()
	if acceptsGzip(r) && (len(resp.gzipped) > 0 || len(body) >= minGzip) {
		if resp.gzipped == nil {
			resp.gzipped = compress(body)
		}
		body = resp.gzipped
		resp.header.Set("Content-Encoding", "gzip")
	}
	resp.header.Set("Content-Length", strconv.Itoa(len(body)))
	return body
}

func acceptsGzip(r *http.Request) bool {
	for _, field := range r.Header.Values("Accept-Encoding") {
		for word := range strings.SplitSeq(field, ",") {
			if word, q, _ := strings.Cut(word, ";"); strings.TrimSpace(word) == "gzip" && strings.TrimSpace(q) != "q=0" {
				return true
			}
		}
	}
	return false
}

var gzipWriters = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	return z
}}

func compress(b []byte) []byte {
	var out bytes.Buffer
	z := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(z)
	z.Reset(&out)
	_, _ = z.Write(b) // into memory
	_ = z.Close()
	return out.Bytes()
}

// oktaError is an error in the JSON of Okta's API ("Okta API: errors").
type oktaError struct {
	Status  int     `json:"-"`
	Code    string  `json:"errorCode"`
	Summary string  `json:"errorSummary"`
	Link    string  `json:"errorLink"`
	ID      string  `json:"errorId"`
	Causes  []cause `json:"errorCauses"`
}

type cause struct {
	Summary string `json:"errorSummary"`
}

func (e *oktaError) Error() string { return e.Code }

// errorCodes are Okta's error codes ("Okta API: error codes").
var errorCodes = map[string]struct {
	status  int
	summary string
}{
	"E0000001": {400, "Api validation failed"},
	"E0000005": {403, "Invalid session"},
	"E0000006": {403, "You do not have permission to perform the requested action"},
	"E0000007": {404, "Not found: Resource not found"},
	"E0000008": {404, "The requested path was not found"},
	"E0000009": {500, "Internal Server Error"},
	"E0000010": {503, "Service is in read only mode"},
	"E0000011": {401, "Invalid token provided"},
	"E0000015": {401, "You do not have permission to access the feature you are requesting"},
	"E0000022": {405, "The endpoint does not support the provided HTTP method"},
	"E0000029": {400, "Invalid paging request."},
	"E0000031": {400, "Invalid search criteria."},
	"E0000033": {400, "Can not specify a search and filter in the same request."},
	"E0000047": {429, "API call exceeded rate limit due to too many requests."},
	"E0000053": {400, "Invalid filter"},
	"E0000067": {504, "The request timed out."},
	"E0000100": {503, "Unable to perform search query."},
	"E0000145": {409, "One or more users cannot be parsed because of a change of the schema."},
	"E0000256": {414, "The request would cause a response with a header too long."},
}

// newError returns Okta's error with a code and the summaries of its causes.
func newError(code string, causes ...string) *oktaError {
	known := errorCodes[code]
	e := &oktaError{Status: known.status, Code: code, Summary: known.summary, Link: code, ID: "oae" + rand.Text()[:17], Causes: []cause{}}
	for _, summary := range causes {
		e.Causes = append(e.Causes, cause{summary})
	}
	return e
}

// notFound returns the error for an object that doesn't exist.
func notFound(id, kind string) *oktaError {
	e := newError("E0000007")
	e.Summary += ": " + id + " (" + kind + ")"
	return e
}

// oauthError is an error of the token endpoint (RFC 6749, section 5.2).
type oauthError struct {
	Status      int    `json:"-"`
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func (e *oauthError) Error() string { return e.Code + ": " + e.Description }

func badTokenRequest(code, description string) error { return &oauthError{400, code, description} }

func invalidClient(description string) error { return &oauthError{401, "invalid_client", description} }

// challengeError is an OAuth error of the API. Its response has no body. The
// reason is in WWW-Authenticate (as captured in okta-sdk-nodejs#453).
type challengeError struct {
	status      int
	scheme      string // "": Bearer
	code        string
	description string
	nonce       string
	scope       string // "": okta.users.read
}

func (e *challengeError) Error() string { return e.code + ": " + e.description }

func badAPIRequest(description string) error {
	return &challengeError{status: 400, code: "invalid_request", description: description}
}

// challenge returns the value of WWW-Authenticate. Okta's realm contains http,
// also over TLS.
func (e *challengeError) challenge(orgURL string, r *http.Request) string {
	_, host, _ := strings.Cut(orgURL, "://")
	algs := ""
	if e.scheme == "DPoP" {
		algs = `algs="` + strings.Join(algorithms, " ") + `", `
	}
	return fmt.Sprintf(`%s %sauthorization_uri="http://%s/oauth2/v1/authorize", realm="http://%s", scope="%s", error="%s", error_description="%s", resource="%s"`,
		cmp.Or(e.scheme, "Bearer"), algs, host, host, cmp.Or(e.scope, "okta.users.read"), e.code, e.description, r.URL.EscapedPath())
}

// proofText returns Okta's text for a bad proof ("OAuth 2.0 error codes"). Those
// for iat, jti, htu and ath are also in captured responses.
func proofText(reason verify.Reason) string {
	return cmp.Or(proofTexts[reason], "The DPoP proof JWT cannot be parsed.")
}

var proofTexts = map[verify.Reason]string{
	verify.ProofMissing:           "The DPoP proof JWT header is missing.",
	verify.ProofMultiple:          "Multiple DPoP proof JWT headers are not allowed.",
	verify.ProofID:                "'jti' claim in the DPoP proof JWT is invalid.",
	verify.ProofMethodMalformed:   "'htm' claim in the DPoP proof JWT is invalid.",
	verify.ProofMethod:            "'htm' claim in the DPoP proof JWT is invalid.",
	verify.ProofURLMalformed:      "'htu' claim in the DPoP proof JWT is invalid.",
	verify.ProofURL:               "'htu' claim in the DPoP proof JWT is invalid.",
	verify.ProofIssuedAtMalformed: "'iat' claim in the DPoP proof JWT is invalid.",
	verify.ProofType:              "'typ' must be 'dpop+jwt' in the DPoP proof JWT.",
	verify.ProofAlgorithm:         "The DPoP proof JWT signature algorithm is invalid.",
	verify.ProofSignature:         "The DPoP proof JWT signature is invalid.",
	verify.ProofTooOld:            "The DPoP proof JWT is issued more than five minutes in the past.",
	verify.ProofInFuture:          "The DPoP proof JWT is issued in the future.",
	verify.ProofTokenHash:         "'ath' claim in the DPoP proof does not match the presented access_token.",
	verify.ProofOtherKey:          "The access_token is not bound to the provided DPoP proof.",
	verify.ProofReplayed:          "The DPoP proof JWT has already been used.",
	verify.ReplayUnavailable:      "The DPoP proof JWT has already been used.",
}

// assertionText returns Okta's text for a bad client assertion.
func assertionText(reason verify.Reason) string {
	return cmp.Or(assertionTexts[reason], "The parsing of the client_assertion failed.")
}

var assertionTexts = map[verify.Reason]string{
	verify.AssertionIssuer:    "The issuer claim for client_assertion is not a valid client_id.",
	verify.AssertionSubject:   "The subject claim for client_assertion is not a valid client_id.",
	verify.AssertionAudience:  "The audience claim for client_assertion must be the endpoint invoked for the request.",
	verify.AssertionNoExpiry:  "The client_assertion must contain the 'exp' claim as seconds since epoch.",
	verify.AssertionExpired:   "The client_assertion token is expired.",
	verify.AssertionTooLong:   "The client_assertion token has an expiration too far into the future.",
	verify.AssertionIssuedAt:  "The client_assertion token must be issued before the current time.",
	verify.AssertionNotYet:    "The client_assertion token must be issued before the current time.",
	verify.AssertionReplayed:  "The client_assertion token has already been used.",
	verify.ReplayUnavailable:  "The client_assertion token has already been used.",
	verify.AssertionSignature: "The client_assertion signature is invalid.",
	verify.AssertionKeyID:     "The client_assertion JWT kid is invalid.",
	verify.AssertionAlgorithm: "The client_assertion JWT signature algorithm is invalid.",
	verify.AssertionNoKeys:    "The client does not have a JWKSet configured, but the client_assertion requires one.",
}

// algorithms are those that Okta accepts for assertions and proofs: no PS*, no EdDSA.
var algorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"}

// sleep waits for d, or until ctx ends if d is negative. It reports whether ctx
// is still valid.
func sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	var timer <-chan time.Time
	if d > 0 {
		timer = time.After(d)
	}
	select {
	case <-timer:
		return true
	case <-ctx.Done():
		return false
	}
}

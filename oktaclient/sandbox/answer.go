package sandbox

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// answer is an answer in the making. It is built whole and sent afterwards, so
// that a fault can still change it.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	packed []byte // the body compressed beforehand, if it is

	client string // who the access token says is asking
}

var answers = sync.Pool{New: func() any { return &answer{} }}

func newAnswer() *answer {
	a := answers.Get().(*answer)
	a.header = http.Header{"X-Okta-Request-Id": {requestID()}}
	a.status, a.packed, a.client = http.StatusOK, nil, ""
	a.body.Reset()
	return a
}

func (a *answer) free() {
	if a.body.Cap() < 1<<20 {
		answers.Put(a)
	}
}

// requestID is 27 characters long, as Okta's are.
func requestID() string { return "a" + rand.Text() }

func (a *answer) json(status int, v any) {
	a.status = status
	a.body.Reset()
	a.header.Set("Content-Type", "application/json")
	e := json.NewEncoder(&a.body)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // of maps, structs and strings, into memory
}

// oktaError is an error in the shape of Okta's API ("Okta API: errors").
type oktaError struct {
	Status  int      `json:"-"`
	Code    string   `json:"errorCode"`
	Summary string   `json:"errorSummary"`
	Link    string   `json:"errorLink"`
	ID      string   `json:"errorId"`
	Causes  []causes `json:"errorCauses"`
}

type causes struct {
	Summary string `json:"errorSummary"`
}

func (e *oktaError) Error() string { return e.Code }

// summaries of Okta's error codes ("Okta API: error codes"), with their status.
var summaries = map[string]struct {
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

// newError returns Okta's error of that code; causes are what it adds.
func newError(code string, why ...string) *oktaError {
	s := summaries[code]
	e := &oktaError{Status: s.status, Code: code, Summary: s.summary, Link: code, ID: "oae" + rand.Text()[:17], Causes: []causes{}}
	for _, summary := range why {
		e.Causes = append(e.Causes, causes{summary})
	}
	return e
}

func (a *answer) fail(e *oktaError) { a.json(e.Status, e) }

// empty makes the answer one without a body, as Okta answers where OAuth fails.
func (a *answer) empty(status int, challenge string) {
	a.status = status
	a.body.Reset()
	a.header.Del("Content-Type")
	a.header.Set("WWW-Authenticate", challenge)
}

// html makes the answer what comes from in front of Okta: no JSON, no request id.
func (a *answer) html(status int) {
	a.status = status
	a.packed = nil
	a.body.Reset()
	a.header = http.Header{"Content-Type": {"text/html"}}
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	a.body.WriteString("<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
}

var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	return z
}}

// pack compresses b.
func pack(b []byte) []byte {
	var out bytes.Buffer
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(&out)
	_, _ = z.Write(b) // into memory
	_ = z.Close()
	return out.Bytes()
}

// minPacked is how long a body is worth compressing.
const minPacked = 1 << 10

// encode returns the body as it goes on the wire, and completes the header.
func (a *answer) encode(r *http.Request) []byte {
	body := a.body.Bytes()
	if accepts(r, "gzip") && (len(a.packed) > 0 || len(body) >= minPacked) {
		if a.packed == nil {
			a.packed = pack(body)
		}
		body = a.packed
		a.header.Set("Content-Encoding", "gzip")
	}
	a.header.Set("Content-Length", strconv.Itoa(len(body)))
	return body
}

func accepts(r *http.Request, encoding string) bool {
	for _, field := range r.Header.Values("Accept-Encoding") {
		for word := range strings.SplitSeq(field, ",") {
			if word, q, _ := strings.Cut(word, ";"); strings.TrimSpace(word) == encoding && strings.TrimSpace(q) != "q=0" {
				return true
			}
		}
	}
	return false
}

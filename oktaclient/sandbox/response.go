package sandbox

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"oktasync/oktaclient/sandbox/internal/ratelimit"
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

// linkPage adds the links of a page, or wrong ones if a fault says so.
func (o *Org) linkPage(resp *response, r *http.Request, query url.Values, p page, pages bool) {
	fault := faultOf(r)
	o.link(resp, "self", o.self(r))
	next := o.next(r, query, p.last)
	switch {
	case fault.Next == NextLoop:
		o.link(resp, "next", o.self(r))
	case fault.Next == NextOtherHost:
		o.link(resp, "next", "https://"+OtherHost+next)
	case pages && (p.more || fault.Next == NextEmpty && p.rows > 0):
		o.link(resp, "next", o.URL()+next)
	}
}

// link adds a Link header. Each is a line of its own, unless [Config.JoinLinks].
func (o *Org) link(resp *response, rel, target string) {
	value := "<" + target + `>; rel="` + rel + `"`
	name := "Link"
	if o.cfg.LowerCaseLinks {
		name = "link"
	}
	if have := resp.header[name]; o.cfg.JoinLinks && len(have) > 0 {
		resp.header[name] = []string{have[0] + ", " + value}
		return
	}
	resp.header[name] = append(resp.header[name], value)
}

// self returns the URL of the request, with the origin of the org's URL.
func (o *Org) self(r *http.Request) string {
	self := o.URL() + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		self += "?" + r.URL.RawQuery
	}
	return self
}

// TakeRateLimit counts n requests of another client against the current window
// of the bucket of path.
func (o *Org) TakeRateLimit(path string, n int) {
	pattern, _ := pathPattern(path)
	o.limits.TakeOther(path, pattern, n, o.now())
}

// setRateHeaders sets Okta's headers. Reset is in epoch seconds.
func (o *Org) setRateHeaders(resp *response, q ratelimit.Quota) {
	for name, value := range map[string]int64{"Limit": int64(q.Limit), "Remaining": int64(q.Remaining), "Reset": q.Reset.Unix()} {
		values := []string{strconv.FormatInt(value, 10)}
		if o.cfg.DuplicateRateHeaders {
			values = append(values, values[0])
		}
		resp.header["X-Rate-Limit-"+name] = values
	}
}

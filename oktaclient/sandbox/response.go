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

package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hostile is a server that spoils the responses of an org. Its choices depend only
// on the seed and the number of the request.
type hostile struct {
	org      http.Handler
	answer   func(w http.ResponseWriter, r *http.Request) bool // serves a request in the org's place, unless it is nil or returns false
	http1    bool                                              // doesn't use HTTP/2
	url      string
	seed     uint64
	share    float64 // of the responses that are spoiled
	active   atomic.Bool
	requests atomic.Uint64
}

// bodySecret is in bodies that no output may contain.
const bodySecret = "correct-horse-battery-staple"

// control is text with control characters: escape sequences, C1, a bidirectional
// override, and a line that looks like a log line.
const control = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202e\r\nlevel=INFO msg=forged"

func newHostile(t *testing.T, s *site, seed uint64) *hostile {
	t.Helper()
	h := &hostile{org: s.org, seed: seed, share: 0.4}
	certificate := selfSigned(t, "Hostile "+strings.Repeat("x", 1000))
	check(t, writePEM(s.path("ca.pem"), certificate.Certificate[0]))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	h.url = "https://" + l.Addr().String()
	s.server.URL = h.url
	s.org.SetURL(h.url)
	var connections atomic.Int64
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{*certificate},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { // half of the connections use HTTP/1.1
			protocols := []string{"h2", "http/1.1"}
			if connections.Add(1)%2 == 1 || h.http1 {
				protocols = protocols[1:]
			}
			return &tls.Config{Certificates: []tls.Certificate{*certificate}, NextProtos: protocols}, nil
		},
	}}
	go server.ServeTLS(l, "", "")
	t.Cleanup(func() { server.Close() })
	return h
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.answer != nil && h.answer(w, r) {
		return
	}
	random := rand.New(rand.NewPCG(h.seed, h.requests.Add(1)))
	if !h.active.Load() || random.Float64() > h.share {
		h.org.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	h.org.ServeHTTP(answer, r)
	if r.ProtoMajor == 1 && random.IntN(6) == 0 {
		h.raw(w, random)
		return
	}
	body := answer.Body.Bytes()
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	w.Header().Del("Content-Encoding")
	r.Header.Del("Accept-Encoding")
	for range 1 + random.IntN(3) {
		switch random.IntN(5) {
		case 0, 1:
			h.spoilHeader(w.Header(), r.Header, random)
		case 2, 3:
			body = h.spoilBody(w.Header(), r.Header, body, random)
		case 4:
			answer.Code = oneOf(random, []int{200, 204, 206, 301, 307, 400, 401, 403, 404, 409, 429, 429, 429, 500, 503, 504, 599})
		}
	}
	h.send(w, r, answer.Code, body, random)
}

func oneOf[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

// spoilHeader replaces a header of a response. Some of the values are secrets of the
// request.
func (h *hostile) spoilHeader(header, request http.Header, random *rand.Rand) {
	list := h.url + "/api/v1/users?limit=200&after="
	next := func(url string) string { return "<" + url + `>; rel="next"` }
	name := oneOf(random, []string{"Link", "Link", "Date", "X-Okta-Request-Id", "Content-Type", "X-Rate-Limit-Reset", "X-Rate-Limit-Remaining",
		"X-Rate-Limit-Limit", "Retry-After", "WWW-Authenticate", "DPoP-Nonce", "Location", "Trailer"})
	now := time.Now().UTC()
	values := map[string][]string{
		"Link": {next(list + strings.Repeat("x", random.IntN(15<<10))), next(list + fmt.Sprint(random.Uint64())), next("https://evil.example/api/v1/users?after=1"),
			next(h.url + "/api/v1/groups?after=1"), next("//[::1"), next(list+"a") + "," + next(list+"b"), `<`, `<>; rel="next"`, strings.Repeat(next(list), 2000)},
		"Date": {now.Add(47 * time.Hour).Format(http.TimeFormat), now.Add(-47 * time.Hour).Format(http.TimeFormat), "Thu, 01 Jan 1970 00:00:00 GMT",
			"Fri, 31 Dec 9999 23:59:59 GMT", "x", now.Add(time.Hour).Format(http.TimeFormat)},
		"Content-Type":     {"text/html", "application/json; charset=\x1b[31m", "application/json, application/json", ""},
		"Retry-After":      {"1", "999999999999", "-1", "Fri, 31 Dec 9999 23:59:59 GMT"},
		"WWW-Authenticate": {`DPoP error="use_dpop_nonce"`, `DPoP error="` + control + `"`, `Bearer error="insufficient_scope"`, strings.Repeat("x", 60<<10)},
		"Location":         {"https://evil.example/", "/api/v1/users?access_token=x"},
		"Trailer":          {"Link, Date", "X-Okta-Request-Id"},
	}[name]
	if values == nil {
		values = []string{"", "0", "-1", "99999999999999999999", control, strings.Repeat("7", 100_000), "\u009b", fmt.Sprint(now.Unix() + 86400), bodySecret + "\x1b",
			strings.TrimPrefix(request.Get("Authorization"), "DPoP "), request.Get("DPoP")}
	}
	header[name] = []string{oneOf(random, values)}
	if name == "DPoP-Nonce" { // as net/http writes it
		header["Dpop-Nonce"] = header[name]
	}
}

// spoilBody returns a changed body.
func (h *hostile) spoilBody(header, request http.Header, body []byte, random *rand.Rand) []byte {
	size := 1 << (8 + random.IntN(17))
	record := func(members string) []byte { return []byte(`[{"id":"00u1","status":"ACTIVE",` + members + `}]`) }
	quoted, _ := json.Marshal(control)
	many := func(format string, n int) []byte {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, "%c"+format, "[,"[min(i, 1)], i)
		}
		return append(b.Bytes(), ']')
	}
	switch random.IntN(17) {
	case 0:
		return body[:random.IntN(len(body)+1)]
	case 1:
		for range 1 + random.IntN(20) {
			if len(body) > 0 {
				body[random.IntN(len(body))] ^= byte(1 << random.IntN(8))
			}
		}
		return body
	case 2:
		header.Set("Content-Type", "text/html")
		return []byte("<html>" + bodySecret + control)
	case 3:
		return []byte(`{"errorCode":` + string(quoted) + `,"errorSummary":"` + bodySecret + `","error":"` + bodySecret + ` x","error_description":` + string(quoted) + `}`)
	case 4:
		header.Set("Content-Encoding", "gzip")
		return bomb()
	case 5:
		return record(`"x":` + strings.Repeat("[", size) + strings.Repeat("]", size))
	case 6:
		return record(`"profile":{"login":"` + strings.Repeat("x", size) + `"}`)
	case 7:
		return []byte(`[{"id":` + string(quoted) + `,"status":` + string(quoted) + `,"lastUpdated":` + string(quoted) + `}]`)
	case 8:
		return many(`{"id":"00u%d","status":"A"}`, 12_000)
	case 9:
		return many(`{"id":"00u%[1]d","status":"S%[1]d","lastUpdated":"2026-01-01T00:00:00.000Z"}`, 200)
	case 10:
		return record(`"x":1e999999999,"y":-0.000,"z":` + strings.Repeat("9", size))
	case 11:
		return record(`"x":"\ud800","y":"` + "\xff" + `"`)
	case 12:
		return many(`{"id":"00u%[1]d","status":"ACTIVE","profile":{"attribute%[1]d":1,"`+strings.Repeat("n", 1000)+`%[1]d":`+string(quoted)+`}}`, 200)
	case 13:
		return []byte(`{"token_type":"` + oneOf(random, []string{"DPoP", "Bearer", bodySecret}) + `","expires_in":` + oneOf(random, []string{"3600", "-1", "1e300", `"x"`}) +
			`,"access_token":"` + oneOf(random, []string{"x", strings.Repeat("x", size), "\\u001b\\n"}) + `","scope":` + string(quoted) + `}`)
	case 14:
		return bytes.Repeat([]byte{byte(random.IntN(256))}, size)
	case 15:
		token := strings.TrimPrefix(request.Get("Authorization"), "DPoP ")
		return []byte(`{"errorCode":"` + token + `","error":"` + request.Get("DPoP") + `","error_description":"` + token + `"}`)
	}
	return nil
}

// bomb returns 64 MiB of spaces, compressed.
func bomb() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte("["))
	for range 64 {
		z.Write(bytes.Repeat([]byte(" "), 1<<20))
	}
	z.Close()
	return b.Bytes()
}

// send writes a response: at once, slowly, incomplete, or followed by trailers.
func (h *hostile) send(w http.ResponseWriter, r *http.Request, status int, body []byte, random *rand.Rand) {
	if status == http.StatusNoContent || status < 200 {
		body = nil
	}
	switch random.IntN(8) {
	case 0:
		w.WriteHeader(status)
		for len(body) > 0 && r.Context().Err() == nil {
			n := min(len(body), 1+len(body)/8)
			w.Write(body[:n])
			w.(http.Flusher).Flush()
			body = body[n:]
			time.Sleep(100 * time.Millisecond)
		}
	case 1:
		w.WriteHeader(status)
		w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	case 2:
		w.WriteHeader(status)
		w.Write(body)
		w.Header().Set(http.TrailerPrefix+"Link", `<https://evil.example/>; rel="next"`)
		w.Header().Set(http.TrailerPrefix+"Date", control)
	case 3:
		select { // no response
		case <-r.Context().Done():
		case <-time.After(3 * time.Second):
		}
		panic(http.ErrAbortHandler)
	default:
		w.WriteHeader(status)
		w.Write(body)
	}
}

// raw writes bytes that are no correct HTTP/1.1.
func (h *hostile) raw(w http.ResponseWriter, random *rand.Rand) {
	conn, buffer, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Second))
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	io.WriteString(buffer, oneOf(random, []string{
		"SSH-2.0-" + bodySecret + control, "HTTP/1.1 200 " + control + "\r\n\r\n", "HTTP/1.1 99999 x\r\n\r\n",
		ok + "X-Okta-Request-Id: " + control + "\r\n\r\n[]", ok + "Content-Length: 999999999999\r\n\r\n[", ok + "Content-Length: -1\r\n\r\n[]",
		ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n[]", ok + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 1<<20) + "\r\n[]\r\n0\r\n\r\n",
		strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", 10_000), ok + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 3000),
		ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]", "\x00\x00\x00\x00",
		ok + "Content-Length: 2\r\n\r\n[]" + bodySecret + control, ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n" + bodySecret + control,
	}))
	buffer.Flush()
}

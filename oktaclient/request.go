package oktaclient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// What an answer may be at most. A page is 200 users of a few kB.
const (
	maxAnswer = 16 << 20
	maxHeader = 256 << 10
	maxError  = 64 << 10
)

// call is one GET and all that its caller wants to know of it.
type call struct {
	url    *url.URL
	header http.Header
	page   int    // of a list, from 1; 0: no list
	buf    []byte // for the answer's body, which is valid until the next use of buf
	tries  int    // most of them; 0: as configured

	// head is told of each answer of status 2xx as soon as its headers are in.
	head func(*answer)

	// accept says what is wrong with an answer of status 2xx. A call whose
	// answer is not accepted is tried again.
	accept func(*answer) error

	// record is told of each attempt that failed.
	record func(*answer) error
}

// answer is what came of one attempt.
type answer struct {
	resp           *http.Response // nil: no answer; its Body is read and closed
	body           []byte
	sent, received time.Time // local; received: the header
	date           time.Time // of the response, by Okta's clock; zero: none that is usable
	request        Request   // without Time and Resource
}

func (a *answer) ok() bool { return a.resp != nil && a.resp.StatusCode/100 == 2 }

// send tries call until an answer is accepted, the trouble is none that passes,
// or patience ends. There is an answer with an error too, unless nothing was
// ever sent.
func (c *Client) send(ctx context.Context, call *call) (*answer, error) {
	patience := c.patience(cmp.Or(call.tries, c.cfg.Tries))
	bucket := bucketOf(call.url.Path)
	for {
		admitted, err := c.governor.enter(ctx, bucket, func(l Limit) { c.logHold(ctx, call, l) })
		if err != nil {
			return nil, fmt.Errorf("request %s: %w", call.url.Path, err)
		}
		a, failure := c.attempt(ctx, call)
		c.governor.leave(bucket, time.Now(), c.outcome(a, admitted))
		if failure == nil {
			return a, nil
		}
		if call.record != nil {
			if err := call.record(a); err != nil {
				return a, err
			}
		}
		if ctx.Err() != nil {
			return a, fmt.Errorf("request %s: %w", call.url.Path, context.Cause(ctx))
		}
		wait, again := patience.wait(failure, a, a.dated())
		failure.Tries = patience.tries
		if !again {
			return a, failure
		}
		c.log.WarnContext(ctx, "request failed, will be tried again", "path", call.url.Path, "page", call.page, "wait", wait, "err", failure)
		if err := sleep(ctx, wait); err != nil {
			return a, fmt.Errorf("request %s: %w", call.url.Path, err)
		}
	}
}

var (
	errStalled = errors.New("answer made no progress")
	errSlow    = errors.New("answer took too long")
)

// attempt sends call once. The error is nil if the answer was accepted.
func (c *Client) attempt(ctx context.Context, call *call) (*answer, *Error) {
	// An answer that makes no progress is given up, and so is one that makes
	// it by the byte.
	limited, stop := context.WithTimeoutCause(ctx, 5*c.cfg.Stall, errSlow)
	defer stop()
	limited, cancel := context.WithCancelCause(limited)
	defer cancel(nil)
	stalled := time.AfterFunc(c.cfg.Stall, func() { cancel(errStalled) })
	defer stalled.Stop()

	a := &answer{sent: time.Now(), request: Request{Method: http.MethodGet, Path: call.url.RequestURI()}}
	err := c.exchange(limited, call, a, func() { stalled.Reset(c.cfg.Stall) })
	failure := newError(call, a, err)
	switch {
	case err == nil || limited.Err() == nil:
		// Nobody ended the attempt.
	case ctx.Err() != nil:
		failure.Err = &rejection{class: "cancelled", err: context.Cause(ctx)}
	default:
		failure.Err = &rejection{class: "timeout", err: context.Cause(limited)}
	}
	if failure != nil {
		a.request.Error = failure.Class()
	}
	c.log.DebugContext(ctx, "request sent", "path", call.url.Path, "page", call.page, "status", a.request.Status,
		"users", a.request.Rows, "elapsed", time.Since(a.sent), "request_id", a.request.RequestID)
	return a, failure
}

// exchange sends call's request, reads the answer into a and has it accepted.
// The error is nil too where only the answer's status says what is wrong.
func (c *Client) exchange(ctx context.Context, call *call, a *answer, progress func()) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, call.url.String(), nil)
	if err != nil {
		return &rejection{class: "bad request", final: true, err: err}
	}
	req.URL = call.url // verbatim
	maps.Copy(req.Header, call.header)
	setDefault(req.Header, "Accept", "application/json")
	setDefault(req.Header, "User-Agent", c.cfg.UserAgent)

	var sent atomic.Bool // the whole request; told by another goroutine
	resp, err := c.http.Do(req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(w httptrace.WroteRequestInfo) { sent.Store(w.Err == nil) },
	})))
	if err != nil {
		if refused := interface{ HTTPStatus() int }(nil); errors.As(err, &refused) {
			a.request.Status = refused.HTTPStatus()
		}
		r := transportError(err)
		if r.class == "no answer" && sent.Load() {
			r = &rejection{class: headless, err: unread{err}}
		}
		return r
	}
	defer resp.Body.Close()
	progress()
	a.resp = resp
	a.request.Status = resp.StatusCode
	a.request.RequestID = word(resp.Header.Get("X-Okta-Request-Id"))
	wrong := a.setDate()
	if headerSize(resp.Header) > maxHeader {
		return &rejection{class: "too large", final: true, err: fmt.Errorf("header of over %d bytes", maxHeader)}
	}
	if a.ok() && call.head != nil {
		call.head(a)
	}

	a.body, err = readBody(call.buf[:0], resp.Body, progress)
	call.buf = a.body[:0]
	switch {
	case !a.ok():
		return nil // how the body ended matters no more
	case err != nil:
		return err
	case call.accept == nil:
		return nil
	case wrong != nil: // a reading that is not dated is no evidence
		return wrong
	}
	return call.accept(a)
}

// maxSkew is the most by which a usable Date differs from the local clock. It is
// more than the error of a wrong time zone.
const maxSkew = 48 * time.Hour

// setDate takes the Date of the response. Only a response with a request id is
// from Okta itself.
func (a *answer) setDate() error {
	a.received = time.Now()
	date, err := http.ParseTime(a.resp.Header.Get("Date"))
	if err != nil || a.resp.Header.Get("X-Okta-Request-Id") == "" {
		return nil
	}
	if a.received.Sub(date).Abs() > maxSkew {
		return &rejection{class: misdated, err: fmt.Errorf("answer is dated %s, and our clock shows %s: more than %v apart",
			date.UTC().Format(time.RFC3339), a.received.UTC().Format(time.RFC3339), maxSkew)}
	}
	a.date = date.UTC()
	return nil
}

// dated returns Okta's time when it sent a, else the local time.
func (a *answer) dated() time.Time {
	if a.date.IsZero() {
		return time.Now()
	}
	return a.date
}

// outcome is what an attempt tells the governor.
func (c *Client) outcome(a *answer, admitted time.Time) outcome {
	o := outcome{sent: admitted}
	if a.resp == nil {
		return o
	}
	if o.limit, o.told = parseRateLimit(a.resp.Header); o.told {
		o.until = a.received.Add(min(o.limit.reset.Sub(a.dated())+time.Second, maxLimitWait)) // resets are cut to seconds
	}
	if wait := retryAfter(a.resp.Header, a.dated()); wait > 0 {
		o.retry = time.Now().Add(min(wait, maxLimitWait))
	}
	return o
}

// logHold tells of a long wait, once a window: as a warning where it is not our
// own share that is used.
func (c *Client) logHold(ctx context.Context, call *call, l Limit) {
	level := slog.LevelDebug
	if l.Reason != holdShare {
		level = slog.LevelWarn
	}
	c.log.Log(ctx, level, "requests held back", "path", call.url.Path, "waiting", l.Waiting, "reason", l.Reason, "next", l.Until,
		"limit", l.Limit, "remaining", l.Remaining, "used", l.Used, "share", l.Share)
}

func setDefault(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}

func headerSize(h http.Header) (bytes int) {
	for name, values := range h {
		for _, value := range values {
			bytes += len(name) + len(value)
		}
	}
	return bytes
}

// readBody appends all of r to buf.
func readBody(buf []byte, r io.Reader, progress func()) ([]byte, error) {
	for {
		if cap(buf)-len(buf) < 4<<10 {
			buf = slices.Grow(buf, max(64<<10, len(buf)))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > maxAnswer:
			return buf, &rejection{class: "too large", final: true, err: fmt.Errorf("over %d bytes", maxAnswer)}
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, bodyError(err)
		case n > 0:
			progress()
		}
	}
}

// ErrorCode returns the code of an error answer: Okta's, or the OAuth one of a
// challenge; "" where there is none, as from what stands before Okta.
func ErrorCode(resp *http.Response, body []byte) string { return errorCode(resp.Header, body) }

// errorCode is the code of an error answer: Okta's own in the JSON body, or
// the OAuth one of a challenge, whose body is empty (RFC 6750, section 3).
func errorCode(h http.Header, body []byte) string {
	var okta struct{ ErrorCode, Error string }
	if len(body) <= maxError && json.Unmarshal(body, &okta) == nil {
		if code := word(okta.ErrorCode); code != "" {
			return code
		}
	}
	for _, challenge := range h.Values("WWW-Authenticate") {
		for _, before := range []string{` error="`, `,error="`} {
			if _, rest, found := strings.Cut(challenge, before); found {
				code, _, _ := strings.Cut(rest, `"`)
				return word(code)
			}
		}
	}
	return ""
}

// word returns s if it is such as codes and request ids are, else "": what goes
// into errors and logs is never free text from an answer.
func word(s string) string {
	for i := range len(s) {
		b := s[i]
		if !('a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("-_.@:=+/", b) >= 0) {
			return ""
		}
	}
	if len(s) > 128 {
		return ""
	}
	return s
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

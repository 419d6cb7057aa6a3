package oktaclient

import (
	"bytes"
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

// Bounds of a response. A page has 200 records of a few kB.
const (
	maxBody      = 8 << 20
	maxHeader    = 256 << 10
	maxErrorBody = 64 << 10
)

// call is a GET with its callbacks.
type call struct {
	url    *url.URL
	header http.Header
	page   int    // of a list, from 1; 0: no list
	buf    []byte // for the body, which is valid until the next use of buf
	tries  int    // most tries if the response is slow; 0: as configured

	// head is called with each response of status 2xx when its headers arrive.
	head func(*attempt)

	// accept checks a response of status 2xx. After an error, the call is tried
	// again.
	accept func(*attempt) error

	// record is called with each failed attempt.
	record func(*attempt) error
}

type attempt struct {
	resp           *http.Response // nil: no response; its Body is read and closed
	body           []byte
	sent, received time.Time // local; received: the header
	date           time.Time // of the response, by Okta's clock; zero: none that is usable
	request        Request   // without Time and Resource
	code           string    // the error code of a response that the transport doesn't return
}

func (a *attempt) ok() bool { return a.resp != nil && a.resp.StatusCode/100 == 2 }

// newError returns the error of an attempt, or nil. err is a failure other than
// the status.
func newError(call *call, a *attempt, err error) *Error {
	if err == nil && a.ok() {
		return nil
	}
	e := &Error{RequestID: a.request.RequestID, Path: call.url.EscapedPath(), Page: call.page, Tries: 1, Err: err}
	switch {
	case err == nil:
		e.Status = a.resp.StatusCode
		e.Code = errorCode(a.resp.Header, a.body)
	case a.resp == nil:
		e.Status, e.Code = a.request.Status, a.code // from the transport
	}
	return e
}

// send tries call until a response is accepted, until a failure is final, or
// until no tries are left. It returns the last attempt also with an error, or nil
// if it sent nothing.
func (c *Client) send(ctx context.Context, call *call) (*attempt, error) {
	retries := c.retries(call.tries)
	bucket := bucketOf(call.url.EscapedPath())
	for {
		admitted, err := c.governor.enter(ctx, bucket, func(l Limit) { c.logDelay(ctx, call, l) })
		if err != nil {
			return nil, fmt.Errorf("request %s: %w", call.url.EscapedPath(), err)
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
			return a, fmt.Errorf("request %s: %w", call.url.EscapedPath(), context.Cause(ctx))
		}
		wait, again := retries.wait(failure, a.resp, a.dated())
		failure.Tries = retries.tries
		if !again {
			return a, failure
		}
		level, repeated := c.failures.add(failure, time.Now())
		c.log.Log(ctx, level, "request failed, will be tried again", "path", call.url.EscapedPath(), "page", call.page, "wait", wait,
			"err", failure, "repeated", repeated)
		if err := sleep(ctx, wait); err != nil {
			return a, fmt.Errorf("request %s: %w", call.url.EscapedPath(), err)
		}
	}
}

// Get requests a path, with or without a query, or the URL of a next page. It waits
// and retries like a read. For a status other than 2xx, Get returns both the
// response and an [*Error]. The body is in memory and need not be closed.
func (c *Client) Get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	u, err := c.org.Parse(path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", errors.Unwrap(err))
	}
	if !sameOrigin(u, c.org) {
		return nil, fmt.Errorf("path leads to another origin than %s", c.org)
	}
	u.Fragment = ""
	a, err := c.send(ctx, &call{url: u, header: header})
	if a == nil || a.resp == nil {
		return nil, err
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Err != nil || err != nil && !ok {
		return nil, err // the response is incomplete
	}
	a.resp.Body = io.NopCloser(bytes.NewReader(a.body))
	a.resp.Request = &http.Request{Method: http.MethodGet, URL: u}
	return a.resp, err
}

var (
	errStalled = errors.New("response made no progress")
	errSlow    = errors.New("response took too long")
)

// attempt sends call once. The error is nil if the response was accepted. It
// aborts a response that makes no progress, or too slow progress.
func (c *Client) attempt(ctx context.Context, call *call) (*attempt, *Error) {
	limited, stop := context.WithTimeoutCause(ctx, 5*c.cfg.Stall, errSlow)
	defer stop()
	limited, cancel := context.WithCancelCause(limited)
	defer cancel(nil)
	stalled := time.AfterFunc(c.cfg.Stall, func() { cancel(errStalled) })
	defer stalled.Stop()

	a := &attempt{sent: time.Now(), request: Request{Method: http.MethodGet, Path: call.url.RequestURI()}}
	err := c.exchange(limited, call, a, func() { stalled.Reset(c.cfg.Stall) })
	failure := newError(call, a, err)
	switch {
	case err == nil || limited.Err() == nil:
		// Neither a timeout nor the caller ended the attempt.
	case ctx.Err() != nil:
		failure.Err = &rejection{class: "cancelled", err: context.Cause(ctx)}
	default:
		failure.Err = &rejection{class: classTimeout, err: context.Cause(limited)}
	}
	if failure != nil {
		a.request.Error = failure.Class()
	}
	c.log.DebugContext(ctx, "request sent", "path", call.url.EscapedPath(), "page", call.page, "status", a.request.Status,
		"records", a.request.Rows, "elapsed", time.Since(a.sent), "request_id", a.request.RequestID)
	return a, failure
}

// exchange sends the request of call, reads the response into a and has it
// accepted. The error is also nil if the status is the only failure.
func (c *Client) exchange(ctx context.Context, call *call, a *attempt, progress func()) (err error) {
	defer recoverPanic(&err)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, call.url.String(), nil)
	if err != nil {
		return &rejection{class: "bad request", final: true, err: err}
	}
	req.URL = call.url // verbatim
	maps.Copy(req.Header, call.header)
	setDefault(req.Header, "Accept", "application/json")
	setDefault(req.Header, "User-Agent", c.cfg.UserAgent)

	var sent atomic.Bool // the whole request; set by another goroutine
	resp, err := c.http.Do(req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(w httptrace.WroteRequestInfo) { sent.Store(w.Err == nil) },
	})))
	if err != nil {
		if rejected := interface {
			Response() (status int, code, requestID string)
		}(nil); errors.As(err, &rejected) {
			a.request.Status, a.code, a.request.RequestID = rejected.Response()
		}
		r := transportError(err)
		if r.class == "no answer" && sent.Load() {
			r = &rejection{class: classNoHeader, err: headerError{err}}
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
		return &rejection{class: "large header", final: true, err: fmt.Errorf("header of over %d bytes", maxHeader)}
	}
	if a.ok() && call.head != nil {
		call.head(a)
	}

	a.body, err = readBody(call.buf[:0], resp.Body, progress)
	call.buf = a.body[:0]
	switch {
	case !a.ok():
		return nil // the end of the body doesn't matter
	case err != nil:
		return err
	case call.accept == nil:
		return nil
	case wrong != nil: // a read must have correct dates to be evidence
		return wrong
	}
	return call.accept(a)
}

// maxSkew is the most by which a usable Date differs from the local clock. It is
// more than the error of a wrong time zone.
const maxSkew = 48 * time.Hour

// setDate takes the Date of the response. Only a response with a request id is
// from Okta itself.
func (a *attempt) setDate() error {
	a.received = time.Now()
	date, err := http.ParseTime(a.resp.Header.Get("Date"))
	if err != nil || a.resp.Header.Get("X-Okta-Request-Id") == "" {
		return nil
	}
	if a.received.Sub(date).Abs() > maxSkew {
		return &rejection{class: classWrongDate, err: fmt.Errorf("response is dated %s, and the local clock shows %s: more than %v apart",
			date.UTC().Format(time.RFC3339), a.received.UTC().Format(time.RFC3339), maxSkew)}
	}
	a.date = date.UTC()
	return nil
}

// dated returns Okta's time when it sent a, else the local time.
func (a *attempt) dated() time.Time {
	if a.date.IsZero() {
		return time.Now()
	}
	return a.date
}

// outcome returns the outcome of an attempt for the governor.
func (c *Client) outcome(a *attempt, admitted time.Time) outcome {
	o := outcome{sent: admitted}
	if a.resp == nil {
		return o
	}
	if o.limit, o.limited = parseRateLimit(a.resp.Header); o.limited {
		o.until = a.received.Add(min(o.limit.reset.Sub(a.dated())+time.Second, maxLimitWait)) // resets are cut to seconds
	}
	if wait := retryAfter(a.resp.Header, a.dated()); wait > 0 {
		o.retry = time.Now().Add(min(wait, maxLimitWait))
	}
	return o
}

// logDelay logs a long wait, once per window. It is a debug message if the reason is
// the client's own share, and a warning from the third window in a row that other
// clients have used up.
func (c *Client) logDelay(ctx context.Context, call *call, l Limit) {
	level := slog.LevelInfo
	switch {
	case l.Reason == delayShare:
		level = slog.LevelDebug
	case l.starved >= starvedWindows, time.Until(l.Until) > longWait:
		level = slog.LevelWarn
	}
	c.log.Log(ctx, level, "requests delayed", "path", call.url.EscapedPath(), "waiting", l.Waiting, "reason", l.Reason, "next", l.Until,
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
			buf = slices.Grow(buf, min(max(64<<10, len(buf)), maxBody+8<<10-len(buf)))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > maxBody:
			return buf, tooLarge("a body of over %d bytes", maxBody)
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, bodyError(err)
		case n > 0:
			progress()
		}
	}
}

// ErrorCode returns the code of an error response: Okta's in the JSON body, or
// that of an OAuth challenge, whose body is empty (RFC 6750, section 3). It is ""
// if there is none, as in a response of a proxy.
func ErrorCode(resp *http.Response, body []byte) string { return errorCode(resp.Header, body) }

func errorCode(h http.Header, body []byte) string {
	var okta struct{ ErrorCode, Error string }
	if len(body) <= maxErrorBody && json.Unmarshal(body, &okta) == nil {
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

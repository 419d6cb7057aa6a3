package oktaclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Error describes a request that finally failed. It contains no part of a body
// except Okta's error code, and no part of a URL except the path.
type Error struct {
	Status    int    // 0: no response, or an unusable one
	Code      string // Okta's error code, or that of an OAuth challenge
	RequestID string // Okta's
	Path      string // escaped, without the query, which can contain personal data
	Page      int    // of the read, from 1; 0: not a page of a list
	Tries     int    // attempts
	Err       error  // the cause, if it isn't Okta's status

	// From and To are a range of lastUpdated, without To. Okta couldn't return its
	// records, and the range was too short to be divided. If From is zero, the page had
	// no range. If To is zero, the range had no end.
	From, To time.Time
}

// slow reports whether Okta took too long for a page. A smaller page may be faster.
func (e *Error) slow() bool {
	return e.Class() == classTimeout || e.Err == nil && (e.Status == http.StatusInternalServerError || e.Status == http.StatusGatewayTimeout)
}

// missing reports whether Okta has no such object.
func (e *Error) missing() bool { return e.Status == http.StatusNotFound && e.Code == "E0000007" }

// Error returns a text like "okta: 500 E0000009 on page 3, tried 5 times (request aZ3k)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("okta: ")
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else {
		fmt.Fprint(&b, e.Status)
		if e.Code != "" {
			b.WriteString(" " + e.Code)
		}
	}
	var r *rejection
	rejected := errors.As(e.Err, &r)
	access := rejected && r.access
	if rejected && r.class == classNoHeader {
		b.WriteString(" from " + e.Path) // the error has no other detail
	}
	if !access && (e.Page > 1 || e.Page == 1 && e.Tries > 1) {
		fmt.Fprintf(&b, " on page %d", e.Page)
	}
	if !access && !e.From.IsZero() {
		b.WriteString(", records last updated from " + e.From.Format(timeLayout))
		if !e.To.IsZero() {
			b.WriteString(" to before " + e.To.Format(timeLayout))
		}
	}
	if e.Tries > 1 {
		fmt.Fprintf(&b, ", tried %d times", e.Tries)
	}
	if e.RequestID != "" && !access { // the transport's error contains it
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Class returns a short form of the error, for transcripts and for callers that
// map errors to remedies: Okta's error code, "status 500", or one of "another
// record", "authentication", "broken JSON", "broken Link", "cancelled",
// "certificate", "closed", "cut", "endless", "large header", "no answer", "no
// connection", "no header", "not JSON", "reset", "timeout", "too large" and "wrong
// Date".
func (e *Error) Class() string {
	var r *rejection
	switch {
	case errors.As(e.Err, &r):
		return r.class
	case e.Code != "":
		return e.Code
	default:
		return fmt.Sprintf("status %d", e.Status)
	}
}

// rejection is the reason why a response is missing or unusable.
type rejection struct {
	class  string // "reset", "broken JSON"
	final  bool   // a retry would not help
	access bool   // the transport got no access token
	err    error
}

func (r *rejection) Error() string { return r.err.Error() }
func (r *rejection) Unwrap() error { return r.err }

// transportError classifies an error of http.Client.Do, and removes the URL.
func transportError(err error) *rejection {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	r := &rejection{class: "no answer", err: err}
	var (
		decides     interface{ Retryable() bool }
		certificate *tls.CertificateVerificationError
		network     net.Error
		dial        *net.OpError
		lookup      *net.DNSError
	)
	switch {
	case errors.As(err, &certificate):
		r.class, r.final = "certificate", true
	case errors.As(err, &lookup) && lookup.IsNotFound && !lookup.IsTemporary:
		r.class, r.final = "no connection", true
	case errors.As(err, &network) && network.Timeout():
		r.class = classTimeout
	case errors.As(err, &dial) && dial.Op == "dial":
		r.class = "no connection"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		r.class = "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.class = "closed"
	case errors.As(err, &decides):
		r.class = "authentication"
	}
	if errors.As(err, &decides) {
		r.access, r.final = true, !decides.Retryable()
	} else if op := (*net.OpError)(nil); errors.As(err, &op) && op.Source != nil {
		r.err = broken{op}
	}
	return r
}

// classTooLarge is the class of a page over a bound.
const classTooLarge = "too large"

// classTimeout is the class of a response that took too long.
const classTimeout = "timeout"

// classWrongDate is the class of a response with an impossible Date.
const classWrongDate = "wrong Date"

// classNoHeader is the class of a response whose header is malformed, or longer than
// the HTTP client accepts. Over HTTP/2, this ends the connection with all its
// requests. The cause may be another request, so the client tries again.
const classNoHeader = "no header"

// headerError is the error of such a response. Its text omits that of net/http,
// which can contain text of the server.
type headerError struct{ err error }

func (headerError) Error() string   { return "no readable header and no request id" }
func (h headerError) Unwrap() error { return h.err }

// broken is an error of an established connection, without addresses and ports.
type broken struct{ op *net.OpError }

func (b broken) Error() string { return b.op.Err.Error() }
func (b broken) Unwrap() error { return b.op }

// cutError is an error in the middle of a body. Its text omits that of net/http,
// which can contain text of the server.
type cutError struct{ err error }

func (cutError) Error() string   { return "response cut short" }
func (c cutError) Unwrap() error { return c.err }

// bodyError classifies an error in the middle of a body.
func bodyError(err error) *rejection {
	r := transportError(err)
	if r.class == "no answer" || r.class == "closed" {
		r.class, r.err = "cut", cutError{r.err}
	} else {
		r.err = fmt.Errorf("response cut short: %w", r.err)
	}
	return r
}

// recoverPanic sets err to the error of a panic, so that the panic ends one read
// and not the process. It must be deferred.
func recoverPanic(err *error) {
	if p := recover(); p != nil {
		*err = &rejection{class: "panic", final: true, err: PanicError(p)}
	}
}

// PanicError returns an error for a value that recover returned. It must be called
// by the function that called recover. The error names the place in the source,
// and not the value, which could contain a user's data. The runtime's own errors
// contain none.
func PanicError(p any) error {
	text := "panic"
	if e, ok := p.(runtime.Error); ok {
		text = e.Error()
	}
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)]) // skips Callers, PanicError and its caller
	for more := true; more; {
		var frame runtime.Frame
		if frame, more = frames.Next(); !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Errorf("internal error: %s at %s:%d", text, frame.Function, frame.Line)
		}
	}
	return errors.New("internal error: " + text)
}

// tooLarge is the error for a page over a bound. A page with fewer records may be
// within it.
func tooLarge(format string, args ...any) error {
	return &rejection{class: classTooLarge, final: true, err: fmt.Errorf(format, args...)}
}

// word returns s if it has the form of a code or a request id, else "". Errors and
// logs never contain free text of a response.
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

package oktaclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Error is a request that failed for good. Of an answer's body it holds only
// Okta's error code, and of a URL only the path.
type Error struct {
	Status    int    // 0: no answer, or one that could not be used
	Code      string // Okta's error code, or the OAuth one of a challenge
	RequestID string // Okta's, for its support and the System Log
	Path      string // without the query, which may name people
	Page      int    // of the reading, from 1; 0: the request was not of a list
	Tries     int    // how often it was tried
	Err       error  // what was wrong, where that is not Okta's status

	// From and To are the range of lastUpdated, To not included, of whom Okta
	// can't give even a single page; From zero: the page was of no such range,
	// To zero: it had no end.
	From, To time.Time
}

// newError describes what came of an attempt, nil if nothing is wrong. err is
// what is wrong apart from the status.
func newError(call *call, a *answer, err error) *Error {
	if err == nil && a.ok() {
		return nil
	}
	e := &Error{RequestID: a.request.RequestID, Path: call.url.Path, Page: call.page, Tries: 1, Err: err}
	switch {
	case err == nil:
		e.Status = a.resp.StatusCode
		e.Code = errorCode(a.resp.Header, a.body)
	case a.resp == nil:
		e.Status = a.request.Status // as the transport says
	}
	return e
}

// Error reads "okta: 500 E0000009 on page 3, tried 5 times (request aZ3k)".
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
	if rejected && r.class == headless {
		b.WriteString(" from " + e.Path) // all that is known, apart from the page
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
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Class returns a short form of the error, for transcripts and for callers that
// map errors to remedies: Okta's error code, "status 500", or one of "another
// record", "authentication", "broken JSON", "broken Link", "cancelled",
// "certificate", "closed", "cut", "endless", "no answer", "no connection", "no
// header", "not JSON", "reset", "timeout", "too large" and "wrong Date".
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

// rejection is why there is no answer, or why one can't be used.
type rejection struct {
	class  string // "reset", "broken JSON"
	final  bool   // another try would not help
	access bool   // the transport got no access, whatever was asked for
	err    error
}

func (r *rejection) Error() string { return r.err.Error() }
func (r *rejection) Unwrap() error { return r.err }

// transportError classes an error of http.Client.Do, and takes the URL out of it.
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
	)
	switch {
	case errors.As(err, &certificate):
		r.class, r.final = "certificate", true
	case errors.As(err, &network) && network.Timeout():
		r.class = "timeout"
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

// misdated is the class of an answer whose Date can't be believed.
const misdated = "wrong Date"

// headless is the class of an answer whose header is malformed, or longer than
// the HTTP client takes. Over HTTP/2 that is the end of the connection and of all
// that is asked for on it, so that the request may be at fault or another one: it
// is tried again.
const headless = "no header"

// unread is the error of such an answer, without its text, which may be the
// server's own.
type unread struct{ err error }

func (unread) Error() string   { return "no header that can be read, nor a request id, came" }
func (u unread) Unwrap() error { return u.err }

// broken is the error of a connection that stood, without the ports at its ends.
type broken struct{ op *net.OpError }

func (b broken) Error() string { return b.op.Err.Error() }
func (b broken) Unwrap() error { return b.op }

// bodyError classes an error in the middle of an answer's body.
func bodyError(err error) *rejection {
	r := transportError(err)
	if r.class == "no answer" || r.class == "closed" {
		r.class = "cut"
	}
	r.err = fmt.Errorf("answer cut short: %w", r.err)
	return r
}

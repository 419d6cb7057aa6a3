package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is something that goes wrong. Which requests it hits: Nth of those under
// Path from now on, the first if Nth is 0; with Every also each Every-th after
// it, with Forever all after it. What happens is said by the rest, where several
// can go together. But for Reset the request is checked and served first: its
// proof is spent, and a violation is seen.
type Fault struct {
	Name    string // for people
	Path    string // a prefix; "": the API; "token": the token endpoint of the org's own
	Nth     int
	Every   int
	Forever bool

	Status     int           // an error of this status instead of the answer
	Code       string        // Okta's code for it; "": the usual one of the status
	RetryAfter time.Duration // with 429: how far ahead Reset lies (0: 1 s), and Retry-After, which Okta never sends
	Busy       bool          // the 429 for too many requests at once: limit and remaining 0
	HTML       bool          // a page from in front of Okta; Status 0: 502
	Redirect   string        // a 302 to there
	Next       string        // what is wrong with the next link
	BrokenJSON bool          // the answer ends in mid-value, but the connection is sound
	CutAfter   int           // the connection breaks after so many bytes of the body, as it goes on the wire
	Stall      time.Duration // wait before the answer, or after CutAfter bytes of it and then go on; < 0: for ever
	Reset      bool          // the connection breaks, and nothing is served
	Lose       bool          // the connection breaks when all is served

	RevokeToken bool // the request's token is revoked before it is served
	RotateNonce bool // every nonce is stale from this request on
	NoNonce     bool // the answer has no DPoP-Nonce
	Bearer      bool // at the token endpoint: token_type Bearer, whatever was asked
}

// What can be wrong with a next link.
const (
	NextLoop      = "loop"       // it leads to the page that holds it
	NextOtherHost = "other-host" // it leads to [OtherHost]
	NextEmpty     = "empty"      // the last page has one, to a page of nobody
	NextShort     = "short"      // pages hold fewer users than they could
)

// Nexts returns all of these.
func Nexts() []string { return []string{NextLoop, NextOtherHost, NextEmpty, NextShort} }

// OtherHost is where next links lead that lead astray. No such host exists
// (RFC 2606), and [Org.Client] counts whoever asks it as a violation.
const OtherHost = "elsewhere.invalid"

// faults are those that are still to come.
type faults struct {
	mu    sync.Mutex
	armed []*armed
}

type armed struct {
	Fault
	seen int
}

// Inject arms a fault.
func (o *Org) Inject(f Fault) {
	f.Nth = max(f.Nth, 1)
	switch f.Path {
	case "":
		f.Path = "/api/"
	case "token":
		f.Path = tokenPath
	}
	o.faults.mu.Lock()
	defer o.faults.mu.Unlock()
	o.faults.armed = append(o.faults.armed, &armed{Fault: f})
}

// ClearFaults disarms every fault.
func (o *Org) ClearFaults() {
	o.faults.mu.Lock()
	defer o.faults.mu.Unlock()
	o.faults.armed = nil
}

// pick counts a request against all faults and returns the first that is due.
func (f *faults) pick(path string) (due Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := false
	kept := f.armed[:0]
	for _, a := range f.armed {
		if !strings.HasPrefix(path, a.Path) {
			kept = append(kept, a)
			continue
		}
		a.seen++
		past := a.seen - a.Nth
		if past == 0 || past > 0 && (a.Forever || a.Every > 0 && past%a.Every == 0) {
			if !found {
				due, found = a.Fault, true
			}
		}
		if past < 0 || a.Forever || a.Every > 0 {
			kept = append(kept, a)
		}
	}
	f.armed = kept
	return due
}

type faultKey struct{}

func faultOf(r *http.Request) Fault {
	f, _ := r.Context().Value(faultKey{}).(Fault)
	return f
}

// before does what a fault does before the request is served. It is false where
// whoever asked has gone.
func (o *Org) before(r *http.Request, f Fault) bool {
	if f != (Fault{}) {
		o.stats.failed()
	}
	if f.RevokeToken {
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if token != "" {
			o.tokens.revoke(token)
		}
	}
	if f.RotateNonce {
		o.RotateNonces()
	}
	return !f.Reset && (f.CutAfter > 0 || pause(r.Context(), f.Stall))
}

// spoil does to an answer what the fault wants.
func (o *Org) spoil(a *answer, r *http.Request, f Fault) {
	switch {
	case f.HTML:
		if a.html(f.Status); f.Status == 0 {
			a.html(http.StatusBadGateway)
		}
	case f.Redirect != "":
		a.packed = nil
		a.body.Reset()
		a.status = http.StatusFound
		a.header.Set("Location", f.Redirect)
	case f.Status == http.StatusTooManyRequests || f.Busy:
		o.spoilLimit(a, f)
	case f.Status != 0:
		a.replace(errorOf(f))
	case f.BrokenJSON:
		a.packed = nil
		a.body.Truncate(a.body.Len() * 2 / 3)
	}
	if f.NoNonce {
		a.header.Del("DPoP-Nonce")
	}
	if f.Bearer && isToken(r.URL.Path) {
		b := strings.Replace(a.body.String(), `"token_type":"DPoP"`, `"token_type":"Bearer"`, 1)
		a.body.Reset()
		a.body.WriteString(b)
	}
}

// spoilLimit makes the answer one of Okta's two kinds of 429.
func (o *Org) spoilLimit(a *answer, f Fault) {
	a.replace(newError("E0000047"))
	limit, reset := 600, o.now().Add(time.Second)
	if f.RetryAfter > 0 {
		reset = o.now().Add(f.RetryAfter)
		a.header.Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
	}
	if f.Busy {
		limit, reset = 0, o.now().Add(time.Minute)
	}
	setRateHeaders(a, limit, 0, reset, o.cfg.DuplicateRateHeaders)
}

// replace makes the answer an error and keeps no more than the headers that every answer has.
func (a *answer) replace(e *oktaError) {
	a.packed = nil
	for _, name := range []string{"Link", "link", "DPoP-Nonce", "WWW-Authenticate"} {
		a.header.Del(name)
		delete(a.header, name)
	}
	a.fail(e)
}

// errorOf is the error that a fault wants.
func errorOf(f Fault) *oktaError {
	code := f.Code
	if code == "" {
		code = map[int]string{400: "E0000001", 403: "E0000006", 404: "E0000007", 409: "E0000145", 414: "E0000256",
			503: "E0000100", 504: "E0000067"}[f.Status]
	}
	if code == "" {
		code = "E0000009"
	}
	e := newError(code)
	e.Status = f.Status
	return e
}

// send writes the answer, as far as the fault lets it.
func (o *Org) send(w http.ResponseWriter, r *http.Request, a *answer, body []byte, f Fault) {
	if f.Lose {
		panic(http.ErrAbortHandler) // net/http breaks the connection, or resets the stream
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	if r.Method == http.MethodHead {
		return
	}
	if f.CutAfter > 0 {
		n := min(f.CutAfter, max(len(body)-1, 0)) // at least the last byte is missing
		_, _ = w.Write(body[:n])
		_ = http.NewResponseController(w).Flush()
		if f.Stall == 0 || !pause(r.Context(), f.Stall) {
			panic(http.ErrAbortHandler)
		}
		body = body[n:]
	}
	_, _ = w.Write(body) // if the client has gone, so be it
}

// RotateNonces makes every nonce stale that was handed out.
func (o *Org) RotateNonces() {
	for _, s := range o.servers {
		s.nonces.forget()
	}
	if o.apiNonce != nil {
		o.apiNonce.forget()
	}
}

// RevokeTokens ends every access token.
func (o *Org) RevokeTokens() int { return o.tokens.revoke("") }

// ParseFault reads a fault as it is written on a command line or in the query of
// POST /sandbox/fault: words joined by commas, such as "nth=3,status=500",
// "path=token,reset" or "every=5,cut=1000".
func ParseFault(s string) (f Fault, err error) {
	for word := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(word), "=")
		if err := f.set(name, value); err != nil {
			return Fault{}, fmt.Errorf("fault %q: %s: %w", s, name, err)
		}
	}
	return f, nil
}

func number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, errors.New("must be a whole number")
	}
	return n, nil
}

func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("must be a duration such as 500ms or 2h")
	}
	return d, nil
}

// set sets one word of a written fault.
func (f *Fault) set(name, value string) (err error) {
	switch name {
	case "name":
		f.Name = value
	case "path":
		f.Path = value
	case "code":
		f.Code = value
	case "next":
		f.Next = value
	case "redirect":
		f.Redirect = value
	case "nth":
		f.Nth, err = number(value)
	case "every":
		f.Every, err = number(value)
	case "status":
		f.Status, err = number(value)
	case "cut":
		f.CutAfter, err = number(value)
	case "stall":
		if f.Stall = -1; value != "" {
			f.Stall, err = duration(value)
		}
	case "retry-after":
		f.RetryAfter, err = duration(value)
	default:
		flag, ok := map[string]*bool{"forever": &f.Forever, "busy": &f.Busy, "html": &f.HTML, "broken-json": &f.BrokenJSON,
			"lose": &f.Lose, "reset": &f.Reset, "revoke-token": &f.RevokeToken, "rotate-nonce": &f.RotateNonce,
			"no-nonce": &f.NoNonce, "bearer": &f.Bearer}[name]
		if !ok || value != "" {
			return errors.New("unknown word")
		}
		*flag = true
	}
	return err
}

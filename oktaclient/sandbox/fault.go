package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"oktasync/oktaclient/sandbox/internal/ratelimit"
)

// Inject adds a fault.
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
	o.faults.active = append(o.faults.active, &activeFault{Fault: f})
}

// ClearFaults removes all faults.
func (o *Org) ClearFaults() {
	o.faults.mu.Lock()
	defer o.faults.mu.Unlock()
	o.faults.active = nil
}

type faultKey struct{}

func faultOf(r *http.Request) Fault {
	f, _ := r.Context().Value(faultKey{}).(Fault)
	return f
}

// beforeServing applies the part of the fault that precedes the response. It
// returns false if the org must not serve the request.
func (o *Org) beforeServing(r *http.Request, f Fault) bool {
	if f != (Fault{}) {
		o.stats.add(func(s *Stats) { s.Faults++ })
	}
	if _, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); f.RevokeToken && token != "" {
		o.tokens.revoke(token)
	}
	if f.RotateNonce {
		o.RotateNonces()
	}
	return !f.Reset && (f.CutAfter > 0 || sleep(r.Context(), f.Stall))
}

// applyFault applies the fault to the response.
func (o *Org) applyFault(resp *response, r *http.Request, f Fault) {
	switch {
	case f.HTML:
		resp.writeHTML(cmp.Or(f.Status, http.StatusBadGateway))
	case f.Redirect != "":
		resp.clear()
		resp.status = http.StatusFound
		resp.header.Set("Location", f.Redirect)
	case f.Status == http.StatusTooManyRequests || f.Busy:
		o.applyRateLimitFault(resp, f)
	case f.Status != 0:
		resp.replace(f.error())
	case f.BrokenJSON:
		resp.body.Truncate(resp.body.Len() * 2 / 3)
	}
	if f.NoNonce {
		resp.header.Del("DPoP-Nonce")
	}
	if f.Bearer && isTokenPath(r.URL.Path) {
		body := strings.Replace(resp.body.String(), `"token_type":"DPoP"`, `"token_type":"Bearer"`, 1)
		resp.body.Reset()
		resp.body.WriteString(body)
	}
}

// applyRateLimitFault makes the response one of Okta's two kinds of 429.
func (o *Org) applyRateLimitFault(resp *response, f Fault) {
	resp.replace(newError("E0000047"))
	q := ratelimit.Quota{Limit: 600, Reset: o.now().Add(cmp.Or(f.RetryAfter, time.Second))}
	if f.RetryAfter > 0 {
		resp.header.Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
	}
	if f.Busy {
		q = ratelimit.Quota{Reset: o.now().Add(time.Minute)}
	}
	o.setRateHeaders(resp, q)
}

// replace makes the response an error, with only the headers that all responses
// have.
func (resp *response) replace(e *oktaError) {
	for _, name := range []string{"Link", "link", "DPoP-Nonce", "WWW-Authenticate"} {
		resp.header.Del(name)
		delete(resp.header, name)
	}
	resp.writeError(e)
}

// error returns the error that the fault describes.
func (f *Fault) error() *oktaError {
	codes := map[int]string{400: "E0000001", 403: "E0000006", 404: "E0000007", 409: "E0000145", 414: "E0000256",
		503: "E0000100", 504: "E0000067"}
	e := newError(cmp.Or(f.Code, codes[f.Status], "E0000009"))
	e.Status = f.Status
	return e
}

// send writes the response, as far as the fault allows.
func (o *Org) send(w http.ResponseWriter, r *http.Request, resp *response, body []byte, f Fault) {
	if f.Lose {
		panic(http.ErrAbortHandler) // net/http breaks the connection, or resets the stream
	}
	for name, values := range resp.header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.status)
	if r.Method == http.MethodHead {
		return
	}
	if f.CutAfter > 0 {
		n := min(f.CutAfter, max(len(body)-1, 0)) // at least the last byte is missing
		_, _ = w.Write(body[:n])
		_ = http.NewResponseController(w).Flush()
		if f.Stall == 0 || !sleep(r.Context(), f.Stall) {
			panic(http.ErrAbortHandler)
		}
		body = body[n:]
	}
	_, _ = w.Write(body) // an error means that the client has disconnected
}

// RotateNonces makes all nonces stale.
func (o *Org) RotateNonces() {
	for _, s := range o.servers {
		s.nonces.invalidate()
	}
	if o.apiNonce != nil {
		o.apiNonce.invalidate()
	}
}

// RevokeTokens revokes all access tokens, and returns their number.
func (o *Org) RevokeTokens() int { return o.tokens.revoke("") }

// ParseFault parses a fault as written on a command line or in the query of POST
// /sandbox/fault: words joined by commas, such as "nth=3,status=500",
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

func (f *Fault) set(name, value string) (err error) {
	field := map[string]any{
		"path": &f.Path, "code": &f.Code, "next": &f.Next, "redirect": &f.Redirect,
		"nth": &f.Nth, "every": &f.Every, "status": &f.Status, "cut": &f.CutAfter,
		"stall": &f.Stall, "retry-after": &f.RetryAfter,
		"forever": &f.Forever, "busy": &f.Busy, "html": &f.HTML, "broken-json": &f.BrokenJSON, "lose": &f.Lose, "reset": &f.Reset,
		"revoke-token": &f.RevokeToken, "rotate-nonce": &f.RotateNonce, "no-nonce": &f.NoNonce, "bearer": &f.Bearer,
	}[name]
	switch field := field.(type) {
	case *string:
		*field = value
	case *int:
		if *field, err = strconv.Atoi(value); err != nil {
			return errors.New("must be a whole number")
		}
	case *time.Duration:
		if name == "stall" && value == "" {
			*field = -1
		} else if *field, err = time.ParseDuration(value); err != nil {
			return errors.New("must be a duration such as 500ms or 2h")
		}
	case *bool:
		if value != "" {
			return errors.New("unknown word")
		}
		*field = true
	default:
		return errors.New("unknown word")
	}
	return nil
}

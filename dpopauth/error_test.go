package dpopauth_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"oktasync/dpopauth"
)

func TestNetworkErrors(t *testing.T) {
	here := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 36514}
	there := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}
	for _, test := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "read", Net: "tcp", Source: here, Addr: there, Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "connection reset"},
		{fmt.Errorf("connection broken: %w", &net.OpError{Op: "write", Net: "tcp", Source: here, Addr: there, Err: os.NewSyscallError("write", syscall.EPIPE)}), "connection reset"},
		{&net.OpError{Op: "read", Net: "tcp", Source: here, Addr: there, Err: os.ErrDeadlineExceeded}, "i/o timeout"},
		{&net.OpError{Op: "dial", Net: "tcp", Addr: there, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "dial 192.0.2.1:443: connection refused"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "acme.okta.com", Server: "127.0.0.53:53", IsNotFound: true}}, "dial: lookup acme.okta.com: no such host"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "read udp 127.0.0.1:36514->127.0.0.53:53: refused", Name: "acme.okta.com"}}, "dial: lookup acme.okta.com: name service failed"},
	} {
		bubble(t, test.want, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			_, _, err := get(t, tr, o.URL+"/a")
			if e := asError(t, err); e.Error() != "get token: "+test.want || !errors.Is(err, test.err) {
				t.Errorf("error = %q, want %q", e, test.want)
			}
		}, func(c *dpopauth.Config) {
			c.Base = roundTripper(func(*http.Request) (*http.Response, error) { return nil, test.err })
		})
	}
	bubble(t, "a reset is no answer of status 200", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.token = func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("Content-Length", "100")
			w.(http.Flusher).Flush()
			hangUp(w)
			return true
		}
		_, _, err := get(t, tr, o.URL+"/a")
		if e := asError(t, err); e.Status != 0 || e.Error() != "get token: unexpected EOF" {
			t.Errorf("error = %q of status %d, want none", e, e.Status)
		}
	})
}

func TestD54_RedirectOfTheTokenEndpoint(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		evil := newOrg(t, func(o *org) { o.lax = true })
		o := newOrg(t)
		o.token = func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("Location", evil.URL+"/oauth2/v1/token?secret=1")
			w.WriteHeader(status)
			return true
		}
		_, _, err := get(t, o.transport(), o.URL+"/a")
		if !errors.Is(err, dpopauth.ErrRedirect) {
			t.Errorf("error = %v, want ErrRedirect", err)
		}
		wantError(t, err, strings.TrimPrefix(evil.URL, "https://"))
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("error = %v shows the query", err)
		}
		o.wantRequests(1, 0)
		evil.wantRequests(0, 0)
	}
}

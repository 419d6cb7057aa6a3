package oktaclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

func TestAccessErrorsOmitThePage(t *testing.T) {
	_, err := readError(t, newClient(t, "https://acme.okta.com", &http.Client{Transport: refusal{true}}, nil))
	if got, want := err.Error(), "okta: token: 401 invalid_client, tried 5 times"; got != want {
		t.Errorf("error = %q, want %q", got, want)
	}
}

// resetter returns a server that resets the connection after start.
func resetter(t *testing.T, start string) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, start)
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}))
	t.Cleanup(server.Close)
	return server
}

// Errors of net/http contain text of the server.
func TestErrorsOmitMalformedHeaders(t *testing.T) {
	for _, head := range []string{"secret\r\n\r\n", "HTTP/1.1 200 OK\r\nsecret\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: secret\r\n\r\n"} {
		server := resetter(t, head)
		_, err := readError(t, newClient(t, server.URL, server.Client(), nil))
		if got := err.Error(); got != "okta: no readable header and no request id from /api/v1/users on page 1, tried 5 times" {
			t.Errorf("error = %q", got)
		}
	}
}

func TestErrorsOmitPorts(t *testing.T) {
	for _, start := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n["} {
		server := resetter(t, start)
		_, err := readError(t, newClient(t, server.URL, server.Client(), nil))
		if got := err.Error(); strings.Contains(got, "127.0.0.1") || !strings.Contains(got, " on page 1, tried 5 times") || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("error = %q", got)
		}
	}
}

// A host name that doesn't exist isn't retried.
func TestUnknownHostFailsAtOnce(t *testing.T) {
	for _, temporary := range []bool{false, true} {
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "acme.okta.com", IsNotFound: true, IsTemporary: temporary}}
		}}
		_, err := readError(t, newClient(t, "https://acme.okta.com", &http.Client{Transport: transport}, nil))
		if (err.Tries > 1) != temporary || err.Class() != "no connection" {
			t.Errorf("temporary: %t: error = %v of class %q", temporary, err, err.Class())
		}
	}
}

package oktaclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient"
)

// mute is an error of the authenticating transport without a hint of its own.
type mute struct{ error }

func (mute) Hint() string    { return "" }
func (m mute) Unwrap() error { return m.error }

func (m mute) RoundTrip(*http.Request) (*http.Response, error) { return nil, m }

func TestHintsOfTheNetwork(t *testing.T) {
	for hint, cause := range map[string]error{
		"okta.ca_file":       &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"another host's":     &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}}},
		"not valid":          &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}},
		"name service":       &net.DNSError{Err: "no such host", Name: "acme.okta.com", IsNotFound: true},
		"nothing listens":    &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"does not speak TLS": tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
		"in time":            context.DeadlineExceeded,
	} {
		_, err := readError(t, newClient(t, "https://acme.okta.com", &http.Client{Transport: mute{cause}}, func(c *oktaclient.Config) { c.Tries = 1 }))
		if !strings.Contains(err.Hint(), hint) {
			t.Errorf("hint for %v = %q, want %q in it", cause, err.Hint(), hint)
		}
	}
}

func TestErrorsOfAccessNameNoPage(t *testing.T) {
	_, err := readError(t, newClient(t, "https://acme.okta.com", &http.Client{Transport: refusal{true}}, nil))
	if got, want := err.Error(), "okta: token: 401 invalid_client, tried 5 times"; got != want {
		t.Errorf("error = %q, want %q", got, want)
	}
}

// resetter resets the connection that it was asked on, in the middle of an
// answer's head or body.
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

// net/http's own errors repeat what the server sent.
func TestMalformedHeaderIsNotRepeated(t *testing.T) {
	for _, head := range []string{"secret\r\n\r\n", "HTTP/1.1 200 OK\r\nsecret\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: secret\r\n\r\n"} {
		server := resetter(t, head)
		_, err := readError(t, newClient(t, server.URL, server.Client(), nil))
		if got := err.Error(); got != "okta: no header that can be read, nor a request id, came from /api/v1/users on page 1, tried 5 times" {
			t.Errorf("error = %q", got)
		}
	}
}

func TestErrorsShowNoPorts(t *testing.T) {
	for _, start := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n["} {
		server := resetter(t, start)
		_, err := readError(t, newClient(t, server.URL, server.Client(), nil))
		if got := err.Error(); strings.Contains(got, "127.0.0.1") || !strings.Contains(got, " on page 1, tried 5 times") || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("error = %q", got)
		}
	}
}

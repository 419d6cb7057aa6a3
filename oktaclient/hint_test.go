package oktaclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
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

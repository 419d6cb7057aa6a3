package org

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient"
)

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hintAfter reads users through a transport and returns the hint for its error.
func hintAfter(t *testing.T, f roundTrip) string {
	t.Helper()
	c, err := oktaclient.New(oktaclient.Config{OrgURL: "https://acme.okta.com", HTTPClient: &http.Client{Transport: f}, Tries: 1, BaseWait: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(t.Context(), oktaclient.Query{Resource: oktaclient.Users}, &tally{})
	if err == nil {
		t.Fatal("no error")
	}
	return Hint(err)
}

func TestHintsForResponses(t *testing.T) {
	for _, test := range []struct {
		status     int
		code, want string
	}{
		{400, "E0000031", "search expression"},
		{400, "invalid_dpop_proof", "clock"},
		{401, "E0000011", "access token"},
		{401, "invalid_token", "access token"},
		{403, "E0000006", "no admin role"},
		{403, "E0000005", "Authorization header"},
		{403, "insufficient_scope", "grant it to the app"},
		{404, "", "org_url"},
		{414, "E0000256", "too long"},
		{429, "E0000047", "rate limit"},
		{501, "", "status.okta.com"},
		{302, "", "redirects"},
		{418, "", ""},
		{200, "", "not from Okta's API"},
	} {
		hint := hintAfter(t, func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(test.status)
			if test.code != "" {
				w.WriteString(`{"errorCode":"` + test.code + `"}`)
			}
			return w.Result(), nil
		})
		if !strings.Contains(hint, test.want) || (hint == "") != (test.want == "") {
			t.Errorf("hint for %d %s = %q, want %q in it", test.status, test.code, hint, test.want)
		}
	}
}

func TestHintsForTheNetwork(t *testing.T) {
	for want, cause := range map[string]error{
		"okta.ca_file":     &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"for another host": &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}}},
		"not valid":        &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}},
		"has no address":   &net.DNSError{Err: "no such host", Name: "acme.okta.com", IsNotFound: true},
		"on that port":     &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"no connection to": &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH},
		"doesn't use TLS":  tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
		"in time":          context.DeadlineExceeded,
	} {
		if hint := hintAfter(t, func(*http.Request) (*http.Response, error) { return nil, cause }); !strings.Contains(hint, want) {
			t.Errorf("hint for %v = %q, want %q in it", cause, hint, want)
		}
	}
	if hint := Hint(errors.New("another error")); hint != "" {
		t.Errorf("hint = %q, want none", hint)
	}
}

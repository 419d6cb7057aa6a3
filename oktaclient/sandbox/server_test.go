package sandbox_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// serve serves the client's org over TLS.
func (c *client) serve() *sandbox.Server {
	c.t.Helper()
	s, err := sandbox.NewServer(c.org, "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.http = s.Client()
	c.t.Cleanup(func() {
		c.http.CloseIdleConnections()
		if err := s.Close(); err != nil {
			c.t.Error(err)
		}
	})
	return s
}

// A client that accepts the CA reads all users over TLS.
func TestServer(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 450})
	s := c.serve()
	if n := len(c.mustAll("/api/v1/users")); n != 428 {
		t.Errorf("users = %d, want 428", n)
	}
	c.noViolations()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := s.WriteCA(path); err != nil {
		t.Fatal(err)
	}
	pem, _ := os.ReadFile(path)
	if !x509.NewCertPool().AppendCertsFromPEM(pem) || string(pem) != string(s.CAPEM()) {
		t.Errorf("CA file = %s", pem)
	}
	untrusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}}
	var unknown *tls.CertificateVerificationError
	if _, err := untrusting.Get(s.URL + "/api/v1/users"); !errors.As(err, &unknown) {
		t.Errorf("without the CA: %v, want an unknown authority", err)
	}
}

// Certificates that a client must reject.
func TestInvalidCertificates(t *testing.T) {
	for _, test := range []struct {
		name string
		odd  sandbox.Certificate
		want func(error) bool
	}{
		{"unknown CA", sandbox.Certificate{Issuer: "Gateway"}, func(err error) bool {
			var shown *tls.CertificateVerificationError
			return errors.As(err, &shown) && shown.UnverifiedCertificates[0].Issuer.CommonName == "Gateway"
		}},
		{"another host", sandbox.Certificate{Host: "portal.example"}, func(err error) bool {
			var host x509.HostnameError
			return errors.As(err, &host)
		}},
		{"expired", sandbox.Certificate{Until: time.Now().Add(-time.Hour)}, func(err error) bool {
			var invalid x509.CertificateInvalidError
			return errors.As(err, &invalid) && invalid.Reason == x509.Expired
		}},
	} {
		s, err := sandbox.NewServer(sandbox.NewOrg(sandbox.Config{Certificate: test.odd}), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		client := s.Client()
		if test.odd.Issuer != "" {
			client = &http.Client{Transport: &http.Transport{}}
		}
		if _, err := client.Get(s.URL); !test.want(err) {
			t.Errorf("%s: %v", test.name, err)
		}
		s.Close()
	}
}

// Faults also break the connections of a Server.
func TestServerFaults(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50})
	c.serve()
	c.login()
	for _, f := range []sandbox.Fault{{Reset: true}, {Lose: true}, {CutAfter: 100}} {
		c.org.Inject(f)
		if _, err := c.do(c.request("/api/v1/users", nil)); err == nil {
			t.Errorf("%+v: error = nil, want a broken connection", f)
		}
	}
	c.get("/api/v1/users").want(t, 200, "", "")
}

// Rule 42: plain HTTP is accepted on loopback only.
func TestPlainOnlyOnLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "nonsense"} {
		if s, err := sandbox.NewPlainServer(sandbox.NewOrg(sandbox.Config{}), addr); err == nil {
			t.Errorf("served %s without TLS", addr)
			s.Close()
		}
	}
	c := newClient(t, sandbox.Config{Users: 5})
	s, err := sandbox.NewPlainServer(c.org, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c.http = &http.Client{}
	defer c.http.CloseIdleConnections()
	if r := c.get("/api/v1/users"); r.status != 200 || !strings.HasPrefix(s.URL, "http://127.0.0.1:") {
		t.Errorf("list at %s = %d, want 200", s.URL, r.status)
	}
	for addr, want := range map[string]int{"127.0.0.1:5": 403, "[::1]:5": 403, "192.0.2.7:5": 403, "": 403} {
		req := httptest.NewRequest("GET", "/api/v1/users", nil)
		req.RemoteAddr = addr
		w := httptest.NewRecorder()
		c.org.ServeHTTP(w, req)
		local := strings.Contains(w.Body.String(), "E0000005")
		if host, _, _ := net.SplitHostPort(addr); w.Code != want || local != net.ParseIP(host).IsLoopback() {
			t.Errorf("from %q: %d %s", addr, w.Code, w.Body)
		}
	}
}

// In process, connections break as on a network, and a client can disconnect.
func TestClientInProcess(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50})
	c.org.Inject(sandbox.Fault{Lose: true})
	_, err := c.do(c.request("/api/v1/users", nil))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("lost response = %v, want a reset", err)
	}
	resp, err := c.http.Do(c.request("/api/v1/users", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	resp.Body.Close() // without reading the rest
	c.get("/api/v1/users").want(t, 200, "", "")
}

// A client that disconnects in the middle of a request causes no violation.
func TestTokenRequestCut(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 1})
	r := httptest.NewRequest(http.MethodPost, c.org.URL()+"/oauth2/v1/token", iotest.ErrReader(io.ErrUnexpectedEOF))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	c.org.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("status %d", w.Code)
	}
	c.noViolations()
}

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// webCertificate writes a certificate for 127.0.0.1 and idp.acme.example, and
// its key, to the site's folder, and returns the roots that trust it.
func (s *site) webCertificate(t *testing.T) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"idp.acme.example"},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, s.path("web-cert.pem"), string(cert))
	write(t, s.path("web-key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// The users' password is "right".
const (
	webTLS      = "tls_server_config: {cert_file: web-cert.pem, key_file: web-key.pem}\n"
	webUsers    = "basic_auth_users: {ops: $2a$04$h6oxpKMkbtzPOSTQCikV8eoIUp5.7t0Y69FzS79MvjUogcEIWinDy}\n"
	webNewUsers = "basic_auth_users: {grafana: $2a$04$h6oxpKMkbtzPOSTQCikV8eoIUp5.7t0Y69FzS79MvjUogcEIWinDy}\n"
)

// visit sends a request to the daemon over TLS as a user, and returns the response
// without its body.
func visit(roots *x509.CertPool, url, host, user, password string) (*http.Response, error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}}
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Host = host
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return resp, err
}

// With TLS and users, the daemon listens on any address and requires a password.
// A reload reads the users and the certificate again.
func TestDaemonWebConfig(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 10, Seed: 63})
	roots := s.webCertificate(t)
	web := s.path("web.yaml")
	write(t, web, webTLS+webUsers)
	config := strings.Replace(s.daemonConfig(""), "listen: 127.0.0.1:0", "listen: 0.0.0.0:0\n  web_config_file: web.yaml", 1)
	d := s.startWith(t, config)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(d.url, "http://"))
	check(t, err)
	url := "https://127.0.0.1:" + port
	status := func(path, host, user, password string) int {
		t.Helper()
		resp, err := visit(roots, url+path, host, user, password)
		if err != nil {
			t.Fatalf("%s as %q: %v", path, user, err)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("%s as %q: Content-Security-Policy %q", path, user, csp)
		}
		if resp.ProtoMajor != 2 {
			t.Errorf("%s as %q: %s", path, user, resp.Proto)
		}
		return resp.StatusCode
	}
	for _, path := range []string{"/", "/api/v1/status", "/metrics", "/fresh", "/style.css", "/nothing"} {
		for _, who := range [][2]string{{"", ""}, {"ops", "wrong"}, {"ops", ""}, {"root", "right"}} {
			if got := status(path, "", who[0], who[1]); got != http.StatusUnauthorized {
				t.Errorf("%s as %q: %d, want 401", path, who, got)
			}
		}
		want := http.StatusOK
		if path == "/nothing" {
			want = http.StatusNotFound
		}
		if got := status(path, "idp.acme.example", "ops", "right"); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if resp, err := visit(roots, "http://127.0.0.1:"+port+"/metrics", "", "ops", "right"); err == nil && resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: %d", resp.StatusCode)
	}

	// An invalid file changes nothing.
	write(t, web, webTLS)
	if log := d.reload(s, config); !strings.Contains(log, "configuration not reloaded") || !strings.Contains(log, "TLS and users") {
		t.Errorf("log = %s", log)
	}
	if got := status("/metrics", "", "", ""); got != http.StatusUnauthorized {
		t.Errorf("after a rejected reload: %d, want 401", got)
	}
	newRoots := s.webCertificate(t)
	write(t, web, webTLS+webNewUsers)
	if log := d.reload(s, config); !strings.Contains(log, "daemon.web_config_file's certificate, daemon.web_config_file's content") {
		t.Errorf("log = %s", log)
	}
	if _, err := visit(roots, url+"/healthz", "", "grafana", "right"); err == nil {
		t.Error("the daemon still uses the old certificate")
	}
	roots = newRoots
	if got := status("/metrics", "", "ops", "right"); got != http.StatusUnauthorized {
		t.Errorf("a removed user: %d, want 401", got)
	}
	if got := status("/metrics", "", "grafana", "right"); got != http.StatusOK {
		t.Errorf("a new user: %d, want 200", got)
	}

	// A configuration for loopback, without the file.
	log := d.reload(s, s.daemonConfig(""))
	if !strings.Contains(log, "daemon.listen") || !strings.Contains(log, `"configuration reloaded"`) {
		t.Errorf("log = %s", log)
	}
	if _, err := visit(roots, url+"/healthz", "", "grafana", "right"); err == nil {
		t.Error("the daemon still listens on the old address")
	}
	d.stop(syscall.SIGTERM)
}

// Connections that send no valid password can't use up the limit of connections.
// Health checks need no password, and their responses have no body.
func TestDaemonUnauthenticatedConnections(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 10, Seed: 65})
	roots := s.webCertificate(t)
	write(t, s.path("web.yaml"), webTLS+webUsers)
	d := s.startWith(t, s.daemonConfig("", "web_config_file: web.yaml"))
	url := strings.Replace(d.url, "http://", "https://", 1)
	for range 256 {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), &tls.Config{RootCAs: roots})
		check(t, err)
		defer conn.Close()
		go func() { // the connection is never idle for long
			for {
				if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
					return
				}
				time.Sleep(2 * time.Second)
			}
		}()
	}
	for path, user := range map[string]string{"/healthz": "", "/readyz": "", "/metrics": "ops"} {
		resp, err := visit(roots, url+path, "", user, "right")
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if resp.StatusCode != http.StatusOK || user == "" && resp.ContentLength != 0 {
			t.Errorf("%s: status %d with %d bytes", path, resp.StatusCode, resp.ContentLength)
		}
	}
	d.stop(syscall.SIGTERM)
}

// validate and run reject a configuration that would serve other machines without
// TLS and users.
func TestWebConfigIsRequired(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 1, Seed: 64})
	s.webCertificate(t)
	web := s.path("web.yaml")
	config := strings.Replace(s.daemonConfig(""), "listen: 127.0.0.1:0", "listen: 0.0.0.0:0\n  web_config_file: web.yaml", 1)
	write(t, s.path("oktasync.yaml"), config)
	for _, test := range []struct{ name, web, want string }{
		{"no users", webTLS, "set daemon.web_config_file to a file with TLS and users"},
		{"no TLS", webUsers, "set daemon.web_config_file to a file with TLS and users"},
		{"plain password", webTLS + "basic_auth_users: {ops: s3cret}\n", "web.yaml:2:25: basic_auth_users.ops: is not a bcrypt hash"},
		{"unknown key", webUsers + "tls_config: {}\n", "unknown key tls_config; use tls_server_config"},
		{"no file", "", "there is no web.yaml"},
	} {
		write(t, web, test.web)
		if test.web == "" {
			check(t, os.Remove(web))
		}
		for _, command := range []string{"validate", "run"} {
			r := s.must(t, 1, command)
			if !strings.Contains(r.stderr, test.want) || strings.Contains(r.stderr, "s3cret") {
				t.Errorf("%s, %s: %s", test.name, command, r.stderr)
			}
		}
	}
	write(t, web, webTLS+webUsers)
	s.must(t, 0, "validate")
}

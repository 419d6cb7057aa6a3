package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// webCertificate writes a certificate for 127.0.0.1 and idp.acme.example, and
// its key, to the site's folder, and returns who trusts it.
func (s *site) webCertificate(t *testing.T) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"idp.acme.example"},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, filepath.Join(s.dir, "web-cert.pem"), cert)
	write(t, filepath.Join(s.dir, "web-key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// The password is right.
const (
	webTLS      = "tls_server_config: {cert_file: web-cert.pem, key_file: web-key.pem}\n"
	webUsers    = "basic_auth_users: {ops: $2a$04$h6oxpKMkbtzPOSTQCikV8eoIUp5.7t0Y69FzS79MvjUogcEIWinDy}\n"
	webNewUsers = "basic_auth_users: {grafana: $2a$04$h6oxpKMkbtzPOSTQCikV8eoIUp5.7t0Y69FzS79MvjUogcEIWinDy}\n"
)

// visit asks the daemon over TLS as somebody, and returns the answer without
// its body.
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

// With TLS and users the daemon may be asked from anywhere, under any name, by
// who has a password; a reload reads users and certificate again.
func TestWebConfigGivesTLSAndUsers(t *testing.T) {
	s := newTestSite(t, sandbox.Config{Users: 10, Seed: 63})
	roots := s.webCertificate(t)
	web := filepath.Join(s.dir, "web.yaml")
	write(t, web, []byte(webTLS+webUsers))
	config := strings.Replace(s.daemonConfig(""), "listen: 127.0.0.1:0", "listen: 0.0.0.0:0\n  web_config_file: web.yaml", 1)
	d := s.startWith(t, config)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
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
	for _, path := range []string{"/", "/api/v1/status", "/metrics", "/fresh", "/healthz", "/style.css", "/nothing"} {
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

	// A reload reads it all again, or nothing: what is half edited lets nobody in.
	write(t, web, []byte(webTLS))
	if said := d.reload(s, config); !strings.Contains(said, "configuration not reloaded") || !strings.Contains(said, "TLS and users") {
		t.Errorf("log = %s", said)
	}
	if got := status("/healthz", "", "", ""); got != http.StatusUnauthorized {
		t.Errorf("after a refused reload: %d, want 401", got)
	}
	newRoots := s.webCertificate(t)
	write(t, web, []byte(webTLS+webNewUsers))
	if said := d.reload(s, config); !strings.Contains(said, "daemon.web_config_file's certificate, daemon.web_config_file's content") {
		t.Errorf("log = %s", said)
	}
	if _, err := visit(roots, url+"/healthz", "", "grafana", "right"); err == nil {
		t.Error("the old certificate is still shown")
	}
	roots = newRoots
	if got := status("/healthz", "", "ops", "right"); got != http.StatusUnauthorized {
		t.Errorf("who was taken out: %d, want 401", got)
	}
	if got := status("/healthz", "", "grafana", "right"); got != http.StatusOK {
		t.Errorf("who is new: %d, want 200", got)
	}

	// Back on loopback, without a file.
	said := d.reload(s, s.daemonConfig(""))
	if !strings.Contains(said, "daemon.listen") || !strings.Contains(said, `"configuration reloaded"`) {
		t.Errorf("log = %s", said)
	}
	if _, err := visit(roots, url+"/healthz", "", "grafana", "right"); err == nil {
		t.Error("the old address still answers")
	}
	d.stop(syscall.SIGTERM)
}

// What would be open to other machines is refused, by validate and by run.
func TestNothingIsOpenWithoutTLSAndUsers(t *testing.T) {
	s := newTestSite(t, sandbox.Config{Users: 1, Seed: 64})
	s.webCertificate(t)
	web := filepath.Join(s.dir, "web.yaml")
	config := strings.Replace(s.daemonConfig(""), "listen: 127.0.0.1:0", "listen: 0.0.0.0:0\n  web_config_file: web.yaml", 1)
	write(t, filepath.Join(s.dir, "oktasync.yaml"), []byte(config))
	for _, test := range []struct{ name, web, want string }{
		{"no users", webTLS, "takes a web_config_file with TLS and users"},
		{"no TLS", webUsers, "takes a web_config_file with TLS and users"},
		{"a password in clear", webTLS + "basic_auth_users: {ops: s3cret}\n", "web.yaml:2:25: basic_auth_users.ops: is no bcrypt hash"},
		{"an unknown key", webUsers + "tls_config: {}\n", "unknown key tls_config; there are tls_server_config"},
		{"no file", "", "there is no web.yaml"},
	} {
		if test.web != "" {
			write(t, web, []byte(test.web))
		} else {
			if err := os.Remove(web); err != nil {
				t.Fatal(err)
			}
		}
		for _, command := range []string{"validate", "run"} {
			r := s.must(t, 1, command)
			if !strings.Contains(r.stderr, test.want) || strings.Contains(r.stderr, "s3cret") {
				t.Errorf("%s, %s: %s", test.name, command, r.stderr)
			}
		}
	}
	write(t, web, []byte(webTLS+webUsers))
	s.must(t, 0, "validate")
}

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// The manifest contains each certificate that answered a request, with the number
// of its requests.
func TestManifestContainsEveryCertificate(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 1500, Seed: 131})
	s.serveWithCertificates(t, 2)
	s.must(t, 0, "apply")

	var manifest struct {
		Org struct {
			TLS []struct {
				LeafSHA256 string `json:"leaf_sha256"`
				Issuer     string
				PrivateCA  bool `json:"private_ca"`
				Requests   int
			}
		}
	}
	check(t, json.Unmarshal([]byte(read(t, s.path("snapshots/all-users/latest/manifest.json"))), &manifest))
	requests := 0
	for _, c := range manifest.Org.TLS {
		if len(c.LeafSHA256) != 64 || !strings.HasPrefix(c.Issuer, "CN=Gateway ") || !c.PrivateCA || c.Requests == 0 {
			t.Errorf("certificate = %+v", c)
		}
		requests += c.Requests
	}
	sent := strings.Count(read(t, s.path("snapshots/all-users/latest/requests.ndjson")), `"GET"`)
	if len(manifest.Org.TLS) != 2 || requests != sent {
		t.Errorf("%d certificates answered %d requests, want 2 and %d", len(manifest.Org.TLS), requests, sent)
	}
	for _, c := range manifest.Org.TLS {
		note := fmt.Sprintf("a private CA (%s) signed the certificate of the server that answered %d of ", c.Issuer, c.Requests)
		if r := s.must(t, 0, "verify"); !strings.Contains(r.stdout+r.stderr, note) {
			t.Errorf("verify = %q, want %q", r.stdout+r.stderr, note)
		}
	}
	s.must(t, 0, "show", "all-users")
}

// A read with more than 32 different certificates fails.
func TestTooManyCertificates(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 9000, Seed: 132})
	s.serveWithCertificates(t, 40)
	if r := s.must(t, 1, "apply"); !strings.Contains(r.stderr, "the org answered with more than 32 different certificates") {
		t.Errorf("apply = %s", r.stderr)
	}
}

// serveWithCertificates serves the org with n certificates in turn, one for each
// connection. Each connection serves a single request.
func (s *site) serveWithCertificates(t *testing.T, n int) {
	t.Helper()
	var certificates []*tls.Certificate
	var ca bytes.Buffer
	for i := range n {
		c := selfSigned(t, fmt.Sprint("Gateway ", i))
		certificates = append(certificates, c)
		check(t, pem.Encode(&ca, &pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
	}
	check(t, os.WriteFile(s.path("ca.pem"), ca.Bytes(), 0o600))
	var connections atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := &http.Server{Handler: s.org, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return certificates[int(connections.Add(1)-1)%n], nil
		},
	}}
	server.SetKeepAlivesEnabled(false)
	go server.ServeTLS(l, "", "")
	t.Cleanup(func() { server.Close() })
	s.server.URL = "https://" + l.Addr().String()
	s.org.SetURL(s.server.URL)
	s.configure(t, "")
}

// selfSigned returns a certificate for 127.0.0.1 that is its own CA.
func selfSigned(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

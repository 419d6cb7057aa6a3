package sandbox

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"
)

// Server serves an org on a port of this machine.
type Server struct {
	URL   string // the org's URL
	caPEM []byte
	pool  *x509.CertPool
	http  *http.Server
	ended chan struct{}
}

// NewServer serves o over TLS at addr, such as "127.0.0.1:0". The certificate is
// signed by a new CA, whose key isn't stored. It sets the org's URL.
func NewServer(o *Org, addr string) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve sandbox: %w", err)
	}
	certificate, caPEM, err := newCertificate(addr, o.cfg.Certificate)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("serve sandbox: make certificate: %w", err)
	}
	s := &Server{URL: "https://" + hostPort(l, addr), caPEM: caPEM, pool: x509.NewCertPool()}
	s.pool.AppendCertsFromPEM(caPEM)
	s.start(o, l, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	return s, nil
}

// NewPlainServer serves o without TLS. addr must be a loopback address. It sets
// the org's URL.
func NewPlainServer(o *Org, addr string) (*Server, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("serve sandbox: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && !ip.IsLoopback() {
		return nil, fmt.Errorf("serve sandbox: %s is not on loopback, so it needs TLS", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve sandbox: %w", err)
	}
	s := &Server{URL: "http://" + hostPort(l, addr)}
	s.start(o, l, nil)
	return s, nil
}

func (s *Server) start(o *Org, l net.Listener, config *tls.Config) {
	o.SetURL(s.URL)
	s.http = &http.Server{
		Handler: o, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0), // such as connections that clients break
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		if config != nil {
			_ = s.http.ServeTLS(l, "", "")
		} else {
			_ = s.http.Serve(l)
		}
	}()
}

// hostPort returns the address for clients: the host of addr and the port of l.
func hostPort(l net.Listener, addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return net.JoinHostPort(host, port)
}

// Close stops the server and closes all connections.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.ended
	return err
}

// CAPEM returns the certificate of the CA; nil without TLS.
func (s *Server) CAPEM() []byte { return s.caPEM }

// WriteCA writes the certificate of the CA to a PEM file.
func (s *Server) WriteCA(path string) error {
	if err := os.WriteFile(path, s.caPEM, 0o644); err != nil {
		return fmt.Errorf("write CA certificate: %w", err)
	}
	return nil
}

// Client returns a new client that accepts certificates of the server's CA.
func (s *Server) Client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{RootCAs: s.pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}
}

// newCertificate returns a certificate for addr and for loopback, and the
// certificate of the new CA that signed it.
func newCertificate(addr string, cfg Certificate) (leaf tls.Certificate, caPEM []byte, err error) {
	from, until := time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	if !cfg.Until.IsZero() {
		from, until = cfg.Until.AddDate(-1, 0, 0), cfg.Until
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cmp.Or(cfg.Issuer, "oktasync sandbox CA")},
		NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, MaxPathLenZero: true,
	}
	site := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "oktasync sandbox"},
		NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	host, _, _ := net.SplitHostPort(addr)
	switch ip := net.ParseIP(host); {
	case cfg.Host != "":
		site.DNSNames, site.IPAddresses = []string{cfg.Host}, nil
	case ip != nil:
		site.IPAddresses = append(site.IPAddresses, ip)
	case host != "":
		site.DNSNames = append(site.DNSNames, host)
	}
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return leaf, nil, err
		}
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, keys[0].Public(), keys[0])
	if err != nil {
		return leaf, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, site, ca, keys[1].Public(), keys[0])
	if err != nil {
		return leaf, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: keys[1]},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), nil
}

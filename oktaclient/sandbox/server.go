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

// Server is an org on a port of this machine.
type Server struct {
	URL   string // what clients take for the org's URL
	caPEM []byte
	pool  *x509.CertPool
	http  *http.Server
	ended chan struct{}
}

// NewServer serves o over TLS at addr, such as "127.0.0.1:0", with a certificate
// by a CA of its own that exists in memory only.
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

// NewPlainServer serves o without TLS, which only an address on loopback may.
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
		ErrorLog: log.New(io.Discard, "", 0), // connections that clients break off are no news
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

// hostPort is the address as clients write it: the host that was asked for, the
// port that was given.
func hostPort(l net.Listener, addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return net.JoinHostPort(host, port)
}

// Close ends the server and every connection to it.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.ended
	return err
}

// CAPEM returns the certificate of the CA; nil without TLS.
func (s *Server) CAPEM() []byte { return s.caPEM }

// WriteCA writes the certificate of the CA to a file, for a config's ca_file.
func (s *Server) WriteCA(path string) error {
	if err := os.WriteFile(path, s.caPEM, 0o644); err != nil {
		return fmt.Errorf("write CA certificate: %w", err)
	}
	return nil
}

// Client returns a client that trusts the server's CA, with a transport of its own.
func (s *Server) Client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{RootCAs: s.pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}
}

// newCertificate makes a CA and a certificate by it for addr and for loopback.
// The CA's key is gone afterwards.
func newCertificate(addr string, odd Certificate) (leaf tls.Certificate, caPEM []byte, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return leaf, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return leaf, nil, err
	}
	from, until := time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	if !odd.Until.IsZero() {
		from, until = odd.Until.AddDate(-1, 0, 0), odd.Until
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cmp.Or(odd.Issuer, "oktasync sandbox CA")},
		NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, MaxPathLenZero: true,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return leaf, nil, err
	}
	site := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "oktasync sandbox"},
		NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if odd.Host != "" {
		site.DNSNames, site.IPAddresses = []string{odd.Host}, nil
	} else if host, _, _ := net.SplitHostPort(addr); net.ParseIP(host) != nil {
		site.IPAddresses = append(site.IPAddresses, net.ParseIP(host))
	} else if host != "" {
		site.DNSNames = append(site.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, site, ca, key.Public(), caKey)
	if err != nil {
		return leaf, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), nil
}

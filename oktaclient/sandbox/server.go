package sandbox

import (
	"cmp"
	"context"
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
	"strconv"
	"sync"
	"syscall"
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

// Client returns a client that calls the org in this process, without a port, so
// that it works in a testing/synctest bubble. It follows redirects, but
// can't reach another host.
func (o *Org) Client() *http.Client { return &http.Client{Transport: o.Transport()} }

// Transport returns the transport of [Org.Client].
func (o *Org) Transport() http.RoundTripper { return transport{o} }

type transport struct{ org *Org }

// RoundTrip serves req in a goroutine that ends with the response's body, or with
// the context of req.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	body := req.Body
	if body == nil {
		body = http.NoBody
	}
	if url := req.URL.Scheme + "://" + req.URL.Host; url != t.org.URL() {
		body.Close()
		t.org.stats.addViolation("a request to another host: " + req.URL.Host)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: req.URL.Host, IsNotFound: true}}
	}
	ctx, cancel := context.WithCancel(req.Context())
	r := req.Clone(ctx)
	r.Body, r.RequestURI, r.TLS = body, req.URL.RequestURI(), &tls.ConnectionState{}
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	reader, writer := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: writer, ready: make(chan struct{})}
	go func() {
		defer body.Close()
		w.serve(t.org, r)
	}()
	select {
	case <-w.ready:
	case <-ctx.Done():
		reader.CloseWithError(ctx.Err())
		cancel()
		return nil, ctx.Err()
	}
	if w.status == 0 { // the connection broke before the response
		cancel()
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	header := http.Header{} // names in their canonical form, as from a network
	for name, values := range w.header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	stop := context.AfterFunc(ctx, func() { reader.CloseWithError(ctx.Err()) })
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, ContentLength: length, Request: req,
		Body: &pipeBody{reader, func() { stop(); cancel() }},
	}, nil
}

// pipeWriter is the server's side of a response.
type pipeWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	ready  chan struct{} // closed when status and header are final
	status int
}

func (w *pipeWriter) serve(h http.Handler, r *http.Request) {
	defer func() {
		switch p := recover(); p {
		case nil:
			w.WriteHeader(http.StatusOK)
			w.body.Close()
		case http.ErrAbortHandler:
			w.body.CloseWithError(io.ErrUnexpectedEOF)
			w.once.Do(func() { close(w.ready) })
		default:
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.header = status, w.header.Clone()
		close(w.ready)
	})
}

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

func (w *pipeWriter) Flush() {}

type pipeBody struct {
	*io.PipeReader
	end func()
}

func (b *pipeBody) Close() error {
	b.end()
	return b.PipeReader.Close()
}

package sandbox

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
)

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

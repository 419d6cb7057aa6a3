package dpopauth_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"

	"oktasync/dpopauth"
)

// A breaker is a server that answers the first request of each connection, and
// closes the connection when the next one comes. It notes proofs seen twice.
type breaker struct {
	net.Listener
	mu     sync.Mutex
	proofs map[string]bool
	again  int
	broken int
}

func newBreaker(t *testing.T) *breaker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &breaker{Listener: listener, proofs: map[string]bool{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { b.serve(conn, n) })
		}
	})
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	return b
}

func (b *breaker) serve(conn net.Conn, n int) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 16)
	if !b.read(r) {
		return
	}
	io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	_, err := r.Peek(1)
	if err != nil {
		return
	}
	b.mu.Lock()
	b.broken++
	b.mu.Unlock()
	switch n % 3 {
	case 0: // in the middle of the headers, with a reset
	case 1:
		b.read(r) // after them, orderly
	case 2:
		b.read(r)
		conn.(*net.TCPConn).SetLinger(0)
	}
}

func (b *breaker) read(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	proof := req.Header.Get("DPoP")
	if b.proofs[proof] {
		b.again++
	}
	b.proofs[proof] = true
	return true
}

func TestKeptConnectionsThatBreak(t *testing.T) {
	o, b := newOrg(t), newBreaker(t)
	to := "http://" + b.Addr().String()
	tr := o.transport(func(c *dpopauth.Config) { c.Origins = []string{to} })
	var sending sync.WaitGroup
	for range 8 {
		sending.Go(func() {
			for range scaled(50, 2000) {
				if status, _, err := get(t, tr, to+"/a"); err != nil || status != 200 {
					t.Errorf("status %d, %v", status, err)
				}
			}
		})
	}
	sending.Wait()
	tr.CloseIdleConnections()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.again > 0 {
		t.Errorf("%d proofs were seen twice", b.again)
	}
	if b.broken < 100 {
		t.Errorf("%d requests met a connection that broke, want at least 100", b.broken)
	}
}

// net/http's HTTP/2 does not wait for the writer of a broken connection where
// the context has ended.
func TestHeadersAreNotChangedWhileWritten(t *testing.T) {
	o := newOrg(t)
	base := o.base()
	tr := o.transport(func(c *dpopauth.Config) {
		c.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPost {
				return base.RoundTrip(req)
			}
			trace, sent := httptrace.ContextClientTrace(req.Context()), req.Header.Get("DPoP")
			var writing sync.WaitGroup
			trace.GotConn(httptrace.GotConnInfo{})
			writing.Go(func() { req.Header.Write(io.Discard) })
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
			writing.Wait()
			if req.Header.Get("DPoP") != sent {
				t.Error("the proof changed while it might be read")
			}
			trace.WroteHeaders()
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
			if again := req.Header.Get("DPoP"); again == "" || again == sent {
				t.Error("the proof is shown again")
			}
			return base.RoundTrip(req)
		})
	})
	mustGet(t, tr, o.URL+"/a")
}

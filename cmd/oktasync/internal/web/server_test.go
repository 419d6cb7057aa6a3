package web

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, for tests with synctest.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9467} }

// served is the server's end of a connection. It sends the time when it is closed.
type served struct {
	net.Conn
	closed chan time.Time
}

func (s *served) Close() error {
	select {
	case s.closed <- time.Now():
	default:
	}
	return s.Conn.Close()
}

// dial returns a client's end, and a channel for the time when the server closes its end.
func (p *pipes) dial() (net.Conn, <-chan time.Time) {
	client, server := net.Pipe()
	s := &served{server, make(chan time.Time, 1)}
	p.conns <- s
	return client, s.closed
}

// The server closes connections of clients that are slow or silent, that don't
// read, or that send too much.
func TestHTTPTimeoutsAndBounds(t *testing.T) {
	const get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
	header := func(size int) string { return get + "X: " + strings.Repeat("x", size) + "\r\n\r\n" }
	for _, test := range []struct {
		name   string
		tls    *tls.Config
		send   string
		read   bool // the client reads
		want   int  // status; 0: none
		closed time.Duration
	}{
		{"sends nothing", nil, "", true, 0, 5 * time.Second},
		{"sends nothing, with TLS", &tls.Config{}, "", true, 0, 5 * time.Second},
		{"never ends its header", nil, get, true, 0, 5 * time.Second},
		{"has a header of 16 KiB", nil, header(16 << 10), true, 200, time.Minute},
		{"has a header of 24 KiB", nil, header(24 << 10), true, 431, 500 * time.Millisecond},
		{"has a body", nil, get + "Content-Length: 4\r\n\r\nbody", true, 413, 0},
		{"announces a body", nil, get + "Content-Length: 10\r\n\r\n", true, 413, 10 * time.Second},
		{"announces a large body", nil, get + "Content-Length: 1000000\r\n\r\n", true, 413, 500 * time.Millisecond},
		{"has a body without a length", nil, get + "Transfer-Encoding: chunked\r\n\r\n", true, 413, 10 * time.Second},
		{"doesn't read the response", nil, get + "\r\n", false, 0, 30 * time.Second},
		{"sends one request", nil, get + "\r\n", true, 200, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pipes{make(chan net.Conn), make(chan struct{})}
				f := newServer(p, NewAccess(AccessConfig{TLS: test.tls}), Handler(nil, NewMetrics("", "", nil, nil), slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
				f.Start()
				defer f.Stop()
				began := time.Now()
				client, closed := p.dial()
				defer client.Close()
				go io.WriteString(client, test.send)
				status := make(chan int, 1)
				if test.read {
					go func() {
						r := bufio.NewReader(client)
						resp, err := http.ReadResponse(r, nil)
						if err != nil {
							status <- 0
							return
						}
						status <- resp.StatusCode
						io.Copy(io.Discard, r)
					}()
				} else {
					status <- 0
				}
				if got := (<-closed).Sub(began); got != test.closed {
					t.Errorf("closed after %s, want %s", got, test.closed)
				}
				if got := <-status; got != test.want {
					t.Errorf("status %d, want %d", got, test.want)
				}
			})
		})
	}
}

package e2e

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// line leads from a port of its own to a server, and can be cut.
type line struct {
	t    *testing.T
	to   string
	port string

	mu    sync.Mutex
	from  net.Listener
	conns []net.Conn
}

func newLine(t *testing.T, url string) *line {
	t.Helper()
	l := &line{t: t, to: strings.TrimPrefix(url, "https://"), port: "0"}
	l.up()
	_, l.port, _ = net.SplitHostPort(l.from.Addr().String())
	t.Cleanup(l.down)
	return l
}

// up takes connections, at the same port as before.
func (l *line) up() {
	l.t.Helper()
	from, err := net.Listen("tcp", "127.0.0.1:"+l.port)
	if err != nil {
		l.t.Fatal(err)
	}
	l.from = from
	go func() {
		for {
			near, err := from.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", l.to)
			if err != nil {
				near.Close()
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, near, far)
			l.mu.Unlock()
			go func() { io.Copy(near, far); near.Close() }()
			go func() { io.Copy(far, near); far.Close() }()
		}
	}()
}

// cut ends the connections that there are.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		conn.Close()
	}
	l.conns = nil
}

// down takes no connection any more, and ends those that there are.
func (l *line) down() {
	l.from.Close()
	l.cut()
}

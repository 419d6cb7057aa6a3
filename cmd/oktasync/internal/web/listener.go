package web

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

// maxConnections is how many connections are open at a time. The next one waits
// until another ends, at the latest by a timeout of the server.
const maxConnections = 256

// listener limits the number of open connections. It uses TLS if the current
// Access does.
type listener struct {
	net.Listener
	access *atomic.Pointer[Access]
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newListener(l net.Listener, access *atomic.Pointer[Access]) *listener {
	return &listener{Listener: l, access: access, slots: make(chan struct{}, maxConnections), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	conn = &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}
	if config := l.access.Load().TLS; config != nil {
		return tls.Server(conn, config), nil
	}
	return conn, nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn is a connection that releases its slot when it is closed.
type limitedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

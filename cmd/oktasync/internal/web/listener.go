package web

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
)

// maxConnections is the largest number of open connections.
const maxConnections = 256

// listener limits the number of open connections. At the limit, each new
// connection replaces the oldest one that hasn't sent a valid password, so clients
// without a password can't block others.
type listener struct {
	net.Listener
	config func() *tls.Config // for the next connection; nil: no TLS

	mu   sync.Mutex
	open []*connection // oldest first
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn, listener: l}
	if replaced := l.add(c); replaced != nil {
		replaced.Close()
	}
	if config := l.config(); config != nil {
		return tls.Server(c, config), nil
	}
	return c, nil
}

// add adds c, and returns the connection that it replaces, or nil.
func (l *listener) add(c *connection) (replaced *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) == maxConnections {
		i := slices.IndexFunc(l.open, func(c *connection) bool { return !c.authenticated })
		replaced = l.open[max(i, 0)]
		l.open = slices.Delete(l.open, max(i, 0), max(i, 0)+1)
	}
	l.open = append(l.open, c)
	return replaced
}

// connection is an open connection of a listener.
type connection struct {
	net.Conn
	listener      *listener
	authenticated bool // guarded by listener.mu
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.listener.mu.Lock()
	c.listener.open = slices.DeleteFunc(c.listener.open, func(o *connection) bool { return o == c })
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

type connectionKey struct{}

// withConnection adds the connection to the contexts of its requests.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	return context.WithValue(ctx, connectionKey{}, conn)
}

// markAuthenticated records that the connection of a request has sent a valid
// password or client certificate.
func markAuthenticated(ctx context.Context) {
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok {
		c.listener.mu.Lock()
		defer c.listener.mu.Unlock()
		c.authenticated = true
	}
}

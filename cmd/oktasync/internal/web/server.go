package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers HTTP requests on one address. A nil Server serves nothing.
type Server struct {
	log      *slog.Logger
	listener net.Listener
	access   atomic.Pointer[Access]
	server   *http.Server
	serving  sync.WaitGroup
}

// Listen opens address. It returns nil if address is "". Start begins to answer.
func Listen(address string, access *Access, handler http.Handler, log *slog.Logger) (*Server, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("daemon.listen: %w", err)
	}
	return newServer(l, access, handler, log), nil
}

func newServer(l net.Listener, access *Access, handler http.Handler, log *slog.Logger) *Server {
	s := &Server{log: log}
	s.SetAccess(access)
	s.listener = &listener{Listener: l, config: func() *tls.Config { return s.access.Load().TLS }}
	s.server = &http.Server{
		Handler:           s.guard(handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       withConnection,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // errors of clients
	}
	return s
}

// SetAccess replaces the access rules for the next requests. TLS changes with
// the next connection.
func (s *Server) SetAccess(access *Access) {
	if s != nil {
		s.access.Store(access)
	}
}

// Address returns the address that the server listens on, or "none".
func (s *Server) Address() string {
	if s == nil {
		return "none"
	}
	return s.listener.Addr().String()
}

// Start answers requests until Stop is called.
func (s *Server) Start() {
	if s == nil {
		return
	}
	s.serving.Go(func() {
		if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("http server stopped", "err", err)
		}
	})
}

// Stop waits up to 2 s for running requests, and closes the address. It may be
// called twice, and without Start.
func (s *Server) Stop() {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		s.server.Close()
	}
	s.listener.Close() // without Start, Shutdown doesn't close it
	s.serving.Wait()
}

// guard rejects requests that no legitimate client sends. Health checks need no
// password.
//
// A page from any site can make a browser on this machine request a name that
// resolves to 127.0.0.1 (DNS rebinding), and then read the response. So the server
// answers only to names that the access rules allow. A request without Host, as
// old health checkers send it, doesn't come from a browser.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access := s.access.Load()
		h := w.Header()
		for name, value := range access.Headers {
			h.Set(name, value)
		}
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		isHealth := r.URL.Path == healthPath || r.URL.Path == readyPath
		switch {
		case !isHealth && !access.allow(w, r):
		case access.AllowHost != nil && r.Host != "" && !access.AllowHost(hostName(r.Host)):
			http.Error(w, "this host name isn't allowed", http.StatusMisdirectedRequest)
		case r.ContentLength != 0:
			h.Set("Connection", "close") // the body stays unread
			http.Error(w, "requests must not have a body", http.StatusRequestEntityTooLarge)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hostName returns a Host header without its port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

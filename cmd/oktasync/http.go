package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"oktasync/cmd/oktasync/internal/config"
)

// front is the daemon's face to other programs: health, metrics and status. A
// nil one serves nothing.
type front struct {
	log      *slog.Logger
	listener net.Listener
	access   atomic.Pointer[webAccess] // changes by reload
	server   *http.Server
	serving  sync.WaitGroup
}

// listen takes an address, and leaves answering to start.
func (d *daemon) listen(address string, access *webAccess) (*front, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("daemon.listen: %w", err)
	}
	return newFront(l, access, d.handler(), d.log), nil
}

func newFront(l net.Listener, access *webAccess, handler http.Handler, log *slog.Logger) *front {
	f := &front{log: log}
	f.admit(access)
	f.listener = newDoor(l, &f.access)
	f.server = &http.Server{
		Handler:           f.guarded(handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // of what strangers do
	}
	return f
}

// admit changes who may ask, from the next request on; TLS counts from the next
// connection on.
func (f *front) admit(access *webAccess) {
	if f != nil {
		f.access.Store(access)
	}
}

func (f *front) address() string {
	if f == nil {
		return "none"
	}
	return f.listener.Addr().String()
}

func (f *front) start() {
	if f == nil {
		return
	}
	f.serving.Go(func() {
		if err := f.server.Serve(f.listener); !errors.Is(err, http.ErrServerClosed) {
			f.log.Error("http server stopped", "err", err)
		}
	})
}

// stop lets what is being answered finish, for a moment. It may be called twice.
func (f *front) stop() {
	if f == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if f.server.Shutdown(ctx) != nil {
		f.server.Close()
	}
	f.listener.Close() // where nothing was ever served
	f.serving.Wait()
}

func (d *daemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	metrics := promhttp.HandlerFor(d.metrics.registry, promhttp.HandlerOpts{Timeout: 20 * time.Second})
	turn := make(turn, 1)
	mux.HandleFunc("GET /readyz", turn.take(d.readyz))
	mux.HandleFunc("GET /fresh", turn.take(d.fresh))
	mux.HandleFunc("GET /{$}", turn.take(d.page))
	mux.HandleFunc("GET /api/v1/status", turn.take(d.pageJSON))
	mux.HandleFunc("GET /metrics", turn.take(metrics.ServeHTTP))
	mux.HandleFunc("GET /style.css", part("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /icon.svg", part("icon.svg", "image/svg+xml"))
	return mux
}

// guarded refuses what nobody sends who has business here, before next sees it.
//
// A page from anywhere can make a browser on this machine ask for a name that
// leads to 127.0.0.1 (DNS rebinding), and would read the answer: so only this
// machine's own names are answered to. A request without Host, as old health
// checkers send it, comes from no browser. Where only those get in who are
// known, any name is good: the browser has no password for the attacker's.
func (f *front) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		access := f.access.Load()
		switch {
		case !access.admit(w, r):
		case !access.Closed() && r.Host != "" && !config.IsLoopback(hostName(r.Host)):
			http.Error(w, "this is no name of the host that answers", http.StatusMisdirectedRequest)
		case r.ContentLength != 0:
			h.Set("Connection", "close") // whatever comes of its body
			http.Error(w, "a request here has no body", http.StatusRequestEntityTooLarge)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hostName is a Host header without its port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// readyz answers 200 where the store can be written; the configuration was
// loaded, or nobody would answer.
func (d *daemon) readyz(w http.ResponseWriter, _ *http.Request) {
	f, err := d.current.Load().store.TempFile()
	if err != nil {
		http.Error(w, "the store cannot be written", http.StatusServiceUnavailable)
		return
	}
	f.Close()
	fmt.Fprintln(w, "ok")
}

// fresh answers 503 while an export is failing, overdue, quarantined or damaged.
// It is computed from the journals at each request, so it also knows of an
// `apply` that ran beside the daemon. It hashes nothing: the last verify did.
func (d *daemon) fresh(w http.ResponseWriter, _ *http.Request) {
	s := d.current.Load()
	var stale []health
	for _, export := range s.cfg.Exports {
		if h := s.health(export); h.State != stateFresh {
			stale = append(stale, h)
		}
	}
	if len(stale) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, h := range stale {
		fmt.Fprintf(w, "%s: %s\n", h.Export, h)
	}
}

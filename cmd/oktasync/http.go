package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serve answers on l, which may be nil, until the function that it returns is
// called. Nothing that it shows is a secret or a user's data.
func (s *service) serve(l net.Listener) (stop func()) {
	if l == nil {
		return func() {}
	}
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("http server stopped", "err", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			server.Close()
		}
		<-done
	}
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /fresh", s.fresh)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		mux.ServeHTTP(w, r)
	})
}

// readyz answers 200 where the store can be written; the configuration was
// loaded, or nobody would answer.
func (s *service) readyz(w http.ResponseWriter, _ *http.Request) {
	f, err := s.store.TempFile()
	if err != nil {
		http.Error(w, "the store cannot be written", http.StatusServiceUnavailable)
		return
	}
	f.Close()
	fmt.Fprintln(w, "ok")
}

// fresh answers 503 while an export is failing, overdue or quarantined. It is
// computed from the journals at each request, so it also knows of an `apply`
// that ran beside the daemon.
func (s *service) fresh(w http.ResponseWriter, _ *http.Request) {
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

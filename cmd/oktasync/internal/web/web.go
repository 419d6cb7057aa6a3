// Package web serves the daemon's HTTP endpoints: health checks, the status page
// and its JSON, and metrics.
//
// The daemon uses it, and provides the data as a Source. Start reading at
// Handler; Server is the listener with TLS and access rules.
package web

import (
	"bytes"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The paths of health checks, which need no password and have no body.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// Handler returns the handler of all endpoints.
func Handler(source Source, metrics *Metrics, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+healthPath, func(http.ResponseWriter, *http.Request) {})
	mux.Handle("GET "+readyPath, &readiness{source: source})
	p := &pages{source, log}
	serialize := newSerializer()
	mux.HandleFunc("GET /fresh", serialize(p.fresh))
	mux.HandleFunc("GET /{$}", serialize(p.html))
	mux.HandleFunc("GET /exports/{export}", serialize(p.export))
	mux.HandleFunc("GET /api/v1/status", serialize(p.json))
	mux.HandleFunc("GET /metrics", serialize(promhttp.HandlerFor(metrics.registry, promhttp.HandlerOpts{Timeout: 20 * time.Second}).ServeHTTP))
	mux.HandleFunc("GET /style.css", asset("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /icon.svg", asset("icon.svg", "image/svg+xml"))
	return mux
}

// readiness answers 200 if the store can be written, and otherwise 503. It checks
// at most once per second, because it needs no password.
type readiness struct {
	source Source
	mu     sync.Mutex
	at     time.Time
	err    error
}

// ServeHTTP implements http.Handler.
func (c *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) >= pageAge {
		c.at, c.err = time.Now(), c.source.Ready()
	}
	if c.err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// newSerializer returns a wrapper that runs one of its handlers at a time, and
// buffers the response. Requests then take at most one core from a reconcile,
// and a client that doesn't read its response delays no other.
func newSerializer() func(http.HandlerFunc) http.HandlerFunc {
	running := make(chan struct{}, 1)
	return func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			select {
			case running <- struct{}{}:
			case <-r.Context().Done():
				return
			}
			b := &bufferedResponse{header: w.Header(), status: http.StatusOK}
			func() {
				defer func() { <-running }()
				next(b, r)
			}()
			w.WriteHeader(b.status)
			w.Write(b.body.Bytes())
		}
	}
}

// bufferedResponse is an http.ResponseWriter in memory.
type bufferedResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *bufferedResponse) Header() http.Header         { return b.header }
func (b *bufferedResponse) WriteHeader(status int)      { b.status = status }
func (b *bufferedResponse) Write(p []byte) (int, error) { return b.body.Write(p) }

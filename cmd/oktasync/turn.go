package main

import (
	"bytes"
	"net/http"
)

// turn holds one. Answers that take it are made one at a time, in memory, and
// sent when they are made: however many ask, no more than a core is kept from a
// reconcile, and who does not read holds up nobody.
type turn chan struct{}

func (t turn) take(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case t <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		a := &answer{header: w.Header(), status: http.StatusOK}
		func() {
			defer func() { <-t }()
			next(a, r)
		}()
		w.WriteHeader(a.status)
		w.Write(a.body.Bytes())
	}
}

// answer is an http.ResponseWriter that keeps what is written.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

package daemon

import (
	"log/slog"
	"net/http"

	"oktasync/oktaclient"
)

// protect calls f. If f panics, protect logs one error without the value, and the
// daemon continues.
func protect(log *slog.Logger, f func()) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic", "err", oktaclient.PanicError(p))
		}
	}()
	f()
}

// protectHandler answers 500 if next panics, and logs the panic like protect.
func protectHandler(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answered := false
		protect(log, func() { next.ServeHTTP(w, r); answered = true })
		if !answered {
			http.Error(w, "internal error", http.StatusInternalServerError)
		}
	})
}
